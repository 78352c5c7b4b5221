//! A hub on loopback, as far as the program asks it: what a repository is, and its files, the large
//! ones from a second server, as the real hub sends us to its storage. It does wrong what it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// What a server does wrong with one file, or with the answer about its repository (`api`).
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, and the hub's word for it.
    Status(u16, &'static str),
    /// Says that the file is longer than it is.
    Longer,
    /// Sends less than it says.
    Shorter,
    /// Says the hash of another file.
    OtherHash,
    /// Sends as many bytes, one of them wrong.
    Corrupt,
    /// Ends the connection after so many bytes, so many times.
    Cut(usize, usize),
    /// Sends nothing after so many bytes of the file.
    Stall(usize),
    /// The storage says that the signature is no longer good.
    Expired,
    /// Says nothing at all.
    Silent,
    /// Sends us to the same address again.
    Loop,
    /// Sends us to nowhere.
    Nowhere,
    /// No commit, or no JSON.
    Garbage(&'static str),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub has_token: bool,
    /// Whether it came to the storage and not to the hub.
    pub at_storage: bool,
}

struct Repo {
    commit: String,
    files: BTreeMap<String, Vec<u8>>,
}

#[derive(Default)]
struct State {
    /// By `models/owner/name` or `datasets/owner/name`, every commit, the latest one last.
    repos: BTreeMap<String, Vec<Repo>>,
    faults: BTreeMap<String, Fault>,
    renamed: BTreeMap<String, String>,
    without_ranges: bool,
    token: Option<String>,
    storage: String,
    requests: Vec<Request>,
}

/// The two servers; they end with the test's process.
pub struct Mirror {
    pub endpoint: String,
    /// How long it is waited for, in seconds.
    pub patience: &'static str,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let storage = serve(Arc::clone(&state), true);
        lock(&state).storage = storage;
        Self { endpoint: serve(Arc::clone(&state), false), patience: "60", state }
    }

    /// Puts files at a repository, `models/owner/name` or `datasets/owner/name`; its commit, which is
    /// another whenever a file is.
    pub fn put(&self, repo: &str, files: &[(&str, Vec<u8>)]) -> String {
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let mut hash = Sha1::new();
        for (name, bytes) in &files {
            hash.update(name);
            hash.update(bytes);
        }
        let commit = hex(&hash.finalize());
        let mut state = lock(&self.state);
        let commits = state.repos.entry(repo.to_owned()).or_default();
        commits.push(Repo { commit: commit.clone(), files });
        commit
    }

    /// From now on this goes wrong.
    pub fn fault(&self, file: &str, fault: Fault) {
        lock(&self.state).faults.insert(file.to_owned(), fault);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        state.faults.clear();
        state.without_ranges = false;
    }

    pub fn without_ranges(&self) {
        lock(&self.state).without_ranges = true;
    }

    pub fn ask_for_token(&self, token: &str) {
        lock(&self.state).token = Some(token.to_owned());
    }

    pub fn rename(&self, from: &str, to: &str) {
        lock(&self.state).renamed.insert(from.to_owned(), to.to_owned());
    }

    /// The requests since this was last asked.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.state).requests)
    }
}

/// What the hub calls a file: the SHA-256 of a large one, git's SHA-1 of a small one.
pub fn etag(name: &str, bytes: &[u8]) -> String {
    if is_large(name) {
        return hex(&Sha256::digest(bytes));
    }
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

/// Stored apart (LFS).
fn is_large(name: &str) -> bool {
    [".safetensors", ".parquet", ".bin"].iter().any(|end| name.ends_with(end))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no thread panicked")
}

fn serve(state: Arc<Mutex<State>>, at_storage: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            // A client that goes away is no failure of the test.
            std::thread::spawn(move || drop(answer(&state, stream, at_storage)));
        }
    });
    address
}

/// Reads one request and answers it; the connection ends.
fn answer(state: &Mutex<State>, mut stream: TcpStream, at_storage: bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        range: headers.get("range").cloned(),
        has_token: headers.contains_key("authorization"),
        at_storage,
    };
    let reply = {
        let mut state = lock(state);
        state.requests.push(request.clone());
        let is_known =
            headers.get("authorization").map(|value| value.trim_start_matches("Bearer "))
                == state.token.as_deref();
        if state.token.is_some() && !is_known && !at_storage {
            Some(Reply::status(401, ""))
        } else {
            state.reply(&request)
        }
    };
    let Some(reply) = reply else {
        std::thread::sleep(Duration::from_secs(90));
        return Ok(());
    };
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    let names: BTreeSet<&str> = reply.headers.iter().map(|(name, _)| *name).collect();
    if !names.contains("Content-Length") {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if method != "HEAD" {
        let sent = reply.ends_after.unwrap_or(reply.body.len()).min(reply.body.len());
        stream.write_all(&reply.body[..sent])?;
        if reply.stalls {
            stream.flush()?;
            std::thread::sleep(Duration::from_secs(90));
        }
    }
    stream.flush()
}

#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    ends_after: Option<usize>,
    stalls: bool,
}

impl Reply {
    fn status(status: u16, code: &str) -> Self {
        let headers =
            if code.is_empty() { vec![] } else { vec![("X-Error-Code", code.to_owned())] };
        Self { status, headers, ..Self::default() }
    }

    fn redirect(status: u16, to: String) -> Self {
        Self { status, headers: vec![("Location", to)], ..Self::default() }
    }
}

