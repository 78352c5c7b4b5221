//! Requests to the hub, on `ureq`: redirects are followed by hand, so that the token goes to the
//! hub's own address and to no other, and so that what the hub says of a file is read before it
//! sends us to where the file is stored.

use std::time::Duration;

use thiserror::Error;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body, Error};

use super::settings::Settings;

const REDIRECTS: usize = 10;
/// The wait before each new try, where the server says that it is busy or broken.
pub const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(900)];

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub enum Fault {
    /// No answer, or one that broke off.
    #[error("cannot reach {url}: {cause}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        cause: String,
    },
    /// An answer that is no success.
    #[error("{url} answered {status}{}", code.as_ref().map_or_else(String::new, |code| format!(" ({code})")))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The hub's own word for it.
        code: Option<String>,
    },
    /// An answer that makes no sense.
    #[error("{url}: {what}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong, and what was expected.
        what: String,
    },
}

impl Fault {
    /// Whether nothing can be said of what was asked for: no network, or a server in trouble.
    pub fn is_passing(&self) -> bool {
        match self {
            Fault::Unreachable { .. } => true,
            Fault::Status { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
            Fault::Answer { .. } => false,
        }
    }

    /// Whether the hub says that there is no such thing, or none for us.
    pub fn is_absence(&self) -> bool {
        matches!(self, Fault::Status { status: 401 | 404, .. }) && !self.is_gated()
    }

    /// Whether the hub wants terms to be accepted first. It gives the names of such a repository's files to
    /// everybody, and the files only to those who accepted.
    pub fn is_gated(&self) -> bool {
        match self {
            Fault::Status { status: 401 | 403, code, .. } => code.as_deref() == Some("GatedRepo"),
            _ => false,
        }
    }
}

/// Asks the hub.
pub struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    metadata_timeout: Duration,
    download_timeout: Duration,
}

impl Client {
    /// A client for these settings; connects to nothing yet.
    pub fn new(settings: &Settings) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("understudy/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().new_agent(),
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
            metadata_timeout: settings.metadata_timeout,
            download_timeout: settings.download_timeout,
        }
    }

    /// The hub's address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether we say who asks.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// An address of the hub.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.endpoint)
    }

    /// The text at `url`, of 32 MB at most.
    ///
    /// # Errors
    ///
    /// The [`Fault`] of the last try.
    pub fn text(&self, url: &str) -> Result<String, Fault> {
        again(|| {
            let (url, response) = self.follow(url, Method::Text, |_| false)?;
            let text = response.into_body().into_with_config().limit(32 << 20).read_to_string();
            text.map_err(|error| unreachable(&url, &error, self.metadata_timeout))
        })
    }

    /// The headers of a file's answer: the hub's own, and those of where it sends us as long as the
    /// hub has not said what the file is called.
    pub fn headers(&self, url: &str) -> Result<HeaderMap, Fault> {
        again(|| {
            let mut all = HeaderMap::new();
            let (_, response) = self.follow(url, Method::Head, |headers| {
                for (name, value) in headers {
                    all.entry(name.clone()).or_insert_with(|| value.clone());
                }
                headers.contains_key("x-linked-etag")
            })?;
            // What a redirect says of its own body is nothing of the file's.
            if !response.status().is_redirection() {
                for name in ["etag", "content-length"] {
                    all.remove(name);
                }
            }
            for (name, value) in response.headers() {
                all.entry(name.clone()).or_insert_with(|| value.clone());
            }
            Ok(all)
        })
    }

    /// The bytes at `url`, from a position on where one is given. Not tried again here.
    pub fn bytes(&self, url: &str, from: Option<u64>) -> Result<Response<Body>, Fault> {
        Ok(self.follow(url, Method::Get { from }, |_| false)?.1)
    }

    /// Why a read of a body failed.
    pub fn broken(&self, url: &str, error: std::io::Error) -> Fault {
        unreachable(url, &Error::from(error), self.download_timeout)
    }

    /// Follows redirects until an answer is none, or `enough` of its headers.
    fn follow(
        &self,
        url: &str,
        method: Method,
        mut enough: impl FnMut(&HeaderMap) -> bool,
    ) -> Result<(String, Response<Body>), Fault> {
        let mut at = url.to_owned();
        for _ in 0..=REDIRECTS {
            let response = self.once(&at, method)?;
            let status = response.status();
            if status.is_redirection() && status != 304 {
                if enough(response.headers()) {
                    return Ok((at, response));
                }
                at = next(&at, &response)?;
                continue;
            }
            if status.is_success() || status == 416 {
                return Ok((at, response));
            }
            let header = |name: &str| text_of(response.headers(), name);
            let code = header("x-error-code").or_else(|| header("x-error-message"));
            let url = without_query(&at).to_owned();
            return Err(Fault::Status { url, status: status.as_u16(), code });
        }
        let what = format!("more than {REDIRECTS} redirects; expected a file");
        Err(Fault::Answer { url: url.to_owned(), what })
    }

    fn once(&self, url: &str, method: Method) -> Result<Response<Body>, Fault> {
        let (mut request, wait) = match method {
            Method::Head => (self.agent.head(url), self.metadata_timeout),
            Method::Text => (self.agent.get(url), self.metadata_timeout),
            Method::Get { from: None } => (self.agent.get(url), self.download_timeout),
            Method::Get { from: Some(from) } => {
                let range = format!("bytes={from}-");
                (self.agent.get(url).header("Range", range), self.download_timeout)
            }
        };
        if let Some(token) = self.token.as_ref().filter(|_| same_place(url, &self.endpoint)) {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request
            .config()
            .timeout_resolve(Some(wait))
            .timeout_connect(Some(wait))
            .timeout_recv_response(Some(wait))
            .timeout_per_read(Some(wait))
            .build();
        request.call().map_err(|error| unreachable(url, &error, wait))
    }
}

