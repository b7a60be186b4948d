//! The parts of a stack: in which order they start, where they listen, how it is known that they are ready, how they end.
//! What they are started with stands in `servers` and `nodes`.

use super::layout::{Layout, Ports};
use super::{nodes, probe, servers};
use anyhow::Result;
use rustix::process::Signal;
use std::process::Command;

/// One process of a stack; its name is that of the service in `deploy/compose.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Postgres,
    Kafka,
    Redis,
    RedisReplica,
    Sender,
    Handler(usize),
    Consumer,
    Api,
    Nginx,
}

const HANDLERS: [&str; 3] = ["webhook_handler-1", "webhook_handler-2", "webhook_handler-3"];

impl Part {
    /// In the order of a start. Each stage begins when the one before is ready.
    pub(crate) const STAGES: [&[Self]; 3] = [
        &[Self::Postgres, Self::Kafka, Self::Redis],
        &[
            Self::RedisReplica,
            Self::Sender,
            Self::Handler(0),
            Self::Handler(1),
            Self::Handler(2),
            Self::Consumer,
            Self::Api,
        ],
        &[Self::Nginx],
    ];

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::STAGES.into_iter().flatten().copied()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Redis => "redis",
            Self::RedisReplica => "redis-replica",
            Self::Sender => "sender",
            Self::Handler(number) => HANDLERS[number],
            Self::Consumer => "event_consumer",
            Self::Api => "api",
            Self::Nginx => "nginx",
        }
    }

    /// Does it run our own binary?
    pub(crate) fn is_hookfast(self) -> bool {
        matches!(self, Self::Sender | Self::Handler(_) | Self::Consumer | Self::Api)
    }

    /// The ports that it takes; others reach it by the first.
    pub(crate) fn ports(self, ports: &Ports) -> Vec<u16> {
        match self {
            Self::Postgres => vec![ports.postgres],
            Self::Kafka => vec![ports.kafka, ports.controller],
            Self::Redis => vec![ports.redis],
            Self::RedisReplica => vec![ports.replica],
            Self::Sender => vec![ports.sender],
            Self::Handler(number) => vec![ports.handlers[number]],
            Self::Consumer => vec![ports.consumer],
            Self::Api => vec![ports.api],
            Self::Nginx => vec![ports.nginx],
        }
    }

    /// Where others reach it.
    pub(crate) fn url(self, layout: &Layout) -> String {
        let port = self.ports(&layout.ports)[0];
        match self {
            Self::Postgres => layout.postgres_url(),
            Self::Kafka => format!("127.0.0.1:{port}"),
            Self::Redis | Self::RedisReplica => {
                format!("redis://:{}@127.0.0.1:{port}", layout.variables.get("REDIS_PASSWORD"))
            }
            _ => format!("http://127.0.0.1:{port}"),
        }
    }

    /// Makes its files ready; the answer starts it.
    pub(crate) fn command(self, layout: &Layout) -> Result<Command> {
        match self {
            Self::Postgres => servers::postgres(layout),
            Self::Kafka => servers::kafka(layout),
            Self::Redis => servers::redis(layout, self.name(), layout.ports.redis, None),
            Self::RedisReplica => servers::redis(layout, self.name(), layout.ports.replica, Some(layout.ports.redis)),
            Self::Sender => Ok(nodes::sender(layout)),
            Self::Handler(number) => Ok(nodes::handler(layout, number)),
            Self::Consumer => Ok(nodes::consumer(layout)),
            Self::Api => Ok(nodes::api(layout)),
            Self::Nginx => servers::nginx(layout),
        }
    }

    /// Does it, whose process id is `pid`, take requests?
    pub(crate) fn is_ready(self, layout: &Layout, pid: i32) -> bool {
        let port = self.ports(&layout.ports)[0];
        let redis = |words, answer| probe::redis(port, layout.variables.get("REDIS_PASSWORD"), words, answer);
        match self {
            Self::Postgres => servers::postgres_is_ready(layout, pid),
            // Its port opens when it takes requests, not before.
            Self::Kafka => probe::connects(port),
            Self::Redis => redis("PING", "+PONG"),
            Self::RedisReplica => redis("INFO replication", "master_link_status:up"),
            Self::Sender | Self::Handler(_) | Self::Consumer => probe::http(port, "/health/ready"),
            Self::Api | Self::Nginx => probe::http(port, "/ping"),
        }
    }

    /// What is left to do when it is ready.
    pub(crate) fn finish(self, layout: &Layout) -> Result<()> {
        if self == Self::Postgres { servers::make_database(layout) } else { Ok(()) }
    }

    /// The signal at which it ends in order.
    pub(crate) fn farewell(self) -> Signal {
        match self {
            Self::Postgres => Signal::INT,
            Self::Nginx => Signal::QUIT,
            _ => Signal::TERM,
        }
    }
}
