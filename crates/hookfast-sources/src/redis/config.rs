//! How a Redis source is told what to read. Pure.

use super::address::Address;
use hookfast_core::address::AddressRules;
use hookfast_core::model::SecretText;
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{Error, Result};

/// Longest wait between two tries of a message.
const RETRY_MS_MAX: u64 = HOUR_MS;
const HOUR_MS: u64 = 3600 * 1000;
/// Tries of a message in all.
const TRIES: u32 = 5;
const JITTER: f64 = 0.1;
const NAME_CHARS_MAX: usize = 64;

/// Who is asked which Redis is the master.
#[derive(Clone, Debug)]
pub struct Sentinel {
    /// The name under which the Sentinels know it.
    pub master: String,
    /// The Sentinels' own password.
    pub password: Option<SecretText>,
}

/// What a Redis source reads, as whom, and its limits.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// The source's name: its events belong to the application `redis.NAME`.
    pub name: String,
    /// Servers, of which the one that is the master is read; with `sentinel` the Sentinels.
    pub addresses: Vec<Address>,
    /// As which user.
    pub username: Option<String>,
    /// With which password.
    pub password: Option<SecretText>,
    /// Certificate authorities to trust besides the public ones, as PEM.
    pub tls_ca_pem: Option<String>,
    /// Ask these addresses as Sentinels.
    pub sentinel: Option<Sentinel>,
    /// The channel to listen on; empty is none.
    pub channel: String,
    /// The stream to read; empty is none.
    pub stream: String,
    /// The consumer group to read it as. Each installation on one stream needs a group of its own.
    pub group: String,
    /// Most messages on their way to be durable at a time.
    pub in_flight_max: usize,
    /// Most endpoints that are kept for URLs in messages.
    pub endpoints_max: usize,
    /// An endpoint that no message named for so long is removed.
    pub endpoint_idle_ms: u64,
    /// Wait before the second try of a message; it doubles with each further one, up to an hour.
    pub retry_first_ms: u64,
    /// Entries that some reader took and did not acknowledge for so long are taken over.
    pub claim_after_ms: u64,
    /// Only https URLs.
    pub https_only: bool,
    /// Which addresses may be sent to.
    pub rules: AddressRules,
}

impl RedisConfig {
    /// Reads the channel and the stream `payments` of these servers, with the usual limits.
    #[must_use]
    pub fn new(addresses: Vec<Address>) -> Self {
        Self {
            name: "payments".into(),
            addresses,
            username: None,
            password: None,
            tls_ca_pem: None,
            sentinel: None,
            channel: "payments".into(),
            stream: "payments".into(),
            group: "hookfast".into(),
            in_flight_max: 256,
            endpoints_max: 1000,
            endpoint_idle_ms: 30 * 24 * HOUR_MS,
            retry_first_ms: 1000,
            claim_after_ms: 60_000,
            https_only: false,
            rules: AddressRules::default(),
        }
    }

    /// Errors: `Invalid` with the setting.
    pub(super) fn check(&self) -> Result<()> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if self.name.is_empty() || self.name.len() > NAME_CHARS_MAX || !self.name.bytes().all(is_good) {
            let reason = format!("expected 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 - _ ., found `{}`", self.name);
            return Err(Error::invalid("redis.name", reason));
        }
        if self.channel.is_empty() && self.stream.is_empty() {
            return Err(Error::invalid("redis.channel", "expected a channel or a stream, found neither"));
        }
        if !self.stream.is_empty() && self.group.is_empty() {
            return Err(Error::invalid("redis.group", "expected the name of a consumer group, found nothing"));
        }
        let limits = [("redis.in_flight_max", self.in_flight_max), ("redis.endpoints_max", self.endpoints_max)];
        match limits.into_iter().find(|(_, limit)| *limit == 0) {
            Some((field, _)) => Err(Error::invalid(field, "expected at least 1, found 0")),
            None => Ok(()),
        }
    }

    /// The uid of its application.
    pub(super) fn app_uid(&self) -> String {
        format!("redis.{}", self.name)
    }

    /// The name of the work that one node does at a time.
    pub(super) fn work(&self) -> String {
        format!("redis:{}", self.name)
    }

    /// How its messages are tried.
    pub(super) fn retry(&self) -> RetryPolicy {
        let doubled = |n: u32| self.retry_first_ms.saturating_mul(1 << n).min(RETRY_MS_MAX);
        RetryPolicy { delays_ms: (0..TRIES - 1).map(doubled).collect(), jitter: JITTER }
    }
}
