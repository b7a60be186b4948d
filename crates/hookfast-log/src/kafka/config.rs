//! How the log reaches its brokers and how much it holds in memory, and the check of it. Must not know where the values
//! come from.

use hookfast_core::model::SecretText;
use hookfast_core::{Error, Result};
use std::path::PathBuf;

/// How to reach the brokers, and every limit of the clients.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, separated by commas; any of the cluster, the others are found through them.
    pub brokers: String,
    /// What the brokers call this client in their logs and quotas.
    pub client_id: String,
    /// Records that wait to be acknowledged take at most so many bytes; above it appending is refused. At least 1 KiB.
    pub buffer_bytes_max: usize,
    /// So many records wait to be acknowledged at most; above it appending is refused.
    pub buffer_records_max: u32,
    /// After this long without acknowledgement an append is given up, in milliseconds.
    pub append_timeout_ms: u32,
    /// Appends of up to this long go out together, in milliseconds.
    pub linger_ms: u32,
    /// Largest record: key, value and headers, in bytes. Topics that are made let them through.
    pub record_bytes_max: usize,
    /// Each reader holds at most so many bytes that were fetched ahead.
    pub fetch_bytes_max: usize,
    /// A reader that was silent for so long is taken for dead by its group, in milliseconds.
    pub session_timeout_ms: u32,
    /// May topics that are missing be made?
    pub create_topics: bool,
    /// Partitions of a topic that is made.
    pub partitions: u32,
    /// On how many brokers a topic that is made is kept.
    pub replication: u16,
    /// Brokers sync a topic that is made to disk each time so many records were appended (its `flush.messages`);
    /// `None` leaves it to the operating system.
    pub flush_messages: Option<u32>,
    /// Who this client is.
    pub sasl: Option<Sasl>,
    /// Encryption.
    pub tls: Option<Tls>,
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// By which mechanism.
    pub mechanism: SaslMechanism,
    /// Its name.
    pub username: String,
    /// Its password.
    pub password: SecretText,
}

/// The mechanisms that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself; refused without TLS.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Encryption to the brokers. Their certificates are always verified, the name in them included.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificates of the authorities to trust, in PEM form; `None` trusts those of the operating system.
    pub ca_file: Option<PathBuf>,
}

const MIB: usize = 1 << 20;
/// The client counts in kibibytes and wants one at least.
const BUFFER_BYTES_MIN: usize = 1024;
/// What the client can address.
const BUFFER_BYTES_LIMIT: usize = 2_000 * MIB;
/// The client's own limit for a message is 1,000,000,000; a quarter of it is more than any broker takes.
const RECORD_BYTES_LIMIT: usize = 250_000_000;
const RECORD_BYTES_MIN: usize = 1_000;
const TIMEOUT_MS_MAX: u32 = 600_000;

impl KafkaConfig {
    /// Everything but the brokers as it is good for most.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: "hookfast".to_owned(),
            buffer_bytes_max: 64 * MIB,
            buffer_records_max: 100_000,
            append_timeout_ms: 5_000,
            linger_ms: 2,
            record_bytes_max: 3 * MIB / 2,
            fetch_bytes_max: 16 * MIB,
            session_timeout_ms: 10_000,
            create_topics: true,
            partitions: 6,
            replication: 1,
            flush_messages: None,
            sasl: None,
            tls: None,
        }
    }

    /// Are these values that the clients can be made with?
    ///
    /// # Errors
    /// `Invalid` with the name of the field, what was expected and what was found.
    pub fn check(&self) -> Result<()> {
        check_brokers(&self.brokers)?;
        if self.client_id.is_empty() || self.client_id.contains('\0') {
            return Err(Error::invalid("client_id", "expected some text without NUL"));
        }
        within("buffer_bytes_max", self.buffer_bytes_max, BUFFER_BYTES_MIN, BUFFER_BYTES_LIMIT)?;
        within("buffer_records_max", self.buffer_records_max, 1, 10_000_000)?;
        within("append_timeout_ms", self.append_timeout_ms, 100, TIMEOUT_MS_MAX)?;
        within("linger_ms", self.linger_ms, 0, self.append_timeout_ms.min(1_000))?;
        within("record_bytes_max", self.record_bytes_max, RECORD_BYTES_MIN, RECORD_BYTES_LIMIT)?;
        within("fetch_bytes_max", self.fetch_bytes_max, BUFFER_BYTES_MIN, BUFFER_BYTES_LIMIT)?;
        within("session_timeout_ms", self.session_timeout_ms, 1_000, TIMEOUT_MS_MAX)?;
        within("partitions", self.partitions, 1, 10_000)?;
        within("replication", self.replication, 1, 100)?;
        if let Some(messages) = self.flush_messages {
            within("flush_messages", messages, 1, u32::MAX)?;
        }
        self.check_security()
    }

    fn check_security(&self) -> Result<()> {
        let set = [("sasl", self.sasl.is_some()), ("tls", self.tls.is_some())];
        if let Some((field, _)) = set.iter().find(|(_, is_set)| *is_set)
            && !cfg!(feature = "kafka-tls")
        {
            let reason = "this binary was built without SASL and TLS for Kafka: build it with `--features kafka-tls`";
            return Err(Error::invalid(*field, reason));
        }
        let Some(sasl) = &self.sasl else { return Ok(()) };
        for (field, text) in [("sasl.username", sasl.username.as_str()), ("sasl.password", sasl.password.reveal())] {
            if text.is_empty() || text.contains('\0') {
                return Err(Error::invalid(field, "expected some text without NUL"));
            }
        }
        if sasl.mechanism == SaslMechanism::Plain && self.tls.is_none() {
            return Err(Error::invalid("sasl.mechanism", "`PLAIN` would send the password in the clear: turn TLS on"));
        }
        Ok(())
    }
}

