//! What is worked out once per endpoint rather than once per try: its URL, keys and headers, and the connections it
//! keeps. Must not do I/O.

use super::answer::Failure;
use super::config::{HeaderFamily, HttpSinkConfig};
use super::connection::Connection;
use super::metrics::Counters;
use hookfast_core::address::{Target, parse_url};
use hookfast_core::delivery::Cause;
use hookfast_core::headers::endpoint_header_refusal;
use hookfast_core::model::{Endpoint, EndpointSecrets, Signing};
use hookfast_core::{EndpointId, UnixMs};
use hookfast_signing::{BodyHexKey, Secret, Signer};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// Endpoints remembered; those beyond are worked out for each try.
const PREPARED_MAX: usize = 65_536;
/// An endpoint is forgotten when it got nothing for this long.
const UNUSED_MS_MAX: u64 = 300_000;

const WEBHOOK_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("webhook-signature"),
];
const SVIX_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("svix-id"),
    HeaderName::from_static("svix-timestamp"),
    HeaderName::from_static("svix-signature"),
];
pub(super) const BODY_HEX_HEADER: HeaderName = HeaderName::from_static(BodyHexKey::HEADER);

/// One endpoint, ready to send.
pub(super) struct Prepared {
    made_from: MadeFrom,
    /// What is wrong with the endpoint, if it cannot be sent to.
    pub(super) parts: Result<Parts, Failure>,
    idle: Mutex<Vec<Idle>>,
    used_at_ms: AtomicU64,
}

/// What of an endpoint goes into a request; as long as it is equal, nothing has to be worked out again.
struct MadeFrom {
    url: String,
    headers: BTreeMap<String, String>,
    secrets: EndpointSecrets,
    signing: Signing,
}

impl MadeFrom {
    fn new(endpoint: &Endpoint) -> Self {
        Self {
            url: endpoint.url.clone(),
            headers: endpoint.headers.clone(),
            secrets: endpoint.secrets.clone(),
            signing: endpoint.signing,
        }
    }

    fn is_of(&self, endpoint: &Endpoint) -> bool {
        self.url == endpoint.url
            && self.secrets == endpoint.secrets
            && self.headers == endpoint.headers
            && self.signing == endpoint.signing
    }
}

/// The parts of a request that do not change from try to try.
pub(super) struct Parts {
    pub(super) target: Target,
    /// Path and query.
    pub(super) uri: Uri,
    /// Every header in its order, with placeholders for those that change: replacing them does not grow the map.
    pub(super) headers: HeaderMap,
    pub(super) keys: Keys,
}

/// What signs.
pub(super) struct Keys {
    /// The current secret first; an old one until it expires.
    pub(super) signers: Vec<(Signer, Option<UnixMs>)>,
    pub(super) body_hex: Option<BodyHexKey>,
}

impl Parts {
    fn new(endpoint: &Endpoint, config: &HttpSinkConfig) -> Result<Self, Failure> {
        let wrong = |text: String| Failure::new(Cause::Request, text);
        let target = parse_url(&endpoint.url, config.https_only)
            .map_err(|refused| wrong(format!("the endpoint's URL cannot be used: {refused}")))?;
        let path = &target.url[url::Position::BeforePath..url::Position::AfterQuery];
        let uri = path.parse().map_err(|_| wrong("the endpoint's URL has an unusable path".to_owned()))?;
        let keys = keys(endpoint)?;
        let headers = headers(endpoint, &target, config)?;
        Ok(Self { target, uri, headers, keys })
    }
}

fn keys(endpoint: &Endpoint) -> Result<Keys, Failure> {
    let unreadable = |error: hookfast_signing::Error| {
        Failure::new(Cause::Request, format!("a secret of the endpoint cannot be used: {error}"))
    };
    let body_hex = match endpoint.signing {
        Signing::Standard => None,
        Signing::WithBodyHex => Some(BodyHexKey::new(endpoint.secrets.current.reveal()).map_err(unreadable)?),
    };
    let signer = |text: &str| {
        let secret = Secret::parse(text);
        // A shared token is any text; the Standard Webhooks signatures beside it are keyed with its bytes.
        let secret = if body_hex.is_some() { secret.or_else(|_| Secret::from_bytes(text.as_bytes())) } else { secret };
        secret.map(|secret| secret.signer()).map_err(unreadable)
    };
    let mut signers = vec![(signer(endpoint.secrets.current.reveal())?, None)];
    for old in &endpoint.secrets.old {
        signers.push((signer(old.secret.reveal())?, Some(old.expires_at)));
    }
    Ok(Keys { signers, body_hex })
}

