//! Intake: the one road in. Checks what a source hands over, waits for admission, and makes the event durable
//! through the store's port, or through the log's and then, by the consumer, the store's. Knows neither SQL, Kafka nor
//! HTTP, and nothing of where events come from.

mod check;
mod consumer;
mod dead_letters;
mod direct;
mod envelope;
mod inbound;
mod log_intake;
mod metrics;
mod naming;
#[cfg(test)]
mod testing;

pub use consumer::{
    ConsumerConfig, ConsumerMetrics, ConsumerPorts, ConsumerTask, DEAD_LETTERS_SUFFIX, Decoded, Decoder,
    EnvelopeDecoder, InvoiceDecoder, OnOutOfRange,
};
pub use dead_letters::{DeadLetter, DeadLetters, LetterPage, Overview, Replayed, Which};
pub use direct::{DirectIntake, IntakeConfig};
pub use inbound::{DirectInbound, LogInbound};
pub use log_intake::LogIntake;
pub use metrics::Metrics;
