//! How commands talk to hookfast: HTTP requests over one of three transports (TCP, the control socket of a data
//! directory, or the router called in this process). Must not know what the commands do.

mod local;
mod socket;

use crate::config::{ConfigArgs, Wrong};
use crate::exit::{Exit, Failure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use local::owner;
pub(crate) use socket::{control_socket_path, dialable};

/// Longest wait for an answer.
const CALL_MS_MAX: u64 = 60_000;

/// Which hookfast a command talks to.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Target {
    /// Talk to the server at this URL; HOOKFAST_URL names one too
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Token for --url; better in HOOKFAST_TOKEN, where other users of the machine cannot see it
    #[arg(long, value_name = "TOKEN", requires = "url", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Without --url: the data directory or the shared store, whether a server runs on it or not
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

impl Target {
    /// The URL to talk to, if one is named. A flag wins over the environment.
    fn url(&self) -> Option<String> {
        if (self.config.data_dir.is_some() || self.config.store.is_some()) && self.url.is_none() {
            return None;
        }
        self.url.clone().or_else(|| std::env::var("HOOKFAST_URL").ok().filter(|url| !url.is_empty()))
    }

    fn token(&self) -> Option<String> {
        self.token.clone().or_else(|| std::env::var("HOOKFAST_TOKEN").ok().filter(|token| !token.is_empty()))
    }

    /// The flags that lead another command to the same hookfast, to be put behind it. Neither a token nor a store's URL,
    /// which may hold a password, is repeated.
    pub(crate) fn flags(&self) -> String {
        let quoted = |flag: &str, value: &str| format!(" {flag} {}", quoted(value));
        let mut flags = self.url.as_deref().map_or_else(String::new, |url| quoted("--url", url));
        if let Some(dir) = &self.config.data_dir {
            flags.push_str(&quoted("--data-dir", &dir.display().to_string()));
        }
        if let Some(file) = &self.config.config {
            flags.push_str(&quoted("--config", &file.display().to_string()));
        }
        flags
    }

    /// Connects: to the URL; else to the shared store; else to the server that holds the data directory; else takes the
    /// directory itself.
    pub(crate) async fn connect(&self) -> anyhow::Result<Api> {
        if let Some(url) = self.url() {
            let socket = socket::Socket::to_url(&url, self.token())?;
            return Ok(Api { transport: Transport::Socket(socket) });
        }
        let config = crate::config::load(&self.config, &[]).map_err(|faults| config_failure(&faults))?;
        local::connect(&config).await
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The failure that lists everything wrong with a configuration.
pub(crate) fn config_failure(faults: &[Wrong]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    let count = if faults.len() == 1 { "a fault".into() } else { format!("{} faults", faults.len()) };
    Failure::new(Exit::Usage, format!("the configuration has {count}:{}", lines.concat()))
}

enum Transport {
    Socket(socket::Socket),
    Here(Box<local::Here>),
}

/// A hookfast that answers requests.
pub(crate) struct Api {
    transport: Transport,
}

/// An answer with any status.
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Api {
    /// Over the control socket at this path, as the one who owns the data directory.
    pub(crate) fn over_control_socket(path: PathBuf) -> Self {
        Self { transport: Transport::Socket(socket::Socket::to_control_socket(path)) }
    }

    /// What this command calls itself on the store, where it uses the store itself.
    pub(crate) fn own_node(&self) -> Option<&str> {
        match &self.transport {
            Transport::Socket(_) => None,
            Transport::Here(here) => Some(here.name()),
        }
    }

    /// One request. POSTs carry an idempotency key, so that repeating one after a broken connection is safe.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Answer> {
        let key = (method == Method::POST).then(|| format!("cli_{:032x}", fastrand::u128(..)));
        self.keyed(method, path, body, key.as_deref()).await
    }

    /// A POST without a body that has its effect once for each `key`, whoever sends it; its answer as JSON.
    pub(crate) async fn post_once(&self, path: &str, key: &str) -> anyhow::Result<Value> {
        self.keyed(Method::POST, path, Bytes::new(), Some(key)).await?.json()
    }

    async fn keyed(&self, method: Method, path: &str, body: Bytes, key: Option<&str>) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(&method).uri(path);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body))?;
        let answer = async {
            match &self.transport {
                Transport::Socket(socket) => socket.call(request).await,
                Transport::Here(here) => here.call(request).await,
            }
        };
        let too_late = |_| Failure::new(Exit::Unavailable, format!("no answer within {} s", CALL_MS_MAX / 1000));
        tokio::time::timeout(Duration::from_millis(CALL_MS_MAX), answer).await.map_err(too_late)?
    }

    /// One request whose answer must be a success; its body as JSON (null when empty).
    pub(crate) async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let bytes = body.map(|value| Bytes::from(value.to_string())).unwrap_or_default();
        self.call(method, path, bytes).await?.json()
    }

    /// Ends the connection; in this process, closes the store.
    pub(crate) async fn close(self) {
        match self.transport {
            Transport::Socket(_) => {}
            Transport::Here(here) => here.close().await,
        }
    }
}

impl Answer {
    /// The body of a success as JSON; a failure with its exit code for every other status.
    pub(crate) fn json(self) -> anyhow::Result<Value> {
        if self.status.is_success() {
            if self.body.is_empty() {
                return Ok(Value::Null);
            }
            return Ok(serde_json::from_slice(&self.body)?);
        }
        let exit = match self.status {
            StatusCode::NOT_FOUND => Exit::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Refused,
            StatusCode::CONFLICT => Exit::Conflict,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Exit::Unavailable,
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Exit::Usage,
            _ => Exit::Failed,
        };
        Err(Failure::new(exit, self.explain()))
    }

    /// The error body of the API in one line.
    fn explain(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let detail = match &body["detail"] {
            Value::String(text) => text.clone(),
            Value::Array(faults) => faults.iter().map(one_fault).collect::<Vec<_>>().join("; "),
            _ => String::new(),
        };
        if detail.is_empty() { format!("the server answered {}", self.status) } else { detail }
    }
}

fn one_fault(fault: &Value) -> String {
    let place: Vec<&str> = fault["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let text = fault["msg"].as_str().unwrap_or("wrong");
    // The first element only says that it is about the body.
    match place.split_first() {
        Some((_, rest)) if !rest.is_empty() => format!("{}: {text}", rest.join(".")),
        _ => text.to_owned(),
    }
}

/// A path segment that any text fits in.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> (Exit, String) {
        let answer =
            Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::copy_from_slice(body.as_bytes()) };
        let error = answer.json().unwrap_err();
        (Failure::exit_of(&error), error.to_string())
    }

    #[test]
    fn api_errors_become_one_line_and_an_exit_code() {
        assert_eq!(
            refused(404, r#"{"code":"not_found","detail":"application not found"}"#),
            (Exit::NotFound, "application not found".into())
        );
        let two =
            r#"{"detail":[{"loc":["body","eventType"],"msg":"missing","type":"x"},{"loc":["body"],"msg":"bad"}]}"#;
        assert_eq!(refused(422, two), (Exit::Usage, "eventType: missing; bad".into()));
        assert_eq!(refused(500, "<html>"), (Exit::Failed, "the server answered 500 Internal Server Error".into()));
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("a/../b?c#d é"), "a%2F..%2Fb%3Fc%23d%20%C3%A9");
    }
}