fn headers(endpoint: &Endpoint, target: &Target, config: &HttpSinkConfig) -> Result<HeaderMap, Failure> {
    let wrong = |text: String| Failure::new(Cause::Request, text);
    let mut headers = HeaderMap::with_capacity(endpoint.headers.len() + 12);
    // What the Host header says: host and port, as the URL has them.
    let host = &target.url[url::Position::BeforeHost..url::Position::AfterPort];
    let host = HeaderValue::from_str(host).map_err(|_| wrong("the endpoint's host cannot be a header".to_owned()))?;
    let agent =
        HeaderValue::from_str(&config.user_agent).map_err(|_| wrong("the user agent is unusable".to_owned()))?;
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, agent);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    for name in signature_headers(config.header_family).flatten() {
        headers.insert(name, HeaderValue::from_static(""));
    }
    if endpoint.signing == Signing::WithBodyHex {
        headers.insert(BODY_HEX_HEADER, HeaderValue::from_static(""));
    }
    for (name, value) in &endpoint.headers {
        if let Some(reason) = endpoint_header_refusal(name, value) {
            return Err(wrong(format!("header {name:?} of the endpoint cannot be sent: {reason}")));
        }
        let unusable = || wrong(format!("header {name:?} of the endpoint cannot be sent"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
        headers.insert(parsed, HeaderValue::from_str(value).map_err(|_| unusable())?);
    }
    Ok(headers)
}

/// A connection that nobody uses.
struct Idle {
    connection: Connection,
    since: Instant,
    _place: Place,
}

/// One of the places for unused connections; given back when dropped.
struct Place(Arc<Counters>);

impl Place {
    fn take(counters: &Arc<Counters>, max: usize) -> Option<Self> {
        let place = Self(Arc::clone(counters));
        // Counted first, so that several at once cannot pass the limit together.
        (counters.idle.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Prepared {
    /// The connection used last, if one is kept that is not too old.
    pub(super) fn take_idle(&self, idle_timeout: Duration) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = idle.pop()?;
        if newest.since.elapsed() < idle_timeout {
            return Some(newest.connection);
        }
        // The others are older still.
        idle.clear();
        None
    }

    /// Keeps a connection for the next try; drops it when there is no place.
    pub(super) fn keep(&self, connection: Connection, now: Instant, config: &HttpSinkConfig, counters: &Arc<Counters>) {
        let Some(place) = Place::take(counters, config.idle_max) else { return };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < config.idle_per_endpoint_max {
            idle.push(Idle { connection, since: now, _place: place });
        }
    }

    fn reap(&self, idle_timeout: Duration) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let young = idle.iter().position(|one| one.since.elapsed() < idle_timeout).unwrap_or(idle.len());
        let old: Vec<Idle> = idle.drain(..young).collect();
        // Closing takes longer than a lock should be held.
        drop(idle);
        drop(old);
    }

    fn is_unused(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.used_at_ms.load(Ordering::Relaxed)) > UNUSED_MS_MAX
    }
}

/// All endpoints that got something lately.
#[derive(Default)]
pub(super) struct PreparedEndpoints(RwLock<HashMap<EndpointId, Arc<Prepared>>>);

impl PreparedEndpoints {
    /// The endpoint as it is now; worked out again when it has changed, which also drops its old connections.
    pub(super) fn get(&self, endpoint: &Endpoint, config: &HttpSinkConfig, now_ms: u64) -> Arc<Prepared> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&endpoint.id).map(Arc::clone);
        if let Some(prepared) = known
            && prepared.made_from.is_of(endpoint)
        {
            prepared.used_at_ms.store(now_ms, Ordering::Relaxed);
            return prepared;
        }
        let prepared = Arc::new(Prepared {
            made_from: MadeFrom::new(endpoint),
            parts: Parts::new(endpoint, config),
            idle: Mutex::default(),
            used_at_ms: AtomicU64::new(now_ms),
        });
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() < PREPARED_MAX || all.contains_key(&endpoint.id) {
            all.insert(endpoint.id, Arc::clone(&prepared));
        }
        prepared
    }

    /// Closes connections that were unused for too long, forgets endpoints that were; `false` when none is left.
    pub(super) fn reap(&self, idle_timeout: Duration, now_ms: u64) -> bool {
        let all: Vec<Arc<Prepared>> = {
            let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
            all.values().map(Arc::clone).collect()
        };
        let mut has_unused = false;
        for prepared in &all {
            prepared.reap(idle_timeout);
            has_unused |= prepared.is_unused(now_ms);
        }
        drop(all);
        if !has_unused {
            return !self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty();
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, prepared| !prepared.is_unused(now_ms));
        !all.is_empty()
    }
}

/// The names under which the signature headers go out: id, timestamp, signature of each family.
pub(super) fn signature_headers(family: HeaderFamily) -> impl Iterator<Item = [HeaderName; 3]> {
    let standard = family.has_standard().then_some(WEBHOOK_HEADERS);
    let svix = family.has_svix().then_some(SVIX_HEADERS);
    standard.into_iter().chain(svix)
}