fn check_brokers(brokers: &str) -> Result<()> {
    for broker in brokers.split(',') {
        let port = broker.trim().rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if !port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) || broker.contains('\0') {
            let reason = format!("expected `host:port`, separated by commas, found `{}`", broker.escape_debug());
            return Err(Error::invalid("brokers", reason));
        }
    }
    Ok(())
}

fn within<T: PartialOrd + std::fmt::Display>(field: &str, value: T, least: T, most: T) -> Result<()> {
    if value < least || value > most {
        return Err(Error::invalid(field, format!("expected {least} to {most}, found {value}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_field(change: impl FnOnce(&mut KafkaConfig)) -> Option<String> {
        let mut config = KafkaConfig::new("127.0.0.1:9092");
        change(&mut config);
        match config.check() {
            Ok(()) => None,
            Err(Error::Invalid { field, .. }) => Some(field),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_wrong_value_is_named() {
        assert_eq!(wrong_field(|_| {}), None);
        assert_eq!(wrong_field(|config| config.brokers = "a:1, b.example:65535,[::1]:9092".to_owned()), None);
        for brokers in ["", "a", "a:", ":9092", "a:0", "a:65536", "a:1,,b:2", "a\0:1"] {
            assert_eq!(wrong_field(|config| config.brokers = brokers.to_owned()).unwrap(), "brokers", "{brokers}");
        }
        assert_eq!(wrong_field(|config| config.client_id.clear()).unwrap(), "client_id");
        assert_eq!(wrong_field(|config| config.buffer_bytes_max = 1).unwrap(), "buffer_bytes_max");
        assert_eq!(wrong_field(|config| config.buffer_bytes_max = usize::MAX).unwrap(), "buffer_bytes_max");
        assert_eq!(wrong_field(|config| config.buffer_records_max = 0).unwrap(), "buffer_records_max");
        assert_eq!(wrong_field(|config| config.append_timeout_ms = 0).unwrap(), "append_timeout_ms");
        assert_eq!(wrong_field(|config| config.linger_ms = 5_001).unwrap(), "linger_ms");
        assert_eq!(wrong_field(|config| config.record_bytes_max = 0).unwrap(), "record_bytes_max");
        assert_eq!(wrong_field(|config| config.session_timeout_ms = 1).unwrap(), "session_timeout_ms");
        assert_eq!(wrong_field(|config| config.partitions = 0).unwrap(), "partitions");
        assert_eq!(wrong_field(|config| config.replication = 0).unwrap(), "replication");
        assert_eq!(wrong_field(|config| config.flush_messages = Some(0)).unwrap(), "flush_messages");
    }

    fn sasl(mechanism: SaslMechanism, password: &str) -> Option<Sasl> {
        Some(Sasl { mechanism, username: "me".to_owned(), password: SecretText::new(password) })
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn passwords_and_encryption_are_refused_by_a_binary_that_cannot_do_them() {
        assert_eq!(wrong_field(|config| config.sasl = sasl(SaslMechanism::ScramSha256, "p")).unwrap(), "sasl");
        assert_eq!(wrong_field(|config| config.tls = Some(Tls::default())).unwrap(), "tls");
    }

    #[cfg(feature = "kafka-tls")]
    #[test]
    fn a_password_is_not_sent_in_the_clear() {
        let plain = |config: &mut KafkaConfig| config.sasl = sasl(SaslMechanism::Plain, "p");
        assert_eq!(wrong_field(plain).unwrap(), "sasl.mechanism");
        let with_tls = |config: &mut KafkaConfig| {
            plain(config);
            config.tls = Some(Tls::default());
        };
        assert_eq!(wrong_field(with_tls), None);
        assert_eq!(wrong_field(|config| config.sasl = sasl(SaslMechanism::ScramSha512, "")).unwrap(), "sasl.password");
    }

    #[test]
    fn the_password_is_not_printed() {
        let mut config = KafkaConfig::new("a:1");
        config.sasl = sasl(SaslMechanism::Plain, "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
