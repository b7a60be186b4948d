//! The load counts what a server answers, and every acknowledged event is among those that reached it.

use hookfast_lab::EventKey;
use hookfast_lab::load::{self, Counts, LoadConfig, Pace, Progress};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A server of one route that answers as `answer` says to the number of the request.
struct Api {
    answer: fn(u64) -> Option<u16>,
    requests: AtomicU64,
    /// How often each idempotency key came.
    keys: Mutex<HashMap<String, u32>>,
    acked: Mutex<Vec<EventKey>>,
}

impl Api {
    async fn start(answer: fn(u64) -> Option<u16>) -> (Arc<Self>, String) {
        let api =
            Arc::new(Self { answer, requests: AtomicU64::new(0), keys: Mutex::default(), acked: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = api.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let api = serving.clone();
                let service = service_fn(move |request| {
                    let api = api.clone();
                    async move { api.handle(request).await }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (api, address)
    }

    async fn handle(
        &self,
        request: hyper::Request<hyper::body::Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        assert!(request.uri().path().starts_with("/api/v1/app/app_"));
        if let Some(key) = request.headers().get("idempotency-key") {
            *self.keys.lock().unwrap().entry(key.to_str().unwrap().to_owned()).or_default() += 1;
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["eventType"], "lab.event");
        let Some(status) = (self.answer)(number) else { std::future::pending().await };
        let id = format!("msg_foreign{number}");
        if status == 202 {
            self.acked.lock().unwrap().push(EventKey::of(&id));
        }
        let text = format!(r#"{{"eventType":"lab.event","id":"{id}","payload":{}}}"#, body["payload"]);
        Ok(hyper::Response::builder().status(status).body(Full::from(text)).unwrap())
    }
}

fn config(address: String, events: u64) -> LoadConfig {
    let mut config = LoadConfig::new(address, "token", vec!["app_1".into(), "app_2".into(), "app_3".into()]);
    config.pace = Pace::Closed { events };
    config.connections = 4;
    config
}

#[tokio::test]
async fn a_closed_loop_counts_and_remembers_every_answer() {
    let (api, address) = Api::start(|number| Some(if number % 10 == 3 { 503 } else { 202 })).await;
    let report = load::run(config(address, 300), Arc::default()).await.unwrap();
    assert_eq!(report.counts.accepted, 300);
    assert!(report.counts.refused > 20 && report.counts.failed == 0 && report.counts.unknown == 0);
    assert_eq!(api.requests.load(Ordering::Relaxed), report.counts.accepted + report.counts.refused);
    assert_eq!(report.acked.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 100]);
    let mut remembered = report.acked.concat();
    let mut acked = api.acked.lock().unwrap().clone();
    remembered.sort_unstable();
    acked.sort_unstable();
    assert_eq!(remembered, acked);
    assert_eq!(report.accept_us.len(), 300);
    assert_eq!(api.keys.lock().unwrap().values().max(), Some(&1), "a new key for each sending");
}

#[tokio::test]
async fn failures_are_told_from_unknown_fates() {
    let (_api, address) = Api::start(|number| [Some(202), Some(422), None, Some(202)][number as usize % 4]).await;
    let mut config = config(address, 40);
    config.timeout_ms = 50;
    config.idempotency_key = false;
    let report = load::run(config, Arc::default()).await.unwrap();
    assert_eq!(report.counts, Counts { accepted: 20, refused: 0, failed: 10, unknown: 10 });
}

#[tokio::test]
async fn an_unknown_fate_is_asked_again_under_the_same_key() {
    let (api, address) = Api::start(|number| (number % 5 != 2).then_some(202)).await;
    let mut config = config(address, 40);
    config.timeout_ms = 50;
    config.repeat_unknown = true;
    let report = load::run(config, Arc::default()).await.unwrap();
    assert_eq!(report.counts.accepted, 40);
    assert!(report.counts.unknown >= 9);
    let keys = api.keys.lock().unwrap();
    assert_eq!(keys.len(), 40);
    assert_eq!(u64::from(keys.values().sum::<u32>()), 40 + report.counts.unknown);
}

#[tokio::test]
async fn an_open_loop_sends_what_was_asked_from_the_intended_time() {
    let (api, address) = Api::start(|_| Some(202)).await;
    let mut config = config(address, 0);
    config.pace = Pace::Open { per_second: 2000.0, seconds: 0.2 };
    let progress: Arc<Progress> = Arc::default();
    let report = load::run(config, progress.clone()).await.unwrap();
    assert_eq!(report.counts.accepted, 400);
    assert_eq!(api.requests.load(Ordering::Relaxed), 400);
    assert_eq!(progress.counts(), report.counts);
    // The last event was not due before 199.5 ms; a producer in a closed loop would be done long before.
    assert!(report.ended_us - report.started_us >= 199_000);
}

#[tokio::test]
async fn a_load_without_a_server_gives_up() {
    let address = format!("127.0.0.1:{}", hookfast_lab::process::free_port().unwrap());
    let mut config = config(address, 10);
    config.down_ms_max = 50;
    let report = load::run(config, Arc::default()).await.unwrap();
    assert_eq!(report.counts, Counts::default());
    assert!(report.gave_up.unwrap().contains("connect"));
}

#[tokio::test]
async fn an_endless_load_can_be_stopped() {
    let (_api, address) = Api::start(|_| Some(202)).await;
    let config = config(address, u64::MAX);
    let (stop, progress) = (config.stop.clone(), Arc::<Progress>::default());
    let running = tokio::spawn(load::run(config, progress.clone()));
    while progress.counts().accepted < 50 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.acked.concat().len() as u64, report.counts.accepted);
}
