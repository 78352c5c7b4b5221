//! Text and options in the part of an address after `#`, which a browser sends nowhere.
//!
//! `#text=Ada%20Lovelace&aggregation=max&constrained=1&threshold=0.5&compare=1&backend=cpu`

use crate::number;
use crate::protocol::{AGGREGATIONS, Backend, Options};

/// What a link holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// The text; `None` leaves the page's own.
    pub text: Option<String>,
    /// How labels become entities.
    pub options: Options,
    /// Whether the teacher tags too.
    pub compare: bool,
    /// A forced backend; `None` = the page chooses.
    pub backend: Option<Backend>,
    /// Temperature of the token strip; `None` leaves the page's own.
    pub temperature: Option<f64>,
}

impl Link {
    /// Reads what follows `#`; what it does not know, it ignores.
    pub fn parse(hash: &str) -> Self {
        let mut link = Self::default();
        for pair in hash.trim_start_matches('#').split('&') {
            // A place in the page, such as `#text`, has no value.
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = decode(value);
            match name {
                "text" => link.text = Some(value),
                "aggregation" if AGGREGATIONS.contains(&value.as_str()) => {
                    link.options.aggregation = value;
                }
                "constrained" => link.options.constrained = value == "1",
                "threshold" => {
                    let number = number::parse(&value).filter(|value| (0.0..=1.0).contains(value));
                    link.options.threshold = number.unwrap_or(0.0) as f32;
                }
                "compare" => link.compare = value == "1",
                "backend" => {
                    let named = |backend: &Backend| backend.name() == value;
                    link.backend = [Backend::Cpu, Backend::Webgpu].into_iter().find(named);
                }
                "temperature" => {
                    link.temperature =
                        number::parse(&value).filter(|value| (1.0..=10.0).contains(value));
                }
                _ => {}
            }
        }
        link
    }

    /// What stands after `#`, without what is as by default.
    pub fn to_hash(&self) -> String {
        let mut pairs = Vec::new();
        if let Some(text) = &self.text {
            pairs.push(format!("text={}", encode(text)));
        }
        let default = Options::default();
        if self.options.aggregation != default.aggregation {
            pairs.push(format!("aggregation={}", self.options.aggregation));
        }
        if self.options.constrained {
            pairs.push("constrained=1".to_owned());
        }
        if self.options.threshold != default.threshold {
            pairs.push(format!("threshold={}", number::shortest(self.options.threshold.into())));
        }
        if self.compare {
            pairs.push("compare=1".to_owned());
        }
        if let Some(backend) = self.backend {
            pairs.push(format!("backend={}", backend.name()));
        }
        if let Some(temperature) = self.temperature {
            pairs.push(format!("temperature={}", number::shortest(temperature)));
        }
        pairs.join("&")
    }
}

/// Percent-encodes everything but letters, digits and `-._~` (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// Undoes [`encode`]; what is no valid escape stays, and what is no UTF-8 is replaced.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| *first == b'%');
        let digits = escape.and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_brings_everything_back() {
        let link = Link {
            text: Some("Zoë & \u{1f469}\u{200d}\u{1f680}\n#100% = \u{a0}东京\tالقاهرة".to_owned()),
            options: Options { aggregation: "max".to_owned(), constrained: true, threshold: 0.25 },
            compare: true,
            backend: Some(Backend::Webgpu),
            temperature: Some(2.5),
        };
        let hash = link.to_hash();
        assert!(hash.is_ascii() && !hash.contains(' '), "{hash}");
        assert_eq!(Link::parse(&format!("#{hash}")), link);
    }

    #[test]
    fn defaults_are_left_out() {
        assert_eq!(Link::default().to_hash(), "");
        assert_eq!(Link::parse(""), Link::default());
        assert_eq!(Link::parse("#"), Link::default());
    }

    #[test]
    fn an_empty_text_is_a_text() {
        assert_eq!(Link::parse("#text=").text.as_deref(), Some(""));
    }

    #[test]
    fn nonsense_is_ignored() {
        let hash = "#aggregation=all&threshold=NaN&backend=tpu&temperature=11&x=1&&=&compare";
        assert_eq!(Link::parse(hash), Link::default());
        assert_eq!(Link::parse("#text=100%&threshold=7").text.as_deref(), Some("100%"));
        assert_eq!(Link::parse("#text=%ff%F").text.as_deref(), Some("\u{fffd}%F"));
    }
}
