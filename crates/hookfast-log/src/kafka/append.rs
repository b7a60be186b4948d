//! Appending: records go into the client's bounded buffer, and each is answered when the brokers acknowledged it. Must
//! not know what a record says.

use super::availability::Availability;
use super::client;
use super::config::KafkaConfig;
use super::failure;
use super::metrics::Metrics;
use hookfast_core::ports::{LogPosition, LogRecord};
use hookfast_core::{Error, Result};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The client itself gives up after `append_timeout_ms`, which it looks at about once a second.
const GRACE: Duration = Duration::from_secs(3);
/// What a header weighs beside its name and value.
const HEADER_BYTES: usize = 10;

type Producer = ThreadedProducer<Witness>;

/// Holds the producer, which is replaced when it breaks.
pub(super) struct Appender {
    config: Arc<KafkaConfig>,
    availability: Arc<Availability>,
    metrics: Metrics,
    producer: RwLock<Arc<Producer>>,
}

/// Who waits for one record.
pub(super) struct Ticket {
    answer: oneshot::Sender<Result<LogPosition>>,
    since: Instant,
}

/// Hears what the producer says.
pub(super) struct Witness {
    availability: Arc<Availability>,
    metrics: Metrics,
}

impl ClientContext for Witness {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::said(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.availability.away();
                self.availability.alarm();
            }
            Some(RDKafkaErrorCode::Fatal) => self.availability.alarm(),
            _ => self.availability.complaint(reason),
        }
    }
}

impl ProducerContext for Witness {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let answer = match result {
            Ok(message) => {
                self.availability.answered();
                self.metrics.appended(ticket.since.elapsed().as_secs_f64());
                Ok(LogPosition { partition: message.partition(), offset: message.offset() })
            }
            Err((error, _)) => {
                let error = failure::of("appending to Kafka", error);
                self.metrics.failed(error.kind());
                Err(error)
            }
        };
        // Whoever waited may have gone.
        let _ = ticket.answer.send(answer);
    }
}

impl Appender {
    pub(super) fn new(config: Arc<KafkaConfig>, availability: Arc<Availability>, metrics: Metrics) -> Result<Self> {
        let producer = producer(&config, &availability, &metrics)?;
        Ok(Self { config, availability, metrics, producer: RwLock::new(Arc::new(producer)) })
    }

    /// See [`hookfast_core::ports::Log::append`].
    pub(super) async fn append(&self, record: LogRecord) -> Result<LogPosition> {
        let answer = match self.hand_over(&record) {
            Ok(answer) => answer,
            Err(error) => {
                self.metrics.failed(error.kind());
                return Err(error);
            }
        };
        drop(record);
        let patience = Duration::from_millis(u64::from(self.config.append_timeout_ms)) + GRACE;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                Err(Error::Unavailable { reason: "Kafka did not acknowledge the record".to_owned() })
            }
        }
    }

    /// Puts a record into the client's buffer. Never blocks.
    fn hand_over(&self, record: &LogRecord) -> Result<oneshot::Receiver<Result<LogPosition>>> {
        super::check_topic(&record.topic)?;
        let headers = self.checked_headers(record)?;
        if !self.availability.is_available() {
            return Err(self.availability.refusal());
        }
        self.availability.asks_of(&record.topic);
        let (answer, answered) = oneshot::channel();
        let mut wire = BaseRecord::with_opaque_to(&record.topic, Box::new(Ticket { answer, since: Instant::now() }));
        wire = wire.payload(record.value.as_ref());
        wire.key = record.key.as_deref();
        wire.headers = headers;
        let sent = self.current().send(wire);
        sent.map(|()| answered).map_err(|(error, _)| failure::of("appending to Kafka", &error))
    }

    fn checked_headers(&self, record: &LogRecord) -> Result<Option<OwnedHeaders>> {
        let headers = record.headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_BYTES);
        let bytes = record.value.len() + record.key.as_ref().map_or(0, |key| key.len()) + headers.sum::<usize>();
        if bytes > self.config.record_bytes_max {
            let most = self.config.record_bytes_max;
            return Err(Error::invalid("record", format!("expected at most {most} bytes, found {bytes}")));
        }
        if record.headers.is_empty() {
            return Ok(None);
        }
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (name, value) in &record.headers {
            headers = headers.insert(Header { key: name, value: Some(value.as_ref()) });
        }
        Ok(Some(headers))
    }

    /// Asks any broker about a topic, or about all of them.
    pub(super) fn ask(&self, topic: Option<&str>, within: Duration) -> Result<()> {
        let asked = self.current().client().fetch_metadata(topic, within);
        asked.map(drop).map_err(|error| failure::of("asking Kafka", &error))
    }

    /// An idempotent producer that met an error it cannot go on from takes nothing any more. What it held is answered
    /// as not acknowledged.
    pub(super) fn replace_if_broken(&self) {
        let broken = self.current();
        let Some((code, reason)) = broken.client().fatal_error() else { return };
        tracing::error!(%code, reason, "the producer for Kafka cannot go on: another one takes its place");
        match producer(&self.config, &self.availability, &self.metrics) {
            Ok(producer) => {
                *self.producer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(producer);
                self.metrics.restarted();
            }
            Err(error) => tracing::error!(%error, "no other producer can be made; it is tried again"),
        }
    }

    fn current(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn producer(config: &KafkaConfig, availability: &Arc<Availability>, metrics: &Metrics) -> Result<Producer> {
    let witness = Witness { availability: Arc::clone(availability), metrics: metrics.clone() };
    client::make(&client::producer(config), witness)
}
