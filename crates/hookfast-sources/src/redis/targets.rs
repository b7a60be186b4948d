//! The endpoints behind URLs in messages: made when a URL is first seen, bounded in number, removed when nobody names
//! them any more. Must not know where messages come from.

use super::RedisPorts;
use super::config::RedisConfig;
use super::message::hash;
use super::metrics::{Metrics, gauge};
use hookfast_core::address::vet_url;
use hookfast_core::limits::PAGE_ROWS_MAX;
use hookfast_core::model::{Disabled, Endpoint, SecretText, Signing};
use hookfast_core::ports::{AttemptFilter, EndpointPatch, NewApplication, NewEndpoint, OnExisting, Order, Page};
use hookfast_core::{AppId, EndpointId, Error, OrgId, Result, UnixMs};
use hookfast_signing::Secret;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::Mutex;

/// No endpoint that was named within this time is removed: what was sent to it may still be on its way in memory.
const USED_MS_MIN: u64 = 10 * 60 * 1000;
/// So many are looked at when one has to go, and at each sweep.
const LOOKED_AT_MAX: usize = 16;
/// An event type that no event has: such an endpoint gets what is sent to it alone.
const NO_TYPE: &str = "redis.nothing-by-filter";

#[derive(Clone, Copy)]
struct Known {
    id: EndpointId,
    used: UnixMs,
}

#[derive(Default)]
struct State {
    app: Option<AppId>,
    /// By uid.
    known: HashMap<String, Known>,
}

/// The application of a source and its endpoints.
pub(super) struct Targets {
    config: Arc<RedisConfig>,
    ports: RedisPorts,
    metrics: Metrics,
    state: Mutex<State>,
}

impl Targets {
    pub(super) fn new(config: Arc<RedisConfig>, ports: RedisPorts, metrics: Metrics) -> Self {
        Self { config, ports, metrics, state: Mutex::default() }
    }

    /// The source's application, made if it does not exist. Its endpoints are known from then on.
    pub(super) async fn application(&self) -> Result<AppId> {
        self.app_of(&mut *self.state.lock().await).await
    }

    /// Forgets what it knows: the application or an endpoint was deleted behind its back.
    pub(super) async fn forget(&self) {
        *self.state.lock().await = State::default();
    }

    /// The endpoint for a URL, ready to be sent to, and its application. Errors: `Invalid` when the URL is not allowed;
    /// `Conflict` when its endpoint was disabled by hand, or when there are too many and none can go.
    pub(super) async fn route(&self, url: &str) -> Result<(AppId, EndpointId)> {
        let vetted = vet_url(url, self.config.https_only, &self.config.rules);
        let url = vetted.map_err(|refused| Error::invalid("url", refused.to_string()))?;
        let uid = format!("url.{}", &hash(url.as_bytes())[..32]);
        let app = self.application().await?;
        // Looked up each time: it may have been disabled a moment ago, and what is sent to it then goes nowhere.
        let id = match self.ports.endpoints.endpoint(app, &uid).await {
            Ok(endpoint) => self.made_ready(&endpoint).await?,
            Err(Error::NotFound { .. }) => self.made(app, &uid, url).await?,
            Err(error) => return Err(error),
        };
        let mut state = self.state.lock().await;
        state.known.insert(uid, Known { id, used: self.ports.clock.now() });
        self.metrics.endpoints.set(gauge(state.known.len()));
        Ok((app, id))
    }

    /// Makes an endpoint, unless somebody did so meanwhile.
    async fn made(&self, app: AppId, uid: &str, url: String) -> Result<EndpointId> {
        let mut state = self.state.lock().await;
        match self.ports.endpoints.endpoint(app, uid).await {
            Err(Error::NotFound { .. }) => {}
            other => return other.map(|endpoint| endpoint.id),
        }
        state.known.remove(uid);
        self.make_room(app, &mut state).await?;
        let id = self.make(app, uid, url).await?;
        state.known.insert(uid.to_owned(), Known { id, used: self.ports.clock.now() });
        Ok(id)
    }

    async fn app_of(&self, state: &mut State) -> Result<AppId> {
        if let Some(app) = state.app {
            return Ok(app);
        }
        let new = NewApplication {
            org: OrgId::default_org(),
            uid: Some(self.config.app_uid()),
            name: format!("Redis source {}", self.config.name),
            throttle_rate: None,
            metadata: BTreeMap::new(),
            retention_days: None,
        };
        let app = self.ports.applications.create_application(new, OnExisting::Return, None).await?.value.id;
        state.known = self.known_before(app).await?;
        state.app = Some(app);
        Ok(app)
    }

