//! Deliveries by HTTP/1.1: a request per try, on a connection of the endpoint's own. It must not know queues, retry
//! schedules or stores; it makes exactly one try per call.
//!
//! Never a hidden second send, with one exception: a kept connection that the receiver closes before one byte of an
//! answer has come is replaced by a fresh one, once, within the same try and its deadline. Receivers close unused
//! connections at will, and a request that meets the closing has as a rule not been read.

mod answer;
mod config;
mod connection;
mod dial;
mod metrics;
mod prepared;
mod request;
mod resolve;
mod stream;
mod tls;

pub use config::{HeaderFamily, HttpSinkConfig};
pub use metrics::HttpSinkMetrics;

use crate::Error;
use answer::{Answer, Failure};
use connection::{Afterwards, Connection};
use dial::Dialler;
use hookfast_core::Clock;
use hookfast_core::delivery::Cause;
use hookfast_core::ports::{BoxFuture, Sink, Try, TryOutcome};
use metrics::{Counters, count};
use prepared::{Parts, Prepared, PreparedEndpoints};
use request::Times;
use resolve::{Resolve, SystemResolver};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// The longest deadline that an endpoint can set.
const TIMEOUT_MS_MAX: u64 = 30_000;
/// How often unused connections are looked through.
const REAP_EVERY: Duration = Duration::from_secs(1);

/// Sends deliveries by HTTP. The caller limits how many at once; nothing is queued here.
pub struct HttpSink {
    shared: Arc<Shared>,
}

struct Shared {
    config: HttpSinkConfig,
    clock: Arc<dyn Clock>,
    dialler: Dialler,
    endpoints: PreparedEndpoints,
    counters: Arc<Counters>,
    started: Instant,
    is_reaping: AtomicBool,
}

impl HttpSink {
    /// A sink that resolves names by the system's hosts file and name servers.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: HttpSinkConfig, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let resolver = Arc::new(SystemResolver::new()?);
        Self::with_resolver(config, clock, resolver)
    }

    fn with_resolver(config: HttpSinkConfig, clock: Arc<dyn Clock>, resolver: Arc<dyn Resolve>) -> Result<Self, Error> {
        if !config.user_agent.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Error::UserAgent);
        }
        let counters = Arc::new(Counters::default());
        let dialler = Dialler {
            rules: config.rules.clone(),
            resolver,
            tls: tls::connector(config.extra_ca_pem.as_deref())?,
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            dns_timeout: Duration::from_millis(config.dns_timeout_ms),
            counters: Arc::clone(&counters),
        };
        let shared = Shared {
            config,
            clock,
            dialler,
            endpoints: PreparedEndpoints::default(),
            counters,
            started: Instant::now(),
            is_reaping: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The addresses of a name, as a delivery would find them, before the address rules judge them.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let dialler = &self.shared.dialler;
        match timeout(dialler.dns_timeout, dialler.resolver.resolve(name)).await {
            Ok(found) => found.map_err(|failure| failure.text.into_owned()),
            Err(_) => Err("the name servers did not answer in time".to_owned()),
        }
    }

    /// What it has counted so far.
    #[must_use]
    pub fn metrics(&self) -> HttpSinkMetrics {
        self.shared.counters.snapshot()
    }
}

impl Sink for HttpSink {
    fn send<'a>(&'a self, attempt: Try<'a>) -> BoxFuture<'a, TryOutcome> {
        Box::pin(self.shared.attempt(attempt))
    }
}

impl Shared {
    async fn attempt(self: &Arc<Self>, attempt: Try<'_>) -> TryOutcome {
        let started = Instant::now();
        let timeout_ms = attempt.endpoint.timeout_ms.map_or(self.config.timeout_ms, u64::from).min(TIMEOUT_MS_MAX);
        let deadline = started + Duration::from_millis(timeout_ms);
        let mut answer = Answer::default();
        let failure = match timeout_at(deadline, self.exchange(attempt, &mut answer, started)).await {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(answer.stage.timed_out()),
        };
        let duration_ms = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
        outcome(answer, failure, duration_ms)
    }

    async fn exchange(
        self: &Arc<Self>,
        attempt: Try<'_>,
        answer: &mut Answer,
        started: Instant,
    ) -> Result<(), Failure> {
        let prepared = self.endpoints.get(attempt.endpoint, &self.config, self.since_start_ms(started));
        let parts = prepared.parts.as_ref().map_err(Failure::clone)?;
        while let Some(mut connection) = prepared.take_idle(Duration::from_millis(self.config.idle_timeout_ms)) {
            if !connection.is_alive().await {
                continue;
            }
            count(&self.counters.reused);
            match self.send_on(connection, &prepared, parts, attempt, answer).await {
                Err(broken) if broken.before_answer && broken.failure.cause == Cause::Reset => {
                    count(&self.counters.stale);
                    break;
                }
                sent => return sent.map_err(|broken| broken.failure),
            }
        }
        let connection = Box::pin(self.connect(parts, answer)).await?;
        self.send_on(connection, &prepared, parts, attempt, answer).await.map_err(|broken| broken.failure)
    }

    async fn connect(&self, parts: &Parts, answer: &mut Answer) -> Result<Connection, Failure> {
        let transport = self.dialler.dial(&parts.target, &mut answer.stage).await?;
        Connection::open(transport).await
    }

    async fn send_on(
        self: &Arc<Self>,
        mut connection: Connection,
        prepared: &Prepared,
        parts: &Parts,
        attempt: Try<'_>,
        answer: &mut Answer,
    ) -> Result<(), connection::Broken> {
        let times = Times { wall: self.clock.wall(), now: self.clock.now() };
        let request = request::build(parts, self.config.header_family, attempt.event, times)
            .map_err(|failure| connection::Broken { failure, before_answer: false })?;
        if connection.exchange(request, answer, times.wall).await? == Afterwards::Reusable {
            prepared.keep(connection, Instant::now(), &self.config, &self.counters);
            self.reap_in_background();
        }
        Ok(())
    }

    fn since_start_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Starts the one task that closes unused connections, unless it runs. It ends when nothing is left to look
    /// after, and with the sink.
    fn reap_in_background(self: &Arc<Self>) {
        if self.is_reaping.load(Ordering::Relaxed) || self.is_reaping.swap(true, Ordering::AcqRel) {
            return;
        }
        let reaping = Reaping(Arc::downgrade(self));
        tokio::spawn(async move {
            loop {
                sleep(REAP_EVERY).await;
                let Some(shared) = reaping.0.upgrade() else { return };
                let idle_timeout = Duration::from_millis(shared.config.idle_timeout_ms);
                if !shared.endpoints.reap(idle_timeout, shared.since_start_ms(Instant::now())) {
                    return;
                }
            }
        });
    }
}

/// Says that the background task runs, until it is dropped; its runtime may end before the sink does.
struct Reaping(Weak<Shared>);

impl Drop for Reaping {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_reaping.store(false, Ordering::Release);
        }
    }
}

/// Puts what is known into words. A status without a whole answer is kept, but does not decide.
fn outcome(answer: Answer, failure: Option<Failure>, duration_ms: u32) -> TryOutcome {
    let Answer { status, retry_after_ms, is_text, body, .. } = answer;
    let (cause, excerpt) = match failure {
        None => (answer::cause_of(status), answer::excerpt(body, is_text)),
        Some(failure) => (failure.cause, failure.text.into_owned()),
    };
    TryOutcome { cause, status, retry_after_ms, duration_ms, excerpt }
}

#[cfg(test)]
mod tests;
