//! A small client of the API: what bench, demo and the judge ask of a server. It speaks to any server of this API,
//! and knows of hookfast's own additions only what it reads when they are there.

mod transport;
mod wire;

pub use transport::Answer;
pub use wire::{
    Application, ApplicationIn, Attempt, Destination, Endpoint, EndpointIn, EndpointStats, MessageIn, MessageOut,
};

use crate::{Error, Result};
use bytes::Bytes;
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;
use transport::{Target, Transport};
use wire::{List, SecretOut};

/// Where to find a server and how to speak to it.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    /// Host for the `host` field.
    authority: String,
    /// Path prefix of the base URL, without its last slash.
    prefix: String,
    token: Option<String>,
}

/// How long a call may take.
const CALL_MS_MAX: u64 = 30_000;
/// Pages that a list is followed for.
const PAGES_MAX: usize = 10_000;

impl Client {
    /// For a server at `url` (`http://host:port`, perhaps with a path before `/api/v1`).
    ///
    /// # Errors
    /// When it is not such a URL; the lab speaks no TLS.
    pub fn tcp(url: &str, token: Option<String>) -> Result<Self> {
        let wrong = |reason: &str| Error::Invalid { field: "url", reason: format!("{reason}, found {url:?}") };
        let uri: http::Uri = url.parse().map_err(|_| wrong("expected http://host:port"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("expected http:// (no TLS here)"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("expected http://host:port"))?;
        let dial = if authority.port().is_some() { authority.to_string() } else { format!("{authority}:80") };
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let transport = Transport::new(Target::Tcp(dial), Duration::from_millis(CALL_MS_MAX));
        Ok(Self { transport, authority: authority.to_string(), prefix, token })
    }

    /// For a server that listens on a Unix socket (a data directory's `control.sock`, where no token is needed).
    pub fn unix(path: impl Into<PathBuf>, token: Option<String>) -> Self {
        let transport = Transport::new(Target::Unix(path.into()), Duration::from_millis(CALL_MS_MAX));
        Self { transport, authority: "localhost".to_owned(), prefix: String::new(), token }
    }

    /// `host:port` to dial, for TCP servers.
    #[must_use]
    pub fn dial_address(&self) -> Option<&str> {
        match &self.transport.target {
            Target::Tcp(address) => Some(address),
            Target::Unix(_) => None,
        }
    }

    /// The value of the `host` field.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before `/api/v1` in every path.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// One call; `path` starts with a slash. Any status is an `Ok`.
    ///
    /// # Errors
    /// When there was no whole answer; the call may have had its effect.
    pub async fn call(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Result<Answer> {
        let what = format!("{method} {path}");
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.prefix));
        request = request.header("host", &self.authority);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())));
        let request = request.map_err(|error| Error::Invalid { field: "call", reason: format!("{what}: {error}") })?;
        self.transport.exchange(&what, request).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Result<T> {
        let answer = self.call(method, path, body).await?;
        let text = || String::from_utf8_lossy(&answer.body[..answer.body.len().min(500)]).into_owned();
        let what = format!("{method} {path}");
        if !(200..300).contains(&answer.status) {
            return Err(Error::Answer { what, status: answer.status, body: text() });
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| Error::Exchange { what, reason: format!("{error} in {}", text()) })
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let body = serde_json::to_vec(body);
        let body = body.map_err(|error| Error::Invalid { field: "body", reason: error.to_string() })?;
        self.ask("POST", path, Some(body)).await
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        let mut iterator: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let after = iterator.map(|iterator| format!("&iterator={iterator}")).unwrap_or_default();
            let page: List<T> = self.ask("GET", &format!("{path}{separator}limit=250{after}"), None).await?;
            all.extend(page.data);
            iterator = page.iterator;
            if page.done || iterator.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Is it ready (`GET /api/v1/health/ping` answers 204)?
    pub async fn ping(&self) -> bool {
        matches!(self.call("GET", "/api/v1/health/ping", None).await, Ok(answer) if answer.status == 204)
    }

    /// `GET /api/v1/health`, as it answers.
    ///
    /// # Errors
    /// When there was no whole answer.
    pub async fn health(&self) -> Result<Answer> {
        self.call("GET", "/api/v1/health", None).await
    }

    /// The Prometheus text of `/metrics`.
    ///
    /// # Errors
    /// When there was no whole answer, or not 200.
    pub async fn metrics(&self) -> Result<String> {
        let answer = self.call("GET", "/metrics", None).await?;
        match answer.status {
            200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
            status => Err(Error::Answer { what: "GET /metrics".into(), status, body: String::new() }),
        }
    }

    /// Creates an application.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn create_application(&self, application: &ApplicationIn) -> Result<Application> {
        self.post("/api/v1/app", application).await
    }

    /// Creates an endpoint.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn create_endpoint(&self, app: &str, endpoint: &EndpointIn) -> Result<Endpoint> {
        self.post(&format!("/api/v1/app/{app}/endpoint"), endpoint).await
    }

    /// The secret of an endpoint.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn endpoint_secret(&self, app: &str, endpoint: &str) -> Result<String> {
        let secret: SecretOut = self.ask("GET", &format!("/api/v1/app/{app}/endpoint/{endpoint}/secret"), None).await?;
        Ok(secret.key)
    }

    /// The counts of an endpoint.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn endpoint_stats(&self, app: &str, endpoint: &str) -> Result<EndpointStats> {
        self.ask("GET", &format!("/api/v1/app/{app}/endpoint/{endpoint}/stats"), None).await
    }

    /// Deletes an endpoint.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn delete_endpoint(&self, app: &str, endpoint: &str) -> Result<()> {
        let path = format!("/api/v1/app/{app}/endpoint/{endpoint}");
        match self.call("DELETE", &path, None).await?.status {
            204 => Ok(()),
            status => Err(Error::Answer { what: format!("DELETE {path}"), status, body: String::new() }),
        }
    }

    /// Sends an event.
    ///
    /// # Errors
    /// When the call broke (the event may have been accepted) or was refused.
    pub async fn create_event(&self, app: &str, message: &MessageIn<'_>) -> Result<MessageOut> {
        self.post(&format!("/api/v1/app/{app}/msg"), message).await
    }

    /// Where an event went, and how it stands there.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn destinations(&self, app: &str, event: &str) -> Result<Vec<Destination>> {
        self.list(&format!("/api/v1/app/{app}/msg/{event}/endpoint")).await
    }

    /// The attempts of an event, newest first.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn attempts_by_event(&self, app: &str, event: &str) -> Result<Vec<Attempt>> {
        self.list(&format!("/api/v1/app/{app}/attempt/msg/{event}")).await
    }

    /// The attempts at an endpoint, newest first.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn attempts_by_endpoint(&self, app: &str, endpoint: &str) -> Result<Vec<Attempt>> {
        self.list(&format!("/api/v1/app/{app}/attempt/endpoint/{endpoint}")).await
    }

    /// Sends an event to an endpoint once more.
    ///
    /// # Errors
    /// When the call broke or was refused.
    pub async fn resend(&self, app: &str, event: &str, endpoint: &str) -> Result<()> {
        let path = format!("/api/v1/app/{app}/msg/{event}/endpoint/{endpoint}/resend");
        match self.call("POST", &path, Some(Vec::new())).await? {
            answer if (200..300).contains(&answer.status) => Ok(()),
            answer => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                Err(Error::Answer { what: format!("POST {path}"), status: answer.status, body })
            }
        }
    }
}
