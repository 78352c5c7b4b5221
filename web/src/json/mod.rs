//! JSON for the page's own small needs (RFC 8259): a value, a reader, a writer, and how what is written
//! becomes a value.
//!
//! What a derived reader makes of every struct is large, and the page reads and writes many; here a record
//! is a list of named fields that one loop looks through. The workers and the tests use `serde`, and a
//! test keeps both ways equal ([`crate::wire`]).

mod kinds;

pub use kinds::Wire;

use crate::number;

/// Lists and objects in one another at most; deeper text is refused.
const DEEPEST: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number.
    Number(f64),
    /// A text.
    Text(String),
    /// `[…]`
    List(Vec<Json>),
    /// `{…}`, in the order of the text.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text.
    ///
    /// # Errors
    ///
    /// Where the text stops being JSON.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0).filter(|_| {
            reader.space();
            reader.at == text.len()
        });
        value.ok_or_else(|| format!("no JSON from byte {}", reader.at))
    }

    /// An object of named values.
    pub fn object(fields: Vec<(&str, Self)>) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Takes the value of a name out of an object; `null` where there is none.
    pub fn take(&mut self, name: &str) -> Self {
        let Self::Object(fields) = self else { return Self::Null };
        let found = fields.iter_mut().find(|(own, _)| own == name);
        found.map_or(Self::Null, |(_, value)| std::mem::replace(value, Self::Null))
    }

    /// In one line.
    pub fn to_line(&self) -> String {
        let mut line = String::new();
        self.write(&mut line, None);
        line
    }

    /// One field or item a line, indented by two spaces.
    pub fn to_lines(&self) -> String {
        let mut lines = String::new();
        self.write(&mut lines, Some(0));
        lines
    }

    /// Writes itself; `depth` is that of the lines around it, `None` for a single line.
    fn write(&self, out: &mut String, depth: Option<usize>) {
        let (open, close, len) = match self {
            Self::Null => return out.push_str("null"),
            Self::Bool(is_true) => return out.push_str(if *is_true { "true" } else { "false" }),
            // As in JavaScript, what is no number is nothing.
            Self::Number(number) if !number.is_finite() => return out.push_str("null"),
            Self::Number(value) => return out.push_str(&number::shortest(*value)),
            Self::Text(text) => return quote(text, out),
            Self::List(items) => ('[', ']', items.len()),
            Self::Object(fields) => ('{', '}', fields.len()),
        };
        let line = |out: &mut String, depth: Option<usize>| {
            if let Some(depth) = depth {
                out.push('\n');
                (0..depth).for_each(|_| out.push_str("  "));
            }
        };
        out.push(open);
        let inner = depth.map(|depth| depth + 1);
        for index in 0..len {
            if index > 0 {
                out.push(',');
            }
            line(out, inner);
            match self {
                Self::Object(fields) => {
                    quote(&fields[index].0, out);
                    out.push_str(if depth.is_some() { ": " } else { ":" });
                    fields[index].1.write(out, inner);
                }
                Self::List(items) => items[index].write(out, inner),
                _ => {}
            }
        }
        if len > 0 {
            line(out, depth);
        }
        out.push(close);
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        self.space();
        match self.peek()? {
            b'n' => self.word("null").map(|()| Json::Null),
            b't' => self.word("true").map(|()| Json::Bool(true)),
            b'f' => self.word("false").map(|()| Json::Bool(false)),
            b'"' => self.string().map(Json::Text),
            b'[' | b'{' if depth < DEEPEST => self.many(depth),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Json> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let len = self.text.as_bytes()[self.at..].iter().take_while(|byte| is_part(byte)).count();
        let digits = &self.text[self.at..self.at + len];
        // It reads a little more than JSON has, such as `.5`; a number from elsewhere may be so too.
        let number = number::parse(digits)?;
        self.at += len;
        Some(Json::Number(number))
    }

    /// A list or an object.
    fn many(&mut self, depth: usize) -> Option<Json> {
        let is_object = self.peek() == Some(b'{');
        let close = if is_object { "}" } else { "]" };
        self.at += 1;
        let (mut items, mut fields) = (Vec::new(), Vec::new());
        self.space();
        let mut is_done = self.word(close).is_some();
        while !is_done {
            if is_object {
                self.space();
                let name = self.string()?;
                self.space();
                self.word(":")?;
                fields.push((name, self.value(depth + 1)?));
            } else {
                items.push(self.value(depth + 1)?);
            }
            self.space();
            is_done = self.word(close).is_some();
            if !is_done {
                self.word(",")?;
            }
        }
        Some(if is_object { Json::Object(fields) } else { Json::List(items) })
    }

    fn string(&mut self) -> Option<String> {
        self.word("\"")?;
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|char| char == '"' || char == '\\' || char < ' ')?;
            string += &rest[..plain];
            self.at += plain + 1;
            match rest.as_bytes()[plain] {
                b'"' => return Some(string),
                b'\\' => string.push(self.escaped()?),
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => char::from(byte),
            b'u' => {
                let first = self.four()?;
                // A character beyond the first 65,536 is a pair (RFC 8259, section 7).
                let is_pair = (0xd800..0xdc00).contains(&first) && self.word("\\u").is_some();
                let second = if is_pair { self.four()? } else { 0 };
                let code = match (is_pair, second) {
                    (true, 0xdc00..0xe000) => {
                        0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    _ => first,
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn four(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as `serde_json` reads, and what is written is read back.
    fn check(text: &str) {
        let json = Json::parse(text).expect("JSON");
        let theirs: serde_json::Value = serde_json::from_str(text).expect("JSON");
        for written in [json.to_line(), json.to_lines()] {
            assert_eq!(Json::parse(&written), Ok(json.clone()), "{text}");
            let read: serde_json::Value = serde_json::from_str(&written).expect("ours is JSON");
            assert_eq!(loose(&read), loose(&theirs), "{text}");
        }
    }

    /// Whole numbers and others are one kind here.
    fn loose(value: &serde_json::Value) -> String {
        value.to_string().replace(".0", "")
    }

    #[test]
    fn values_are_read_as_others_read_them() {
        for text in ["null", " true ", "false", "0", "-1.5e3", "[]", "{}", "[1, [2], {}]", "\"\""] {
            check(text);
        }
        check(r#"{"a": [{"b": null}, "c"], "d": {"e": 0.1}, "": 1e-7}"#);
        check(r#""\" \\ \/ \b \f \n \r \t \u00e9 \ud83d\ude00 é 😀""#);
        check("\"\u{7f}\u{2028} \u{200d}\"");
    }

    #[test]
    fn lines_are_written_as_serde_json_writes_them() {
        let text = r#"{"a":[1,{"b":"c"}],"d":{},"e":[]}"#;
        let theirs: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let ours = Json::parse(text).expect("JSON");
        assert_eq!(ours.to_line(), theirs.to_string());
        assert_eq!(ours.to_lines(), format!("{theirs:#}"));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let broken = r#"[ [1 [1, [1,] { {"a" {"a": {"a":1 {"a":1,} {1:1} nul " "\ "\u12 "\x" "\u00é" -- é 1,2"#;
        for text in broken.split(' ').chain(["", "\"\n\"", "1 2"]) {
            assert!(Json::parse(text).is_err(), "{text:?}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn half_a_pair_is_replaced() {
        let read = |text: &str| Json::parse(text).expect("JSON");
        assert_eq!(read(r#""\ud83d""#), Json::Text("\u{fffd}".to_owned()));
        assert_eq!(read(r#""\ud83d\u0041""#), Json::Text("\u{fffd}".to_owned()));
        assert_eq!(read(r#""\ude00a""#), Json::Text("\u{fffd}a".to_owned()));
    }
}
