//! The log on Kafka. The one place that knows of brokers, topics and consumer groups as Kafka has them; must not know
//! what stands in a record.

mod append;
mod availability;
mod client;
mod config;
mod failure;
mod metrics;
mod peek;
mod reader;
mod topics;

use append::Appender;
use availability::Availability;
use hookfast_core::ports::{BoxFuture, Log, LogEntry, LogPosition, LogReader, LogReaders, LogRecord};
use hookfast_core::{Error, Result};
use std::sync::Arc;

pub use config::{KafkaConfig, Sasl, SaslMechanism, Tls};
pub use metrics::Metrics;

/// A cluster of Kafka brokers. Its threads end when it is dropped.
pub struct KafkaLog {
    config: Arc<KafkaConfig>,
    metrics: Metrics,
    availability: Arc<Availability>,
    appender: Arc<Appender>,
}

impl KafkaLog {
    /// Sets up the clients and begins to look for brokers; it does not wait for one. Until one answers, appending is
    /// refused.
    ///
    /// # Errors
    /// `Invalid` with the setting that is wrong; `Terminal` when a client cannot be made.
    pub fn open(config: KafkaConfig, metrics: Metrics) -> Result<Self> {
        config.check()?;
        let config = Arc::new(config);
        let availability = Arc::new(Availability::new(config.brokers.clone(), metrics.clone()));
        let appender = Arc::new(Appender::new(Arc::clone(&config), Arc::clone(&availability), metrics.clone())?);
        availability::watch(Arc::clone(&availability), Arc::downgrade(&appender))?;
        Ok(Self { config, metrics, availability, appender })
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.availability.stop();
    }
}

impl Log for KafkaLog {
    fn append(&self, record: LogRecord) -> BoxFuture<'_, Result<LogPosition>> {
        Box::pin(self.appender.append(record))
    }

    fn is_available(&self) -> bool {
        self.availability.is_available()
    }
}

impl LogReaders for KafkaLog {
    fn reader(&self, topic: &str, group: &str) -> Result<Box<dyn LogReader>> {
        check_topic(topic)?;
        if group.is_empty() || group.len() > GROUP_BYTES_MAX || group.contains('\0') {
            let reason = format!("expected 1 to {GROUP_BYTES_MAX} bytes without NUL, found {} bytes", group.len());
            return Err(Error::invalid("group", reason));
        }
        Ok(Box::new(reader::Reader::start(&self.config, self.metrics.clone(), topic, group)?))
    }

    fn ensure_topic<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            check_topic(topic)?;
            topics::ensure(&self.config, topic).await?;
            self.availability.asks_of(topic);
            Ok(())
        })
    }

    fn peek<'a>(&'a self, topic: &'a str, from: Vec<(i32, i64)>, max: usize) -> BoxFuture<'a, Result<Vec<LogEntry>>> {
        Box::pin(async move {
            check_topic(topic)?;
            peek::peek(Arc::clone(&self.config), topic.to_owned(), from, max).await
        })
    }
}

/// As long as brokers let a topic's name be.
const TOPIC_BYTES_MAX: usize = 249;
/// Brokers set no limit; it is kept with every offset.
const GROUP_BYTES_MAX: usize = 249;

fn check_topic(topic: &str) -> Result<()> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || !topic.bytes().all(is_good) || topic == "." || topic == ".."
    {
        let found: String = topic.chars().take(64).collect();
        let reason = format!(
            "expected 1 to {TOPIC_BYTES_MAX} letters, digits, `.`, `_` or `-`, found `{}`",
            found.escape_debug()
        );
        return Err(Error::invalid("topic", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_broker_takes_are_refused() {
        for good in ["a", "hookfast.intake", "golang.webhook.system.dlq", "A_b-9", &"x".repeat(TOPIC_BYTES_MAX)] {
            assert_eq!(check_topic(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ü", "a\0b", &"x".repeat(TOPIC_BYTES_MAX + 1)] {
            assert!(matches!(check_topic(bad), Err(Error::Invalid { .. })), "{bad}");
        }
    }
}
