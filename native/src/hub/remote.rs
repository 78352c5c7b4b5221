//! What the hub says: the commit of a revision with its files, and the name and size of each.

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use super::http::{Client, Fault, text_of};
use super::id::{HubId, Kind, is_commit};

/// A repository at a commit.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The commit.
    pub commit: String,
    /// Every file in it.
    pub names: Vec<String>,
}

/// A file at a commit.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Names the content: a hash of it.
    pub etag: String,
    /// In bytes.
    pub size: u64,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// The commit and the files of a revision.
///
/// # Errors
///
/// A [`Fault`], also for an answer that is not the hub's.
pub fn listing(client: &Client, id: &HubId, kind: Kind) -> Result<Listing, Fault> {
    let url = client.url(&format!("api/{}/{}/revision/{}", kind.api(), id.repo, id.url_revision()));
    let text = client.text(&url)?;
    let wrong = |what: String| Fault::Answer { url: url.clone(), what };
    let answer: Answer = serde_json::from_str(&text).map_err(|error| {
        wrong(format!("{error}; expected the hub's description of a repository (JSON)"))
    })?;
    if !is_commit(&answer.sha) {
        let what = format!("commit {:?}; expected 40 hexadecimal digits", answer.sha);
        return Err(wrong(what));
    }
    let names: Vec<String> = answer.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    match names.iter().find(|name| !is_inside(name)) {
        Some(name) => Err(wrong(format!("file {name:?}; expected a path inside the repository"))),
        None => Ok(Listing { commit: answer.sha, names }),
    }
}

/// The address of a file.
pub fn file_url(client: &Client, id: &HubId, kind: Kind, commit: &str, name: &str) -> String {
    let name: String = name.chars().map(escaped).collect();
    client.url(&format!("{}{}/resolve/{commit}/{name}", kind.prefix(), id.repo))
}

fn escaped(char: char) -> String {
    if char.is_ascii_alphanumeric() || "-_.~/".contains(char) {
        return char.to_string();
    }
    let mut bytes = [0; 4];
    char.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The name and size of a file.
pub fn metadata(client: &Client, url: &str) -> Result<Metadata> {
    let headers = client.headers(url)?;
    let header = |name: &str| text_of(&headers, name);
    let etag = header("x-linked-etag").or_else(|| header("etag"));
    let etag =
        etag.with_context(|| format!("{url}: no ETag; expected the hub's name of the file"))?;
    let etag = etag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    // It becomes the name of a file.
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    if etag.is_empty() || etag.starts_with('.') || !etag.chars().all(is_plain) {
        bail!("{url}: ETag {etag:?}; expected a hash");
    }
    let size = header("x-linked-size").or_else(|| header("content-length"));
    let size = size.as_deref().map(str::parse);
    match size {
        Some(Ok(size)) => Ok(Metadata { etag, size }),
        _ => bail!("{url}: no size; expected Content-Length or X-Linked-Size in bytes"),
    }
}

/// Whether a file's name leads to no other place than its folder.
pub fn is_inside(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    name.split('/').all(is_part) && !name.contains(['\\', '\0', ':'])
}

/// A fault in words that say what can be done.
pub fn explain(fault: Fault, id: &HubId, kind: Kind, client: &Client) -> anyhow::Error {
    let what = kind.name();
    let (endpoint, has_token) = (client.endpoint(), client.has_token());
    let hint = match &fault {
        Fault::Status { status, .. } if *status == 403 || fault.is_gated() => format!(
            "{what} {id} is gated; expected its terms to be accepted on {endpoint}/{}{}, and the \
             token of that account in HF_TOKEN",
            kind.prefix(),
            id.repo
        ),
        Fault::Status { status: 401, .. } if has_token => format!(
            "the hub has no {what} {id}, or it is private and the token may not read it; expected an \
             id as on {endpoint}, or another HF_TOKEN"
        ),
        Fault::Status { status: 401, .. } => format!(
            "the hub has no {what} {id}, or it is private; expected an id as on {endpoint}, or a token \
             in HF_TOKEN"
        ),
        Fault::Status { status: 404, code: Some(code), .. } if code == "RevisionNotFound" => {
            format!(
                "{what} {} has no revision `{}`; expected a branch, a tag or a commit of it",
                id.repo, id.revision
            )
        }
        Fault::Status { status: 404, .. } => {
            format!("the hub has no {what} {id}; expected an id as on {endpoint}")
        }
        Fault::Unreachable { .. } => format!(
            "cannot fetch {id}; expected the hub to answer (HF_ENDPOINT is {endpoint}), or its files in \
             the cache, or a folder"
        ),
        Fault::Status { .. } | Fault::Answer { .. } => format!("cannot fetch {id}"),
    };
    anyhow!(fault).context(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for name in ["a", "a/b.c", ".gitattributes", "a b/ü"] {
            assert!(is_inside(name), "{name}");
        }
        for name in ["", "/a", "../a", "a/../b", "a//b", "a\\b", "c:/a", "./a"] {
            assert!(!is_inside(name), "{name}");
        }
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!("a b/ü?.c".chars().map(escaped).collect::<String>(), "a%20b/%C3%BC%3F.c");
    }
}
