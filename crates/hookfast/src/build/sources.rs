//! What brings events in by itself: emitters, Redis, consumers of the log. Starts it and ends it; must not know what comes
//! of the events.

use super::log::LogPorts;
use super::store::StorePorts;
use super::{Surroundings, size};
use crate::config::{Config, OutOfRange};
use anyhow::Context as _;
use hookfast_core::AppId;
use hookfast_core::OrgId;
use hookfast_core::address::AddressRules;
use hookfast_core::model::Origin;
use hookfast_core::ports::{Admission, Consume, Intake, NewApplication, OnExisting};
use hookfast_intake::{
    ConsumerConfig, ConsumerMetrics, ConsumerPorts, ConsumerTask, Decoder, EnvelopeDecoder, InvoiceDecoder,
    OnOutOfRange,
};
use hookfast_sources::emitter::EmitterSupervisor;
use hookfast_sources::redis::{RedisConfig, RedisPorts, RedisSource, Sentinel};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Sources at work.
#[derive(Default)]
pub(super) struct Sources {
    tasks: TaskTracker,
    stop: CancellationToken,
    consumers: Vec<ConsumerTask>,
    /// Wakes the emitters when one was started or stopped here.
    pub(super) emitters_changed: Arc<Notify>,
}

impl Sources {
    /// Runs emitters, and reads Redis where that is configured, on the runtime this is called on.
    pub(super) fn start(
        &self,
        config: &Config,
        around: &Surroundings,
        store: &StorePorts,
        intake: &Arc<dyn Intake>,
        rules: &AddressRules,
        registry: &mut Registry,
    ) -> anyhow::Result<()> {
        let emitters = EmitterSupervisor::new(
            Arc::clone(&store.emitters),
            Arc::clone(&store.exclusive),
            Arc::clone(intake),
            Arc::clone(&around.clock),
            Arc::clone(&self.emitters_changed),
        );
        self.tasks.spawn(emitters.run(self.stop.clone()));
        if !config.redis.addresses.is_empty() {
            let ports = RedisPorts {
                intake: Arc::clone(intake),
                exclusive: Arc::clone(&store.exclusive),
                applications: Arc::clone(&store.applications),
                endpoints: Arc::clone(&store.endpoints),
                reading: Arc::clone(&store.reading),
                clock: Arc::clone(&around.clock),
            };
            let redis = RedisSource::new(redis_config(config, rules)?, ports)?;
            redis.metrics().register(registry);
            self.tasks.spawn(redis.run(self.stop.clone()));
        }
        Ok(())
    }

    /// Reads both topics of the log into the store, on the runtime of `handle`.
    pub(super) async fn consume(
        &mut self,
        config: &Config,
        around: &Surroundings,
        (store, log): (&StorePorts, &LogPorts),
        admission: &Arc<dyn Admission>,
        registry: &mut Registry,
        handle: &Handle,
    ) -> anyhow::Result<()> {
        let taker = store.consume.clone().context("this store cannot take what is read from a log")?;
        let app = application(store, &format!("kafka.{}", config.kafka.topic)).await?;
        let body_bytes_max = size(config.server.body_bytes_max);
        let (ids, clock) = (Arc::clone(&around.ids), Arc::clone(&around.clock));
        let origin = Origin::of(&format!("kafka:{}", config.kafka.topic));
        let invoices = InvoiceDecoder::new(app, ids, clock, body_bytes_max, origin);
        let metrics = ConsumerMetrics::default();
        metrics.register(registry);
        let kafka = &config.kafka;
        let received = ConsumerConfig { fail_rate: kafka.fail_rate, ..consumer(config, &kafka.topic, &kafka.group_id) };
        let accepted = consumer(config, &kafka.intake_topic, &kafka.intake_group_id);
        let each: [(ConsumerConfig, Arc<dyn Decoder>); 2] =
            [(received, Arc::new(invoices)), (accepted, Arc::new(EnvelopeDecoder { body_bytes_max }))];
        for (settings, decoder) in each {
            let ports = ConsumerPorts {
                log: Arc::clone(&log.log),
                readers: Arc::clone(&log.readers),
                store: Arc::clone(&taker),
                admission: Arc::clone(admission),
                decoder,
            };
            self.consumers.push(ConsumerTask::start(ports, settings, metrics.clone(), handle));
        }
        Ok(())
    }

    /// Lets what is under way become durable, and no more. What has not ended within `patience` is cut off, which is as a
    /// crash in its middle: it is taken up again by whoever comes next.
    pub(super) async fn end(self, patience: Duration) {
        self.stop.cancel();
        self.tasks.close();
        // All at once: the patience is for the whole.
        let consumers: JoinSet<()> = self.consumers.into_iter().map(|consumer| consumer.stop(patience)).collect();
        let ((), tasks) =
            tokio::join!(async { drop(consumers.join_all().await) }, tokio::time::timeout(patience, self.tasks.wait()));
        if tasks.is_err() {
            tracing::warn!("not every source ended in time; the next one goes on from what is stored");
        }
    }
}

/// Makes the tables that the first system reads, where the store has them.
pub(super) async fn prepare(taker: Option<&Arc<dyn Consume>>) -> anyhow::Result<()> {
    if let Some(taker) = taker {
        taker.prepare().await?;
    }
    Ok(())
}

/// The application that events of a source belong to.
pub(super) async fn application(store: &StorePorts, uid: &str) -> anyhow::Result<AppId> {
    let new = NewApplication {
        org: OrgId::default_org(),
        uid: Some(uid.to_owned()),
        name: uid.to_owned(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        retention_days: None,
    };
    Ok(store.applications.create_application(new, OnExisting::Return, None).await?.value.id)
}

fn consumer(config: &Config, topic: &str, group: &str) -> ConsumerConfig {
    ConsumerConfig {
        batch_events_max: config.kafka.batch_events_max,
        retries_max: u32::try_from(config.kafka.max_retries).unwrap_or(u32::MAX),
        on_out_of_range: match config.kafka.on_out_of_range {
            OutOfRange::Stop => OnOutOfRange::Stop,
            OutOfRange::Earliest => OnOutOfRange::Earliest,
            OutOfRange::Latest => OnOutOfRange::Latest,
        },
        ..ConsumerConfig::new(topic, group)
    }
}

fn redis_config(config: &Config, rules: &AddressRules) -> anyhow::Result<RedisConfig> {
    let redis = &config.redis;
    let sentinel = redis.sentinel_master.clone();
    Ok(RedisConfig {
        name: redis.name.clone(),
        addresses: redis.addresses.clone(),
        username: redis.username.clone(),
        password: redis.password.clone(),
        tls_ca_pem: super::read_pem("redis.tls_ca_file", redis.tls_ca_file.as_deref())?,
        sentinel: sentinel.map(|master| Sentinel { master, password: redis.sentinel_password.clone() }),
        channel: redis.channel.clone().unwrap_or_default(),
        stream: redis.stream.clone().unwrap_or_default(),
        group: redis.group.clone(),
        in_flight_max: redis.in_flight_max,
        endpoints_max: redis.endpoints_max,
        endpoint_idle_ms: redis.endpoint_idle_ms,
        retry_first_ms: redis.retry_first_ms,
        claim_after_ms: redis.claim_after_ms,
        https_only: config.delivery.https_only,
        rules: rules.clone(),
    })
}
