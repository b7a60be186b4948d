//! Appending while brokers are killed, frozen or never there.

use crate::{PATIENCE, available, eventually, open, open_at_once, record, text};
use hookfast_core::ErrorKind;
use hookfast_core::ports::{Log as _, LogReaders as _};
use hookfast_log::kafka::{KafkaConfig, KafkaLog, Metrics};
use hookfast_testkit::kafka::KafkaServer;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Callers that append one record after the other, and remember which were acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<BTreeSet<String>>>,
}

impl Load {
    fn start(log: &Arc<KafkaLog>, topic: &str) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let caller = |caller: usize| {
            let (log, topic, stop, count) = (Arc::clone(log), topic.to_owned(), stop.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let mut mine = BTreeSet::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let value = format!("{caller} {number}");
                    match log.append(record(&topic, &value, value.clone())).await {
                        Ok(_) => {
                            mine.insert(value);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Retryable, "{error:?}");
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                }
                mine
            })
        };
        let callers = (0..8).map(caller).collect();
        Self { stop, acknowledged, callers }
    }

    /// Waits until so many more were acknowledged.
    async fn goes_on(&self, count: usize) {
        let until = self.acknowledged.load(Ordering::Relaxed) + count;
        eventually("appending goes on", || self.acknowledged.load(Ordering::Relaxed) >= until).await;
    }

    /// What was acknowledged is there, and nothing is there twice.
    async fn judge(self, log: &KafkaLog, topic: &str) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = BTreeSet::new();
        for caller in self.callers {
            acknowledged.append(&mut caller.await.unwrap());
        }
        let all = log.peek(topic, Vec::new(), usize::MAX).await.unwrap();
        let there: BTreeSet<String> = all.iter().map(|entry| text(entry).to_owned()).collect();
        assert_eq!(there.len(), all.len(), "some are there twice");
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        all.len()
    }
}

#[test]
fn what_was_acknowledged_survives_killed_brokers_and_is_there_once() {
    let Some(mut server) = KafkaServer::start() else { return };
    let topic = server.topic(3);
    hookfast_testkit::run(async {
        let log = open(&server.address(), |_| {}).await;
        let load = Load::start(&log, &topic);
        for _ in 0..2 {
            load.goes_on(500).await;
            server.kill();
            server.restart();
        }
        load.goes_on(500).await;
        let count = load.judge(&log, &topic).await;
        println!("{count} records through two kills");
    });
}

#[test]
fn a_frozen_broker_loses_and_repeats_nothing() {
    let Some(server) = KafkaServer::start() else { return };
    let topic = server.topic(3);
    hookfast_testkit::run(async {
        let log = open(&server.address(), |config| config.append_timeout_ms = 20_000).await;
        let load = Load::start(&log, &topic);
        load.goes_on(200).await;
        server.freeze();
        // Long enough that it is taken for away, which is the event waited for.
        eventually("the silence is noticed", || !log.is_available()).await;
        server.thaw();
        available(&log).await;
        load.goes_on(200).await;
        load.judge(&log, &topic).await;
    });
}

#[test]
fn while_no_broker_is_there_it_is_refused_at_once_and_then_goes_on_by_itself() {
    let Some(mut server) = KafkaServer::start() else { return };
    let topic = server.topic(1);
    hookfast_testkit::run(async {
        let log = open(&server.address(), |_| {}).await;
        log.append(record(&topic, "key", "before")).await.unwrap();
        server.kill();
        eventually("the end is noticed", || !log.is_available()).await;
        let from = Instant::now();
        for _ in 0..1_000 {
            let error = log.append(record(&topic, "key", "meanwhile")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Retryable);
        }
        println!("refused 1000 times in {:?}", from.elapsed());
        assert!(from.elapsed() < Duration::from_secs(2), "it must not wait");
        server.restart();
        let back = Instant::now();
        available(&log).await;
        println!("noticed {:?} after the broker was back", back.elapsed());
        log.append(record(&topic, "key", "after")).await.unwrap();
        let all = log.peek(&topic, Vec::new(), 10).await.unwrap();
        assert_eq!(all.iter().map(text).collect::<Vec<_>>(), ["before", "after"]);
    });
}

