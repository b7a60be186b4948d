//! A source at work between a real Redis and what records behind it.

use crate::behind::Behind;
use hookfast_core::model::SecretText;
use hookfast_sources::redis::{Metrics, RedisConfig, RedisPorts, RedisSource};
use hookfast_testkit::redis::{PASSWORD, RedisServer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A source that reads the channel and the stream `payments`, with small limits.
pub(crate) fn config(addresses: &[String]) -> RedisConfig {
    RedisConfig {
        password: Some(SecretText::new(PASSWORD)),
        in_flight_max: 8,
        endpoints_max: 3,
        endpoint_idle_ms: 3_600_000,
        ..RedisConfig::new(addresses.iter().map(|address| address.parse().unwrap()).collect())
    }
}

pub(crate) struct Bench {
    pub(crate) behind: Arc<Behind>,
    pub(crate) metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Bench {
    /// Starts a source; it may not be connected yet.
    pub(crate) fn start(config: RedisConfig, behind: Arc<Behind>) -> Self {
        let ports = RedisPorts {
            intake: behind.clone(),
            exclusive: behind.clone(),
            applications: behind.clone(),
            endpoints: behind.clone(),
            reading: behind.clone(),
            clock: behind.clone(),
        };
        let source = RedisSource::new(config, ports).unwrap();
        let (stop, metrics) = (CancellationToken::new(), source.metrics().clone());
        let task = tokio::spawn(source.run(stop.clone()));
        Self { behind, metrics, stop, task }
    }

    /// Starts one on a server, and waits until it listens there.
    pub(crate) async fn on(server: &RedisServer) -> Self {
        let bench = Self::start(config(&[server.address()]), Arc::default());
        bench.until("listening", |bench| bench.shows("redis_channel_subscribed 1")).await;
        bench
    }

    /// Waits until so many events are durable.
    pub(crate) async fn until_events(&self, count: usize) {
        self.until(&format!("{count} events"), |bench| bench.behind.events().len() >= count).await;
    }

    /// Waits for what only asking can tell.
    pub(crate) async fn until(&self, what: &str, good: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !good(self) {
            assert!(start.elapsed() < Duration::from_secs(30), "waited for {what}\n{}", self.exposed());
            let _ = tokio::time::timeout(Duration::from_millis(20), self.behind.changed.notified()).await;
        }
    }

    pub(crate) fn exposed(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    /// Is this line among the metrics?
    pub(crate) fn shows(&self, line: &str) -> bool {
        self.exposed().lines().any(|shown| shown == line)
    }

    /// Stops it in order, and answers what is behind it.
    pub(crate) async fn stop(self) -> Arc<Behind> {
        self.stop.cancel();
        self.task.await.unwrap();
        self.behind
    }

    /// Ends it as a crash does.
    pub(crate) async fn crash(self) -> Arc<Behind> {
        self.task.abort();
        let _ = self.task.await;
        self.behind
    }
}

/// A message for a public URL.
pub(crate) fn message(id: &str) -> String {
    message_to("http://203.0.113.9.example/hook", id)
}

pub(crate) fn message_to(url: &str, id: &str) -> String {
    format!(r#"{{"url":"{url}","webhookId":"{id}","data":{{"id":"PAY1", "payment":"PAY1","event":"accepted"}}}}"#)
}

/// Adds a message to the stream; the answer is its number there.
pub(crate) fn add(server: &RedisServer, message: &str) -> String {
    server.command(&["xadd", "payments", "*", "payload", message])
}

/// Adds `count` messages with ids that begin so.
pub(crate) fn add_many(server: &RedisServer, prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| add(server, &message(&format!("{prefix}-{n}")))).collect()
}

/// How many entries were read and not acknowledged.
pub(crate) fn pending(server: &RedisServer) -> usize {
    let summary = server.command(&["xpending", "payments", "hookfast"]);
    summary.lines().next().unwrap().parse().unwrap()
}
