//! A payment API to try webhooks from Redis with: it makes random payments, announces each on a channel and on a stream,
//! and says how one stands to whom the webhook did not reach. Knows Redis and the message, and nothing of who reads it.

mod book;
mod payment;
mod polls;

pub use book::BookConfig;

use crate::journal::Journal;
use crate::receiver::{Asked, Behaviour, Receiver, ReceiverConfig, Request, Responder, Response};
use crate::{Error, LabClock, Result};
use book::{Away, Book};
use payment::{Payment, Status};
use polls::Polls;
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// When to come back while Redis is away, in seconds.
const AWAY_RETRY_S: u64 = 1;
const URL_BYTES_MAX: usize = 2048;
const ID_BYTES_MAX: usize = 64;

/// How to start a payment API.
#[derive(Clone, Debug)]
pub struct PaymentsConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where payments are kept and announced.
    pub book: BookConfig,
    /// Where webhooks go when a request does not say.
    pub webhook_url: Option<String>,
    /// How often one client may ask how one payment stands.
    pub polls_per_second_max: u32,
    /// After so long a payment is completed or has failed.
    pub settle_ms: u64,
}

/// Starts a payment API, on the current runtime. It stops as any [`Receiver`] does. Redis need not be there yet.
///
/// # Errors
/// When the address cannot be bound, or the address of Redis is none.
pub async fn start(config: PaymentsConfig) -> Result<Receiver> {
    let clock = LabClock::start();
    let api = PaymentApi {
        book: Book::new(config.book.clone())?,
        polls: Polls::new(config.polls_per_second_max),
        counts: Counts::default(),
        clock,
        config: config.clone(),
    };
    let receiver = ReceiverConfig {
        listen: config.listen,
        behaviour: Behaviour::Ask(Asked(Arc::new(api))),
        clock,
        ..ReceiverConfig::loopback(Journal::new(0))
    };
    Receiver::start(receiver).await
}

/// Answers requests.
struct PaymentApi {
    config: PaymentsConfig,
    book: Book,
    polls: Polls,
    counts: Counts,
    clock: LabClock,
}

#[derive(Default)]
struct Counts {
    made: AtomicU64,
    asked: AtomicU64,
    throttled: AtomicU64,
    unavailable: AtomicU64,
}

impl Responder for PaymentApi {
    fn respond(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        Box::pin(async move {
            let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
            if !matches!(request.method.as_str(), "GET" | "HEAD") {
                let mut refused = answer(405, &json!({ "error": "only GET is answered here" }));
                refused.headers.push(("allow".into(), "GET".into()));
                return refused;
            }
            match path.trim_end_matches('/') {
                "/ping" => answer(200, &json!({ "message": "pong" })),
                "/metrics" => self.metrics(),
                "/payment" => self.make(query).await,
                path => match path.strip_prefix("/payment/") {
                    Some(id) => self.tell(id, request.peer).await,
                    None => answer(404, &json!({ "error": "there is only /payment, /payment/ID, /ping and /metrics" })),
                },
            }
        })
    }
}

impl PaymentApi {
    fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now_us() / 1000).unwrap_or(i64::MAX)
    }

    /// `GET /payment[?url=…]`
    async fn make(&self, query: &str) -> Response {
        let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "url");
        let url = asked.map(|(_, url)| url.into_owned()).or_else(|| self.config.webhook_url.clone());
        let Some(url) = url.filter(|url| !url.is_empty() && url.len() <= URL_BYTES_MAX) else {
            let error =
                "it is not known where the webhook goes: set WEBHOOK_ADDRESS (--webhook), or ask /payment?url=…";
            return answer(400, &json!({ "error": error }));
        };
        let payment = Payment::random(self.now_ms());
        match self.book.announce(&payment, &url).await {
            Ok(()) => {
                self.counts.made.fetch_add(1, Ordering::Relaxed);
                answer(200, &payment.data())
            }
            Err(away) => self.unavailable(away),
        }
    }

    /// `GET /payment/{id}`
    async fn tell(&self, id: &str, peer: SocketAddr) -> Response {
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
        let unknown = || answer(404, &json!({ "error": "there is no such payment", "id": id }));
        if id.len() > ID_BYTES_MAX {
            return answer(404, &json!({ "error": "there is no such payment" }));
        }
        if let Err(retry_after_s) = self.polls.ask(peer.ip(), id, self.clock.now_us()) {
            self.counts.throttled.fetch_add(1, Ordering::Relaxed);
            let most = self.config.polls_per_second_max;
            return later(429, retry_after_s, format!("asked too often: {most} times a second at most"));
        }
        match self.book.find(id).await {
            Ok(Some(payment)) => {
                let status = Status::of(&payment, self.now_ms(), self.config.settle_ms);
                answer(200, &payment.standing(status))
            }
            Ok(None) => unknown(),
            Err(away) => self.unavailable(away),
        }
    }

    fn unavailable(&self, Away(reason): Away) -> Response {
        self.counts.unavailable.fetch_add(1, Ordering::Relaxed);
        later(503, AWAY_RETRY_S, reason)
    }

    fn metrics(&self) -> Response {
        let Counts { made, asked, throttled, unavailable } = &self.counts;
        let counts = [
            ("payments_made", "Payments made and announced", made),
            ("payments_asked", "Questions how a payment stands", asked),
            ("payments_throttled", "Questions refused because they came too often", throttled),
            ("payments_unavailable", "Requests refused because Redis was away", unavailable),
        ];
        let line = |(name, help, count): (&str, &str, &AtomicU64)| {
            let count = count.load(Ordering::Relaxed);
            format!("# HELP {name} {help}.\n# TYPE {name} counter\n{name}_total {count}\n")
        };
        let text = format!("{}# EOF\n", counts.map(line).concat());
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Response { status: 200, headers: vec![("content-type".into(), kind.into())], body: text.into() }
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let headers = vec![("content-type".to_owned(), "application/json".into())];
    Response { status, headers, body: body.to_string().into() }
}

fn later(status: u16, retry_after_s: u64, reason: String) -> Response {
    let mut response = answer(status, &json!({ "error": reason }));
    response.headers.push(("retry-after".into(), retry_after_s.to_string().into()));
    response
}

/// A wrong setting.
fn wrong(field: &'static str, reason: String) -> Error {
    Error::Invalid { field, reason }
}