    /// The endpoints of earlier lives, with when each was last tried.
    async fn known_before(&self, app: AppId) -> Result<HashMap<String, Known>> {
        let mut known = HashMap::new();
        let mut page = Page { limit: PAGE_ROWS_MAX, after: None, backwards: false, order: Order::Ascending };
        loop {
            let found = self.ports.endpoints.endpoints(app, page.clone()).await?;
            page.after = found.items.last().map(|endpoint| endpoint.id);
            for endpoint in &found.items {
                let Some(uid) = endpoint.uid.clone().filter(|uid| uid.starts_with("url.")) else { continue };
                known.insert(uid, Known { id: endpoint.id, used: self.last_tried(endpoint).await? });
            }
            if found.done || page.after.is_none() {
                return Ok(known);
            }
        }
    }

    async fn last_tried(&self, endpoint: &Endpoint) -> Result<UnixMs> {
        let any = AttemptFilter {
            endpoint: None,
            succeeded: None,
            status_class: None,
            event_types: Vec::new(),
            channel: None,
            after: UnixMs::ZERO,
            before: UnixMs::MAX,
        };
        let newest = Page { limit: 1, after: None, backwards: false, order: Order::Descending };
        let found = self.ports.reading.attempts_of_endpoint(endpoint.app, endpoint.id, any, newest).await?;
        Ok(found.items.first().map_or(endpoint.updated_at, |attempt| attempt.id.time()))
    }

    /// One that failed for long, or said that it is gone, is enabled again: each message stands for itself here, and
    /// has its own tries.
    async fn made_ready(&self, endpoint: &Endpoint) -> Result<EndpointId> {
        let retry = self.config.retry();
        let is_disabled = match endpoint.disabled {
            Some(Disabled::ByOwner) => {
                let reason = "the endpoint of this URL was disabled by hand".to_owned();
                return Err(Error::Conflict { code: "endpoint_disabled", reason });
            }
            other => other.is_some(),
        };
        if is_disabled || endpoint.retry.as_ref() != Some(&retry) {
            let patch = EndpointPatch {
                disabled: is_disabled.then_some(false),
                retry: Some(Some(retry)),
                ..EndpointPatch::default()
            };
            self.ports.endpoints.update_endpoint(endpoint.app, endpoint.id, patch).await?;
        }
        Ok(endpoint.id)
    }

    async fn make(&self, app: AppId, uid: &str, url: String) -> Result<EndpointId> {
        let mut random = [0u8; 32];
        let no_random = |_| Error::Terminal { reason: "the system gives no random bytes".into() };
        aws_lc_rs::rand::fill(&mut random).map_err(no_random)?;
        let new = NewEndpoint {
            app,
            uid: Some(uid.to_owned()),
            url,
            description: format!("Made for a URL in messages of the Redis source {}", self.config.name),
            version: 1,
            disabled: false,
            event_types: Some(vec![NO_TYPE.to_owned()]),
            channels: None,
            throttle_rate: None,
            ordering: None,
            metadata: BTreeMap::from([("source".to_owned(), self.config.app_uid())]),
            headers: BTreeMap::new(),
            secret: SecretText::new(Secret::new_symmetric(random).to_text().as_str()),
            signing: Signing::Standard,
            retry: Some(self.config.retry()),
            timeout_ms: None,
        };
        Ok(self.ports.endpoints.create_endpoint(new, None).await?.value.id)
    }

    /// When there are as many as may be, the one that was not named for longest goes, if nothing waits for it.
    async fn make_room(&self, app: AppId, state: &mut State) -> Result<()> {
        if state.known.len() < self.config.endpoints_max {
            return Ok(());
        }
        if self.remove(app, state, USED_MS_MIN, 1).await? > 0 {
            return Ok(());
        }
        let reason = format!("there are {} endpoints already, all of them in use", state.known.len());
        Err(Error::Conflict { code: "too_many_endpoints", reason })
    }

    /// Removes what was not named for `endpoint_idle_ms`; a few at a time.
    pub(super) async fn sweep(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        if let Some(app) = state.app {
            self.remove(app, &mut state, self.config.endpoint_idle_ms.max(USED_MS_MIN), LOOKED_AT_MAX).await?;
        }
        Ok(())
    }

    async fn remove(&self, app: AppId, state: &mut State, idle_ms: u64, max: usize) -> Result<usize> {
        let now = self.ports.clock.now();
        let mut idle: Vec<(String, Known)> = state.known.iter().map(|(uid, known)| (uid.clone(), *known)).collect();
        idle.retain(|(_, known)| now.since(known.used) >= idle_ms);
        idle.sort_by_key(|(_, known)| known.used);
        let mut removed = 0;
        for (uid, known) in idle.into_iter().take(LOOKED_AT_MAX) {
            if removed == max {
                break;
            }
            if self.ports.reading.oldest_waiting(app, known.id).await?.is_some() {
                continue;
            }
            match self.ports.endpoints.delete_endpoint(app, known.id).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            tracing::info!(source = %self.config.name, endpoint = %known.id, "an endpoint that no message names any more is removed");
            state.known.remove(&uid);
            removed += 1;
        }
        self.metrics.endpoints.set(gauge(state.known.len()));
        Ok(removed)
    }
}