#[derive(Clone, Copy)]
enum Method {
    Head,
    Text,
    Get { from: Option<u64> },
}

/// A header as text.
pub fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Tries again where the server is busy or broken; not where there is none, which would only make
/// whoever has no network wait.
fn again<T>(mut ask: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    for wait in AGAIN {
        match ask() {
            Err(fault @ Fault::Status { .. }) if fault.is_passing() => std::thread::sleep(wait),
            other => return other,
        }
    }
    ask()
}

fn unreachable(url: &str, error: &Error, wait: Duration) -> Fault {
    let cause = match error {
        Error::Timeout(_) => format!(
            "no answer for {} s; HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT set how long is waited",
            wait.as_secs_f64()
        ),
        Error::HostNotFound => "no such host, or no network".to_owned(),
        other => other.to_string(),
    };
    Fault::Unreachable { url: without_query(url).to_owned(), cause }
}

/// The query of a storage address is a signature, which is nobody's business.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// Where a redirect leads.
fn next(url: &str, response: &Response<Body>) -> Result<String, Fault> {
    let wrong = |what: String| Fault::Answer { url: without_query(url).to_owned(), what };
    let location = text_of(response.headers(), "location")
        .ok_or_else(|| wrong("a redirect to nowhere; expected a Location".to_owned()))?;
    let joined = join(url, &location);
    if url.starts_with("https://") && !joined.starts_with("https://") {
        let what = "a redirect away from https; expected an encrypted address".to_owned();
        return Err(wrong(what));
    }
    Ok(joined)
}

/// Scheme, host and port, and what comes after.
fn split(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |place| place + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |place| start + place);
    url.split_at(end)
}

fn same_place(url: &str, other: &str) -> bool {
    split(url).0.eq_ignore_ascii_case(split(other).0)
}

fn join(url: &str, location: &str) -> String {
    let (place, path) = split(url);
    // A path may hold an address too, in its query.
    if location.split(['/', '?', '#']).next().is_some_and(|scheme| scheme.ends_with(':')) {
        return location.to_owned();
    }
    if let Some(rest) = location.strip_prefix("//") {
        let scheme = place.split("//").next().unwrap_or_default();
        return format!("{scheme}//{rest}");
    }
    if location.starts_with('/') {
        return format!("{place}{location}");
    }
    let folder = path.split('?').next().and_then(|path| path.rsplit_once('/'));
    format!("{place}{}/{location}", folder.map_or("", |(folder, _)| folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined() {
        let check = |location: &str, expected: &str| {
            assert_eq!(join("https://hub.co/a/b?c", location), expected);
        };
        check("https://cdn.co/x?y=z", "https://cdn.co/x?y=z");
        check("//cdn.co/x", "https://cdn.co/x");
        check("/x", "https://hub.co/x");
        check("x", "https://hub.co/a/x");
        check("HTTP://cdn.co/x", "HTTP://cdn.co/x");
        check("/x?to=https://cdn.co", "https://hub.co/x?to=https://cdn.co");
    }

    #[test]
    fn the_token_is_for_one_place() {
        let hub = "https://hub.co";
        assert!(same_place("https://hub.co/a", hub) && same_place("https://HUB.co?x", hub));
        for other in [
            "http://hub.co/a",
            "https://hub.co:8443/a",
            "https://hub.co.evil/a",
            "https://cdn.hub.co/",
        ] {
            assert!(!same_place(other, hub), "{other}");
        }
    }
}