#[test]
fn what_waits_when_the_broker_is_killed_goes_through_when_it_is_back() {
    let Some(mut server) = KafkaServer::start() else { return };
    let topic = server.topic(1);
    hookfast_testkit::run(async {
        let log = open(&server.address(), |config| config.append_timeout_ms = 60_000).await;
        log.append(record(&topic, "key", "before")).await.unwrap();
        server.freeze();
        let append = tokio::spawn({
            let (log, record) = (log.clone(), record(&topic, "key", "meanwhile"));
            async move { log.append(record).await }
        });
        eventually("the silence is noticed", || !log.is_available()).await;
        server.kill();
        server.restart();
        assert_eq!(append.await.unwrap().unwrap().offset, 1);
    });
}

#[test]
fn an_append_is_given_up_when_its_time_is_over() {
    let Some(server) = KafkaServer::start() else { return };
    let topic = server.topic(1);
    hookfast_testkit::run(async {
        let log = open(&server.address(), |config| config.append_timeout_ms = 2_500).await;
        log.append(record(&topic, "key", "before")).await.unwrap();
        server.freeze();
        let given_up = tokio::time::timeout(PATIENCE, log.append(record(&topic, "key", "meanwhile"))).await.unwrap();
        assert_eq!(given_up.unwrap_err().kind(), ErrorKind::Retryable);
        server.thaw();
        available(&log).await;
        // The client finds out first what became of the one that was given up, which may take longer than that.
        let mut tries = 0;
        let at = loop {
            match log.append(record(&topic, "key", format!("after {tries}"))).await {
                Ok(at) => break at,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Retryable),
            }
            tries += 1;
            assert!(tries < 100, "it does not go on");
        };
        let all = log.peek(&topic, Vec::new(), 1_000).await.unwrap();
        let acknowledged = all.iter().find(|entry| entry.at == at).unwrap();
        assert_eq!(text(acknowledged), format!("after {tries}"));
    });
}

#[test]
fn readers_and_the_log_end_though_no_broker_is_there() {
    let Some(mut server) = KafkaServer::start() else { return };
    let topic = server.topic(1);
    hookfast_testkit::run(async {
        let log = open(&server.address(), |_| {}).await;
        let reader = crate::reader_of_all(&log, &topic).await;
        server.kill();
        let from = Instant::now();
        reader.close().await;
        drop(log);
        println!("closed in {:?}", from.elapsed());
        assert!(from.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn a_log_whose_brokers_were_never_there_is_opened_and_refuses() {
    // Nothing listens on this port.
    let log = open_at_once("127.0.0.1:1", |_| {});
    hookfast_testkit::run(async {
        assert!(!log.is_available());
        let error = log.append(record("any", "key", "value")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retryable);
        eventually("it says why", || {
            let refused = why_refused(&log);
            refused.contains("127.0.0.1:1") && refused.len() > "no Kafka broker answers (127.0.0.1:1)".len()
        })
        .await;
    });
}

#[test]
fn a_producer_that_cannot_go_on_is_replaced_and_its_records_are_not_called_acknowledged() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 1, 1).unwrap();
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let log = KafkaLog::open(KafkaConfig::new(cluster.bootstrap_servers()), metrics).unwrap();
    hookfast_testkit::run(async {
        available(&log).await;
        assert_eq!(log.append(record("topic", "key", "first")).await.unwrap().offset, 0);
        let broken = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        cluster.request_errors(RDKafkaApiKey::Produce, &[broken]);
        let answer = log.append(record("topic", "key", "second")).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Retryable);
        let counted = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        eventually("the alarm is raised", || counted().contains("log_producer_restarts_total 1")).await;
        assert!(log.append(record("topic", "key", "third")).await.unwrap().offset > 0);
    });
}

/// Why an append is refused, at once.
fn why_refused(log: &KafkaLog) -> String {
    let mut append = log.append(record("any", "key", "value"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match append.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => answer.unwrap_err().to_string(),
        std::task::Poll::Pending => panic!("it must be refused at once"),
    }
}
