//! The consumer loop: from a topic of the log into the store, in batches, each stored together with how far the topic
//! was read. Must not know which log or which store.
//!
//! What the decoder cannot read goes to the dead-letter topic at once: no repeat makes it readable. What the store
//! refuses (a conflict, an unknown application) is appended to its own topic again with `retry_count` one higher, up
//! to `retries_max` times, then to the dead-letter topic. Both are acknowledged by the log before the position moves
//! past the record. While the store or the log is away everything waits, and no try is used up.
//!
//! Records with the same key are stored in the order they were appended, except those that are tried again: they come
//! after whatever was appended meanwhile. A record may be tried or buried twice when a process dies between the
//! acknowledgement and the position; the store knows an event again by its id or uid.

mod batch;
mod decode;
mod failing;
mod metrics;
mod reading;
mod storing;
#[cfg(test)]
mod tests;
mod waiting;

pub use decode::{Decoded, Decoder, EnvelopeDecoder, InvoiceDecoder};
pub(crate) use failing::{
    CAUSE, ERROR, ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TIMESTAMP, ORIGIN_TOPIC, RETRY_COUNT, last_header,
};
pub use metrics::ConsumerMetrics;

use hookfast_core::Error;
use hookfast_core::ports::{Admission, Consume, Consumer, Log, LogReaders};
use reading::Reading;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use waiting::{Halt, Outcome, Patience};

/// What is appended to the name of a topic to name that of its dead letters.
pub const DEAD_LETTERS_SUFFIX: &str = ".dlq";

/// What becomes of a partition whose next record the log has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOutOfRange {
    /// It is not read any more, with an alarm, until somebody has decided.
    #[default]
    Stop,
    /// Go on with the earliest record there is.
    Earliest,
    /// Pass over all there is, and go on with what comes.
    Latest,
}

/// Settings of a consumer.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// What is read.
    pub topic: String,
    /// The group that shares its partitions; positions are kept for it.
    pub group: String,
    /// Most events stored at a time.
    pub batch_events_max: usize,
    /// Most bytes stored at a time; one record more than this is a batch of its own.
    pub batch_bytes_max: usize,
    /// How long a batch waits for more while nothing is being stored.
    pub batch_wait_ms: u64,
    /// How often an event that the store refuses is tried again.
    pub retries_max: u32,
    /// For demonstrations: this share of events is refused although nothing is wrong with them, 0 to 1.
    pub fail_rate: f64,
    /// What becomes of a partition whose next record is gone.
    pub on_out_of_range: OnOutOfRange,
}

impl ConsumerConfig {
    /// The default settings for a topic and a group.
    #[must_use]
    pub fn new(topic: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            group: group.into(),
            batch_events_max: 1000,
            batch_bytes_max: 4 << 20,
            batch_wait_ms: 5,
            retries_max: 3,
            fail_rate: 0.0,
            on_out_of_range: OnOutOfRange::Stop,
        }
    }
}

/// What a consumer works with.
#[derive(Clone)]
pub struct ConsumerPorts {
    /// Where records are tried again, and dead letters go.
    pub log: Arc<dyn Log>,
    /// Where records come from.
    pub readers: Arc<dyn LogReaders>,
    /// Where events go.
    pub store: Arc<dyn Consume>,
    /// Holds the consumer back while deliveries lag.
    pub admission: Arc<dyn Admission>,
    /// What records mean.
    pub decoder: Arc<dyn Decoder>,
}

/// What the parts of a consumer share.
struct Shared {
    ports: ConsumerPorts,
    config: ConsumerConfig,
    consumer: Consumer,
    topic: Arc<str>,
    dead_letters: Arc<str>,
    metrics: ConsumerMetrics,
    stop: CancellationToken,
}

