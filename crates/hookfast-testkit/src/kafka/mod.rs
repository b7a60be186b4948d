//! Real Kafka for tests: the broker that all tests share, private ones for faults, topics of a test's own. Knows
//! nothing of what the records say.

mod server;
mod wire;

use crate::skip;
pub use server::KafkaServer;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Names the shared broker, `host:port`: `cargo xtask test` starts one and sets it.
const SHARED: &str = "HOOKFAST_TEST_KAFKA";

/// A broker that a test may use and not end.
pub struct TestKafka {
    address: String,
    /// Held only to be alive: the broker of this process, where nobody named another.
    _server: Option<Arc<KafkaServer>>,
}

/// The broker of `HOOKFAST_TEST_KAFKA`, or one that the tests of this process share. Where Kafka is not installed the
/// calling test is skipped, which is the `None`.
///
/// # Panics
/// When it is installed and cannot be started.
#[must_use]
pub fn kafka() -> Option<TestKafka> {
    static SERVER: Mutex<Weak<KafkaServer>> = Mutex::new(Weak::new());
    if let Ok(address) = std::env::var(SHARED) {
        return Some(TestKafka { address, _server: None });
    }
    let mut known = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let server = match known.upgrade() {
        Some(server) => server,
        None => Arc::new(KafkaServer::start()?),
    };
    *known = Arc::downgrade(&server);
    Some(TestKafka { address: server.address(), _server: Some(server) })
}

impl TestKafka {
    /// Where it listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes a topic of this test's own; see [`new_topic`].
    #[must_use]
    pub fn topic(&self, partitions: i32) -> String {
        new_topic(&self.address, partitions)
    }
}

/// Makes a topic with `partitions` partitions whose name nobody else has, on the broker at `address`.
///
/// # Panics
/// When the broker does not make it.
#[must_use]
pub fn new_topic(address: &str, partitions: i32) -> String {
    let name = unique("topic");
    wire::create_topic(address, &name, partitions).unwrap();
    name
}

/// Appends a record that no client would send, to partition 0 of a topic: the name of its one header is any bytes.
///
/// # Panics
/// When the broker does not take it.
pub fn append_with_header(address: &str, topic: &str, name: &[u8], value: &[u8]) {
    wire::append(address, topic, name, value).unwrap();
}

/// A name for a topic or a group that nobody else has.
#[must_use]
pub fn unique(kind: &str) -> String {
    format!("test-{kind}-{}-{:016x}", std::process::id(), fastrand::u64(..))
}

/// Where Kafka is installed, or the reason of a skip.
fn installed() -> Option<std::path::PathBuf> {
    match server::home() {
        Ok(home) => Some(home),
        Err(missing) => {
            skip(&format!("no Kafka: {missing}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_made_once() {
        let Some(kafka) = kafka() else { return };
        let topic = kafka.topic(3);
        let again = wire::create_topic(kafka.address(), &topic, 3).unwrap_err();
        assert!(again.contains("36"), "it exists already, says the broker: {again}");
    }
}