impl State {
    /// `None`: says nothing.
    fn reply(&mut self, request: &Request) -> Option<Reply> {
        let path = request.path.split('?').next().unwrap_or_default();
        for (from, to) in &self.renamed {
            if path.contains(&format!("/{from}/")) {
                return Some(Reply::redirect(307, path.replacen(from, to, 1)));
            }
        }
        if let Some(rest) =
            path.strip_prefix("/api/resolve-cache/").or(path.strip_prefix("/storage/"))
        {
            return self.file(rest, request);
        }
        if let Some(rest) = path.strip_prefix("/api/") {
            return self.description(rest);
        }
        let (repo, rest) = path.trim_start_matches('/').split_once("/resolve/")?;
        let repo =
            if repo.starts_with("datasets/") { repo.to_owned() } else { format!("models/{repo}") };
        let (commit, name) = rest.split_once('/')?;
        self.resolve(&repo, commit, name, request)
    }

    fn description(&self, path: &str) -> Option<Reply> {
        let of_models = || self.faults.get("api/models").filter(|_| path.starts_with("models/"));
        match self.faults.get("api").or_else(of_models) {
            Some(Fault::Status(status, code)) => return Some(Reply::status(*status, code)),
            Some(Fault::Silent) => return None,
            Some(Fault::Loop) => return Some(Reply::redirect(302, format!("/api/{path}"))),
            Some(Fault::Garbage(text)) => {
                return Some(Reply {
                    status: 200,
                    body: text.as_bytes().to_vec(),
                    ..Reply::default()
                });
            }
            _ => {}
        }
        let (name, revision) = path.split_once("/revision/")?;
        let Some(commits) = self.repos.get(name) else {
            // As the hub does: who may not know is not told either.
            let status = if self.token.is_some() { 404 } else { 401 };
            return Some(Reply::status(status, "RepoNotFound"));
        };
        let wanted = |repo: &&Repo| revision == "main" || revision == repo.commit;
        let Some(repo) = commits.iter().rev().find(wanted) else {
            return Some(Reply::status(404, "RevisionNotFound"));
        };
        let siblings: Vec<_> = repo.files.keys().map(|name| json!({ "rfilename": name })).collect();
        let body = json!({ "id": name, "sha": repo.commit, "siblings": siblings }).to_string();
        Some(Reply { status: 200, body: body.into_bytes(), ..Reply::default() })
    }

    fn at(&self, repo: &str, commit: &str) -> Option<&Repo> {
        self.repos.get(repo)?.iter().find(|repo| repo.commit == commit)
    }

    /// The hub's own answer for a file: its name and size, and where it is.
    fn resolve(&self, repo: &str, commit: &str, name: &str, request: &Request) -> Option<Reply> {
        let Some(bytes) = self.at(repo, commit).and_then(|repo| repo.files.get(name)) else {
            return Some(Reply::status(404, "EntryNotFound"));
        };
        let fault = self.faults.get(name);
        let size = bytes.len() + usize::from(matches!(fault, Some(Fault::Longer)));
        let tag = match fault {
            Some(Fault::OtherHash) => etag(name, b"another file"),
            _ => etag(name, bytes),
        };
        let mut reply = match fault {
            Some(Fault::Status(status, code)) => return Some(Reply::status(*status, code)),
            Some(Fault::Silent) => return None,
            Some(Fault::Loop) => return Some(Reply::redirect(302, request.path.clone())),
            Some(Fault::Nowhere) => return Some(Reply::status(302, "")),
            _ if is_large(name) => Reply::redirect(
                302,
                format!("{}/storage/{repo}/{commit}/{name}?signature=s", self.storage),
            ),
            _ => Reply::redirect(307, format!("/api/resolve-cache/{repo}/{commit}/{name}")),
        };
        reply.headers.push(("X-Repo-Commit", commit.to_owned()));
        reply.headers.push(("ETag", "\"of the redirect\"".to_owned()));
        if is_large(name) {
            reply.headers.push(("X-Linked-Size", size.to_string()));
            reply.headers.push(("X-Linked-Etag", format!("\"{tag}\"")));
        }
        Some(reply)
    }

    /// The bytes of a file.
    fn file(&mut self, path: &str, request: &Request) -> Option<Reply> {
        let mut parts = path.splitn(5, '/');
        let [kind, owner, repo, commit, name] = std::array::from_fn(|_| parts.next().unwrap_or(""));
        let name = name.to_owned();
        let mut body =
            self.at(&format!("{kind}/{owner}/{repo}"), commit)?.files.get(&name)?.clone();
        let tag = etag(&name, &body);
        let mut reply = Reply { status: 200, ..Reply::default() };
        reply.headers.push(("ETag", format!("W/\"{tag}\"")));
        let len = body.len();
        let mut from = 0;
        if let Some(range) = request.range.as_ref().filter(|_| !self.without_ranges) {
            from = range.trim_start_matches("bytes=").trim_end_matches('-').parse().ok()?;
            reply.status = 206;
            reply.headers.push(("Content-Range", format!("bytes {from}-{}/{len}", len - 1)));
        }
        match self.faults.get(&name).cloned() {
            Some(Fault::Expired) => return Some(Reply::status(403, "")),
            Some(Fault::Corrupt) => body[len / 2] ^= 1,
            Some(Fault::Shorter) => {
                reply.headers.push(("Content-Length", (len - 10 - from).to_string()));
                body.truncate(len - 10);
            }
            Some(Fault::Cut(after, times)) if request.method == "GET" => {
                reply.headers.push(("Content-Length", (len - from).to_string()));
                reply.ends_after = Some(after);
                let left = Fault::Cut(after, times.saturating_sub(1));
                let rest = (times > 1).then_some(left);
                match rest {
                    Some(fault) => drop(self.faults.insert(name, fault)),
                    None => drop(self.faults.remove(&name)),
                }
            }
            Some(Fault::Stall(after)) => {
                reply.ends_after = Some(after.saturating_sub(from));
                reply.stalls = true;
            }
            _ => {}
        }
        reply.body = body.split_off(from.min(body.len()));
        Some(reply)
    }
}