/// A consumer at work: a member of its group, which takes its share of the partitions. Dropped, it ends after its
/// present batch.
pub struct ConsumerTask {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ConsumerTask {
    /// Starts it on the runtime of `handle`. It waits by itself for whatever is away, and makes the topics it needs when
    /// that is allowed.
    #[must_use]
    pub fn start(ports: ConsumerPorts, config: ConsumerConfig, metrics: ConsumerMetrics, handle: &Handle) -> Self {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            consumer: Consumer { group: config.group.clone(), topic: config.topic.clone() },
            topic: config.topic.as_str().into(),
            dead_letters: format!("{}{DEAD_LETTERS_SUFFIX}", config.topic).into(),
            ports,
            config,
            metrics,
            stop: stop.clone(),
        });
        Self { stop, task: handle.spawn(supervise(shared)) }
    }

    /// Ends the batch under way, leaves the group so that others take over, and answers when that is done; after
    /// `patience` it is given up, which is as a crash in its middle: nothing is lost. Cancel-safe.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            tracing::warn!("a consumer did not end in time; what it was storing is read again");
            self.task.abort();
        }
    }
}

impl Drop for ConsumerTask {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Runs the loop until it is stopped, and again when it failed.
async fn supervise(shared: Arc<Shared>) {
    let mut patience = Patience::default();
    loop {
        // A task of its own, so that not even a panic ends the consumer for good.
        let outcome = AbortOnDropHandle::new(tokio::spawn(run(Arc::clone(&shared)))).await;
        shared.metrics.working(&shared.consumer.topic, false);
        let topic = &shared.consumer.topic;
        match outcome {
            Ok(Halt::Stopped) => return,
            Ok(Halt::Failed(error)) => tracing::error!(topic, %error, "the consumer cannot go on; trying again"),
            Err(panic) => tracing::error!(topic, %panic, "the consumer failed; starting it again"),
        }
        if patience.wait(&shared.stop).await.is_err() {
            return;
        }
    }
}

/// One membership of the group, from its beginning to its end.
async fn run(shared: Arc<Shared>) -> Halt {
    if let Err(halt) = prepare(&shared).await {
        return halt;
    }
    match shared.ports.readers.reader(&shared.consumer.topic, &shared.consumer.group) {
        Ok(reader) => {
            shared.metrics.working(&shared.consumer.topic, true);
            Reading::new(Arc::clone(&shared), reader).run().await
        }
        Err(error) => Halt::Failed(error),
    }
}

/// Sees to it that what is read from and written to is there.
async fn prepare(shared: &Shared) -> Outcome<()> {
    let mut patience = Patience::default();
    for topic in [&shared.topic, &shared.dead_letters] {
        while let Err(error) = shared.ports.readers.ensure_topic(topic).await {
            shared.log_is_away(&error)?;
            patience.wait(&shared.stop).await?;
        }
    }
    while shared.ports.decoder.projects() {
        match shared.ports.store.prepare().await {
            Ok(()) => break,
            Err(error) => shared.store_is_away(&error),
        }
        patience.wait(&shared.stop).await?;
    }
    Ok(())
}

impl Shared {
    /// Counts a wait for the store, and says why it waits. Whatever its reason, it is no fault of any event.
    fn store_is_away(&self, error: &Error) {
        self.metrics.store_wait(&self.consumer.topic);
        let topic = &self.consumer.topic;
        if matches!(error, Error::Unavailable { .. } | Error::Overloaded { .. }) {
            tracing::warn!(topic, %error, "the store is away: the consumer waits for it");
        } else {
            tracing::error!(topic, %error, "the store refuses all events: the consumer waits until that is mended");
        }
    }

    /// Counts a wait for the log, or fails where waiting does not help.
    fn log_is_away(&self, error: &Error) -> Outcome<()> {
        self.metrics.log_wait(&self.consumer.topic);
        if matches!(error, Error::Unavailable { .. } | Error::Overloaded { .. }) {
            tracing::warn!(topic = self.consumer.topic, %error, "the log is away: the consumer waits for it");
            return Ok(());
        }
        Err(Halt::Failed(error.clone()))
    }
}
