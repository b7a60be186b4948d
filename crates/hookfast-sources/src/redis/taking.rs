//! From one message to durable: as an event for its endpoint, or, when it cannot be delivered, kept with why. Tries until
//! it is durable. Must not know how messages are read.

use super::RedisPorts;
use super::config::RedisConfig;
use super::message::{Flaw, KEPT_BYTES_MAX, Message, TYPE_REJECTED, parse, rejected_body, rejected_uid};
use super::metrics::{Metrics, Outcome, Via};
use super::targets::Targets;
use bytes::Bytes;
use hookfast_core::model::{Origin, Route};
use hookfast_core::ports::{Accepted, Submission};
use hookfast_core::{AppId, Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const WAIT_MS_MIN: u64 = 50;
const WAIT_MS_MAX: u64 = 5_000;
/// What is known already is said again after so long.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Where even the usual part of a bad message is more than intake takes.
const KEPT_BYTES_FEW: usize = 128;

/// Takes messages.
pub(super) struct Taking {
    config: Arc<RedisConfig>,
    ports: RedisPorts,
    metrics: Metrics,
    pub(super) targets: Targets,
    channel: Origin,
    stream: Origin,
    /// What is to be said of messages.
    news: Mutex<News>,
}

/// What happened to messages since it was last said.
#[derive(Default)]
struct News {
    /// Messages refused, and why the latest was.
    refused: (u64, Option<Flaw>),
    /// Why the latest message had to wait.
    waiting: Option<String>,
    /// What was said of that, and when.
    said: Option<(String, Instant)>,
    /// Messages that found the buffer full, as far as it was said.
    overflowed: u64,
}

impl Taking {
    pub(super) fn new(config: Arc<RedisConfig>, ports: RedisPorts, metrics: Metrics) -> Self {
        let targets = Targets::new(Arc::clone(&config), ports.clone(), metrics.clone());
        let channel = Origin::of(&format!("redis:channel:{}", config.channel));
        let stream = Origin::of(&format!("redis:stream:{}", config.stream));
        Self { config, ports, metrics, targets, channel, stream, news: Mutex::default() }
    }

    /// Takes one message: the answer comes when it is durable. Cancel-safe: a dropped call stored it whole or not at all.
    pub(super) async fn take(&self, raw: Bytes, via: Via) -> Outcome {
        let origin = match via {
            Via::Channel => &self.channel,
            Via::Stream => &self.stream,
        };
        let mut wait_ms = WAIT_MS_MIN;
        loop {
            // Whoever may have been taken for dead must not act on what it holds.
            let error = if self.ports.exclusive.may_act() {
                match self.attempt(&raw, origin).await {
                    Ok(outcome) => return outcome,
                    Err(error) => error,
                }
            } else {
                Error::Unavailable { reason: "this node cannot be sure that reading is still its work".into() }
            };
            self.metrics.waits.inc();
            let asked_ms = if let Error::Overloaded { retry_after_ms, .. } = error { retry_after_ms } else { 0 };
            self.news().waiting = Some(error.to_string());
            tokio::time::sleep(Duration::from_millis(wait_ms.max(asked_ms).min(WAIT_MS_MAX))).await;
            wait_ms = (wait_ms * 2).min(WAIT_MS_MAX);
        }
    }

    async fn attempt(&self, raw: &Bytes, origin: &Origin) -> Result<Outcome> {
        let flaw = match parse(raw) {
            Ok(message) => match self.deliver(message, origin).await {
                Ok(accepted) => return Ok(if accepted.repeat { Outcome::Repeated } else { Outcome::Accepted }),
                Err(error) => self.flaw_of(error).await?,
            },
            Err(flaw) => flaw,
        };
        self.reject(&flaw, raw, origin).await?;
        let mut news = self.news();
        news.refused = (news.refused.0 + 1, Some(flaw));
        Ok(Outcome::Rejected)
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn deliver(&self, message: Message, origin: &Origin) -> Result<Accepted> {
        let (app, endpoint) = self.targets.route(&message.url).await?;
        let Message { event_type, uid, data, .. } = message;
        self.submit((app, Route::Endpoint(endpoint)), event_type, uid, data, origin).await
    }

    /// What is the message's own fault; anything else is to be tried again.
    async fn flaw_of(&self, error: Error) -> Result<Flaw> {
        match error {
            Error::Invalid { field, reason } if field == "url" => Ok(Flaw::new("forbidden_url", "url", reason)),
            Error::Invalid { field, reason } => Ok(Flaw::new("invalid_message", &field, reason)),
            Error::Conflict { code, reason } => Ok(Flaw::new(code, "message", reason)),
            other => {
                if other.kind() == ErrorKind::NotFound {
                    self.targets.forget().await;
                }
                Err(other)
            }
        }
    }

    async fn reject(&self, flaw: &Flaw, raw: &[u8], origin: &Origin) -> Result<()> {
        let app = self.targets.application().await?;
        let mut kept = Err(Error::Unavailable { reason: String::new() });
        for bytes_max in [KEPT_BYTES_MAX, KEPT_BYTES_FEW] {
            let body = rejected_body(flaw, raw, bytes_max);
            let to = (app, Route::Match);
            kept = self.submit(to, TYPE_REJECTED.into(), rejected_uid(raw), body, origin).await;
            if !matches!(kept, Err(Error::Invalid { .. })) {
                break;
            }
        }
        match kept {
            // It was kept before, with another cause.
            Ok(_) | Err(Error::Conflict { .. }) => Ok(()),
            Err(error) => {
                if error.kind() == ErrorKind::NotFound {
                    self.targets.forget().await;
                }
                Err(error)
            }
        }
    }

    async fn submit(
        &self,
        (app, route): (AppId, Route),
        event_type: String,
        uid: String,
        body: Bytes,
        origin: &Origin,
    ) -> Result<Accepted> {
        let event = Submission {
            app,
            route,
            event_type,
            uid: Some(uid),
            channels: Vec::new(),
            ordering_key: None,
            body,
            content_type: None,
            idempotency: None,
            origin: origin.clone(),
        };
        self.ports.intake.submit(event).await
    }

    /// Says what was refused or lost, and why messages wait, since it was last asked: never a line for each message.
    pub(super) fn report(&self) {
        let source = self.config.name.as_str();
        let mut news = self.news();
        if let (messages, Some(Flaw { cause, field, reason })) = std::mem::take(&mut news.refused) {
            let kept = "messages that cannot be delivered are kept as `source.rejected`; why the latest one cannot";
            tracing::warn!(source, messages, cause, field, reason, "{kept}");
        }
        let overflowed = self.metrics.overflowed.get();
        if overflowed > news.overflowed {
            let messages = overflowed - news.overflowed;
            tracing::error!(
                source,
                messages,
                "messages of the channel are lost: more were published than were accepted"
            );
            news.overflowed = overflowed;
        }
        let Some(reason) = news.waiting.take() else { return };
        let is_known = |(said, at): &(String, Instant)| *said == reason && at.elapsed() < SAY_AGAIN;
        if !news.said.as_ref().is_some_and(is_known) {
            tracing::warn!(source, reason, "messages wait");
            news.said = Some((reason, Instant::now()));
        }
    }
}
