//! Requests over a connection: TCP with or without TLS, or a control socket. One connection, opened when needed.

use super::Answer;
use crate::exit::{Exit, Failure};
use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A socket's path must fit in the system's address structure.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// Where the control socket of a data directory is.
pub(crate) fn control_socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// A path to the same socket that is short enough to be dialled or bound, and what must live as long as it is used.
pub(crate) fn dialable(path: &Path) -> std::io::Result<(PathBuf, Option<std::fs::File>)> {
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok((path.to_owned(), None));
    }
    // Through the open directory the path is short, however deep the directory is.
    use std::os::fd::AsRawFd as _;
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok((path.to_owned(), None)) };
    let dir = std::fs::File::open(dir)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name), Some(dir)))
}

enum Place {
    Url { host: String, port: u16, tls: bool },
    Control(PathBuf),
}

/// A server at the other end of a connection.
pub(super) struct Socket {
    place: Place,
    /// What the paths of requests are appended to.
    base: String,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    open: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Socket {
    pub(super) fn to_url(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        let wrong = |why: String| Failure::new(Exit::Usage, format!("--url {url}: {why}"));
        let parsed = url::Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let tls = match parsed.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(wrong(format!("expected http or https, found {other}"))),
        };
        let host = parsed.host_str().ok_or_else(|| wrong("expected a host".into()))?;
        let port = parsed.port_or_known_default().unwrap_or(80);
        let authorization = match token {
            Some(token) => {
                let text = HeaderValue::from_str(&format!("Bearer {token}"));
                let mut value = text.map_err(|_| wrong("the token has characters that no token has".into()))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let authority = parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self {
            place: Place::Url { host: host.trim_matches(['[', ']']).to_owned(), port, tls },
            base: parsed.path().trim_end_matches('/').to_owned(),
            host: HeaderValue::from_str(&authority).map_err(|error| wrong(error.to_string()))?,
            authorization,
            open: Mutex::new(None),
        })
    }

    pub(super) fn to_control_socket(path: PathBuf) -> Self {
        Self {
            place: Place::Control(path),
            base: String::new(),
            host: HeaderValue::from_static("localhost"),
            authorization: None,
            open: Mutex::new(None),
        }
    }

    /// Connects if there is no connection yet.
    pub(super) async fn connect(&self) -> anyhow::Result<()> {
        let mut open = self.open.lock().await;
        if open.is_none() {
            *open = Some(self.dial().await?);
        }
        Ok(())
    }

    async fn dial(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let unreachable = |what: String, error: std::io::Error| {
            Failure::new(Exit::Unavailable, format!("cannot connect to {what}: {error}; is the server running?"))
        };
        match &self.place {
            Place::Control(path) => {
                let (short, _dir) = dialable(path)?;
                let stream = UnixStream::connect(short).await;
                start(stream.map_err(|error| unreachable(path.display().to_string(), error))?).await
            }
            Place::Url { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.map_err(|error| unreachable(format!("{host}:{port}"), error))?;
                stream.set_nodelay(true)?;
                if *tls { start(encrypt(stream, host).await?).await } else { start(stream).await }
            }
        }
    }

    pub(super) async fn call(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let path = format!("{}{}", self.base, request.uri());
        *request.uri_mut() = path.parse().with_context(|| format!("no valid path: {path}"))?;
        request.headers_mut().insert(header::HOST, self.host.clone());
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.clone());
        }
        let mut open = self.open.lock().await;
        let mut idle = open.take();
        if let Some(sender) = &mut idle
            && sender.ready().await.is_err()
        {
            // The server closed it meanwhile.
            idle = None;
        }
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.dial().await?,
        };
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Failure::new(Exit::Unavailable, format!("the answer broke off: {error}")))?;
        *open = Some(sender);
        Ok(Answer { status, body: body.to_bytes() })
    }
}

fn broken(error: hyper::Error) -> anyhow::Error {
    Failure::new(Exit::Unavailable, format!("the connection broke before the answer: {error}"))
}

async fn start<S>(stream: S) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Its errors show up at the sender.
    tokio::spawn(connection);
    Ok(sender)
}

async fn encrypt(stream: TcpStream, host: &str) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())?;
    let connected = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connected.map_err(|error| Failure::new(Exit::Unavailable, format!("TLS with {host}: {error}")))
}
