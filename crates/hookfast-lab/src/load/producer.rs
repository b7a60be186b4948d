//! One producer: one connection, one event at a time. Knows the server's answers only by their class.

use super::Shared;
use super::link::Link;
use super::pace::Slot;
use crate::EventKey;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two dials of a server that is away.
const REDIAL_MS: u64 = 20;
/// However long a server asks to wait, an event that was refused is sent again after this.
const REFUSED_WAIT_MS_MAX: u64 = 100;
/// A connection that was idle so long is looked at before it is used: the server may have closed it.
const IDLE_US_MAX: u64 = 1_000_000;

/// What came of sending an event once.
enum Outcome {
    Accepted(EventKey),
    Refused(Duration),
    Failed,
    Unknown,
    /// No connection: nothing was sent.
    Away(String),
}

struct Producer {
    shared: Arc<Shared>,
    link: Option<Link>,
    request: Vec<u8>,
    used_us: u64,
    away_since_us: Option<u64>,
}

/// Sends events until there are no more or the load is stopped.
pub(super) async fn produce(shared: Arc<Shared>) {
    let mut producer = Producer { shared, link: None, request: Vec::new(), used_us: 0, away_since_us: None };
    while !producer.shared.config.stop.is_cancelled() {
        let Some(slot) = producer.shared.pacer.next().await else { return };
        producer.send(&slot).await;
    }
}

impl Producer {
    /// Sends one event until its fate is known, or as known as it gets.
    async fn send(&mut self, slot: &Slot) {
        let shared = self.shared.clone();
        let number = shared.config.first_number + slot.number;
        let mut repeat = false;
        while !shared.config.stop.is_cancelled() {
            let start_us = shared.config.clock.now_us();
            if !repeat {
                let sent_us = slot.intended_us.unwrap_or(start_us);
                shared.template.write(&mut self.request, number, sent_us);
            }
            let outcome = self.send_once(start_us).await;
            let now_us = shared.config.clock.now_us();
            self.used_us = now_us;
            if !matches!(outcome, Outcome::Away(_)) {
                self.away_since_us = None;
            }
            match outcome {
                Outcome::Accepted(key) => {
                    let from_us = slot.intended_us.unwrap_or(start_us);
                    return shared.accepted(number, key, now_us.saturating_sub(from_us), now_us);
                }
                Outcome::Refused(wait) => {
                    shared.progress.refused.fetch_add(1, Ordering::Relaxed);
                    if slot.intended_us.is_some() {
                        return;
                    }
                    tokio::time::sleep(wait).await;
                }
                Outcome::Failed => {
                    shared.progress.failed.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Outcome::Unknown => {
                    shared.progress.unknown.fetch_add(1, Ordering::Relaxed);
                    repeat = shared.config.repeat_unknown && shared.config.idempotency_key;
                    if !repeat {
                        return;
                    }
                }
                Outcome::Away(reason) => self.wait_for_server(now_us, reason).await,
            }
        }
    }

    async fn send_once(&mut self, now_us: u64) -> Outcome {
        let config = &self.shared.config;
        let idle = now_us.saturating_sub(self.used_us) > IDLE_US_MAX;
        let kept = self.link.take().filter(|link| !(idle && link.is_stale()));
        let mut link = match kept {
            Some(link) => link,
            None => match Link::dial(&config.address).await {
                Ok(link) => link,
                Err(error) => return Outcome::Away(format!("connect to {}: {error}", config.address)),
            },
        };
        let deadline = Duration::from_millis(config.timeout_ms);
        let Ok(Ok(reply)) = tokio::time::timeout(deadline, link.exchange(&self.request)).await else {
            return Outcome::Unknown;
        };
        if reply.keep_alive {
            self.link = Some(link);
        }
        match (reply.status, reply.event) {
            (200..=299, Some(key)) => Outcome::Accepted(key),
            (429 | 503, _) => {
                let asked_ms = reply.retry_after_s.unwrap_or(0).saturating_mul(1000).max(1);
                Outcome::Refused(Duration::from_millis(asked_ms.min(REFUSED_WAIT_MS_MAX)))
            }
            _ => Outcome::Failed,
        }
    }

    async fn wait_for_server(&mut self, now_us: u64, reason: String) {
        let since_us = *self.away_since_us.get_or_insert(now_us);
        if now_us.saturating_sub(since_us) > self.shared.config.down_ms_max.saturating_mul(1000) {
            return self.shared.give_up(reason);
        }
        tokio::time::sleep(Duration::from_millis(REDIAL_MS)).await;
    }
}
