//! The hub's settings, which are those of Python's `huggingface_hub`: `HF_HOME`, `HF_HUB_CACHE`,
//! `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_OFFLINE`, `HF_HUB_ETAG_TIMEOUT` and
//! `HF_HUB_DOWNLOAD_TIMEOUT`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hf_hub::Cache;

const ENDPOINT: &str = "https://huggingface.co";
const SECONDS: f64 = 10.0;

/// Where the hub is, where its files are kept, and how long it is waited for. The token is no part
/// of what `Debug` shows, for there is no `Debug`.
pub struct Settings {
    /// The cache folder.
    pub cache: Cache,
    /// The hub's address, without a slash at the end.
    pub endpoint: String,
    /// Who asks; sent to the endpoint alone.
    pub token: Option<String>,
    /// Why the hub is not asked, where it is not.
    pub offline: Option<&'static str>,
    /// Longest wait for what the hub says of a repository or a file.
    pub metadata_timeout: Duration,
    /// Longest wait for the next bytes of a file.
    pub download_timeout: Duration,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// A value that is none of its variable.
    pub fn from_env(offline: bool) -> Result<Self> {
        Self::read(offline, &|name| std::env::var(name).ok())
    }

    fn read(offline: bool, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let is_true = |name: &str| {
            variable(name).is_some_and(|value| {
                ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
            })
        };
        let offline = if offline {
            Some("--offline")
        } else if is_true("HF_HUB_OFFLINE") {
            Some("HF_HUB_OFFLINE")
        } else {
            is_true("TRANSFORMERS_OFFLINE").then_some("TRANSFORMERS_OFFLINE")
        };
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        ensure!(
            endpoint.starts_with("https://") || endpoint.starts_with("http://"),
            "HF_ENDPOINT={endpoint}: expected an address such as {ENDPOINT}"
        );
        let home = home(&variable)?;
        let cache = variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from);
        let token_file = variable("HF_TOKEN_PATH").map(PathBuf::from);
        let token = variable("HF_TOKEN").or_else(|| match token_file {
            Some(path) => std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()),
            None => Cache::new(home.join("hub")).token(),
        });
        let token = token.filter(|token| !token.is_empty());
        ensure!(
            token.as_ref().is_none_or(|token| token.bytes().all(|byte| byte.is_ascii_graphic())),
            "HF_TOKEN: expected a token of the hub, without spaces"
        );
        Ok(Self {
            cache: Cache::new(cache),
            endpoint,
            token,
            offline,
            metadata_timeout: seconds("HF_HUB_ETAG_TIMEOUT", &variable)?,
            download_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT", &variable)?,
        })
    }
}

/// `HF_HOME`, or `huggingface` in the user's cache folder.
fn home(variable: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf> {
    let user = std::env::home_dir();
    if let Some(home) = variable("HF_HOME") {
        return Ok(match (home.strip_prefix("~/"), user) {
            (Some(rest), Some(user)) => user.join(rest),
            _ => PathBuf::from(home),
        });
    }
    if let Some(cache) = variable("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(cache).join("huggingface"));
    }
    let user = user.context("no home folder is known; expected HF_HOME to name a cache folder")?;
    Ok(user.join(".cache").join("huggingface"))
}

fn seconds(name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Duration> {
    let Some(value) = variable(name) else { return Ok(Duration::from_secs_f64(SECONDS)) };
    match value.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds < 1e6 => Ok(Duration::from_secs_f64(seconds)),
        _ => bail!("{name}={value}: expected a number of seconds above 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(offline: bool, variables: &[(&str, &str)]) -> Result<Settings> {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(offline, &find)
    }

    #[test]
    fn variables_have_pythons_meaning() -> Result<()> {
        let all = settings(
            false,
            &[
                ("HF_HOME", "h"),
                ("HF_ENDPOINT", "http://127.0.0.1:1/"),
                ("HF_TOKEN", " hf_x\n"),
                ("HF_HUB_ETAG_TIMEOUT", "3"),
                ("HF_HUB_OFFLINE", "0"),
            ],
        )?;
        assert_eq!(*all.cache.path(), PathBuf::from("h").join("hub"));
        assert_eq!(
            (all.endpoint.as_str(), all.token.as_deref()),
            ("http://127.0.0.1:1", Some("hf_x"))
        );
        assert_eq!((all.metadata_timeout, all.offline), (Duration::from_secs(3), None));
        assert_eq!(all.download_timeout, Duration::from_secs(10));
        let moved = settings(false, &[("HF_HOME", "h"), ("HF_HUB_CACHE", "c")])?;
        assert_eq!(*moved.cache.path(), PathBuf::from("c"));
        let cache = settings(false, &[("XDG_CACHE_HOME", "x")])?;
        assert_eq!(*cache.cache.path(), PathBuf::from("x").join("huggingface").join("hub"));
        Ok(())
    }

    #[test]
    fn the_token_is_the_variable_s_or_the_file_s() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let home = folder.path().to_string_lossy().into_owned();
        let token = |variables: &[(&str, &str)]| {
            let all = [&[("HF_HOME", home.as_str())], variables].concat();
            Ok::<_, anyhow::Error>(settings(false, &all)?.token)
        };
        assert_eq!(token(&[])?, None);
        std::fs::write(folder.path().join("token"), "hf_kept\n")?;
        assert_eq!(token(&[])?.as_deref(), Some("hf_kept"));
        assert_eq!(token(&[("HF_TOKEN", "hf_typed")])?.as_deref(), Some("hf_typed"));
        let other = folder.path().join("other");
        std::fs::write(&other, "hf_other")?;
        let path = other.to_string_lossy();
        assert_eq!(token(&[("HF_TOKEN_PATH", &path)])?.as_deref(), Some("hf_other"));
        Ok(())
    }

    #[test]
    fn offline_says_by_what() -> Result<()> {
        let by = |flag, variables: &[(&'static str, &'static str)]| {
            Ok::<_, anyhow::Error>(
                settings(flag, &[variables, &[("HF_HOME", "h")]].concat())?.offline,
            )
        };
        assert_eq!(by(true, &[("HF_HUB_OFFLINE", "1")])?, Some("--offline"));
        assert_eq!(by(false, &[("HF_HUB_OFFLINE", "Yes")])?, Some("HF_HUB_OFFLINE"));
        assert_eq!(by(false, &[("TRANSFORMERS_OFFLINE", "1")])?, Some("TRANSFORMERS_OFFLINE"));
        assert_eq!(by(false, &[("HF_HUB_OFFLINE", "false")])?, None);
        Ok(())
    }

    #[test]
    fn values_that_are_none_are_told() {
        let check = |variable, expected: &str| {
            let error = settings(false, &[("HF_HOME", "h"), variable]).err().expect(expected);
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(("HF_ENDPOINT", "hub"), "HF_ENDPOINT=hub: expected an address");
        check(
            ("HF_HUB_DOWNLOAD_TIMEOUT", "long"),
            "HF_HUB_DOWNLOAD_TIMEOUT=long: expected a number",
        );
        check(("HF_TOKEN", "a b"), "HF_TOKEN: expected a token");
    }
}
