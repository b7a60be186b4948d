//! `hookfast pay`: a client of a payment API. It waits for the webhook, and asks when that stays away. Knows the payment
//! API alone.

use super::print_line;
use super::token::parse_duration;
use crate::exit::{Exit, Failure};
use hookfast_lab::client::{Answer, Client};
use hookfast_lab::journal::Journal;
use hookfast_lab::receiver::{Observer, Receiver, ReceiverConfig, Seen};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Waits between two questions, where the API does not say.
const POLL_MS_MIN: u64 = 500;
const POLL_MS_MAX: u64 = 5_000;
/// Longest `Retry-After` that is believed.
const RETRY_AFTER_S_MAX: u64 = 60;
/// Webhooks of others that wait to be looked at.
const WEBHOOKS_MAX: usize = 64;

/// Make a payment and wait for its webhook, or ask until it is final
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Prints what became of the payment and which way the news came: by webhook, or by poll. Exit code 1 when none came. The
signature of the webhook is not checked: its endpoint was made by the Redis source, with a random secret.

Examples:
  hookfast pay
  hookfast pay --poll --wait 5s --json
  hookfast pay --api http://127.0.0.1:8000 --listen 0.0.0.0:9100 --url http://10.0.0.5:9100/webhook")]
pub(crate) struct Args {
    /// The payment API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    api: String,
    /// Where to listen for the webhook; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Under which URL the webhook reaches --listen, when that is another
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How long to wait for the webhook
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    wait: u64,
    /// Then ask how the payment stands until it is final
    #[arg(long)]
    poll: bool,
    /// How long to ask at most
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    timeout: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of a payment.
struct News {
    /// `webhook` or `poll`.
    by: &'static str,
    outcome: String,
    polls: u32,
    throttled: u32,
}

/// Runs `hookfast pay`.
///
/// # Errors
/// When the API cannot be used, or no news came.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let api = Client::tcp(&args.api, None).map_err(|error| Failure::new(Exit::Usage, format!("--api: {error}")))?;
    let (sender, mut webhooks) = mpsc::channel(WEBHOOKS_MAX);
    let receiver = ReceiverConfig {
        listen: args.listen,
        observer: Some(Arc::new(Heard(sender))),
        ..ReceiverConfig::loopback(Journal::new(0))
    };
    let receiver = Receiver::start(receiver).await;
    let receiver =
        receiver.map_err(|error| Failure::new(Exit::Failed, format!("{error}; choose another with --listen")))?;
    let url = args.url.clone().unwrap_or_else(|| receiver.url("/webhook"));
    let start = Instant::now();
    let id = make(&api, &url).await?;
    eprintln!("payment {id} made; its webhook goes to {url}");
    let heard = timeout(Duration::from_millis(args.wait), heard_of(&mut webhooks, &id)).await;
    let news = match heard {
        Ok(outcome) => Some(News { by: "webhook", outcome, polls: 0, throttled: 0 }),
        Err(_) if args.poll => {
            eprintln!("no webhook yet; asking");
            let asking = async {
                let mut news = News { by: "poll", outcome: String::new(), polls: 0, throttled: 0 };
                let outcome = tokio::select! {
                    outcome = ask(&api, &id, &mut news.polls, &mut news.throttled) => outcome?,
                    outcome = heard_of(&mut webhooks, &id) => {
                        return Ok(News { by: "webhook", outcome, polls: 0, throttled: 0 });
                    }
                };
                anyhow::Ok(News { outcome, ..news })
            };
            timeout(Duration::from_millis(args.timeout), asking).await.ok().transpose()?
        }
        Err(_) => None,
    };
    receiver.stop().await;
    let news =
        news.ok_or_else(|| Failure::new(Exit::Failed, format!("no news of payment {id}{}", advice(args.poll))))?;
    show(&news, &id, start, args.json)?;
    Ok(ExitCode::SUCCESS)
}

fn advice(polled: bool) -> &'static str {
    if polled { "" } else { "; --poll asks for it" }
}

fn show(news: &News, id: &str, start: Instant, json: bool) -> anyhow::Result<()> {
    let News { by, outcome, polls, throttled } = news;
    let waited_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    if json {
        let line = json!({
            "payment": id, "outcome": outcome, "by": by, "polls": polls, "throttled": throttled, "waitedMs": waited_ms,
        });
        print_line(line)?;
    } else {
        print_line(format!("payment {id} {outcome}, by {by} after {waited_ms} ms"))?;
    }
    Ok(())
}

/// Passes the bodies of webhooks on; what does not fit is not of interest: it would have been heard before.
struct Heard(mpsc::Sender<Value>);

impl Observer for Heard {
    fn seen(&self, request: &Seen<'_>) {
        if let Ok(body) = serde_json::from_slice(request.body) {
            let _ = self.0.try_send(body);
        }
    }
}

/// Waits for the webhook of this payment. Cancel-safe.
async fn heard_of(webhooks: &mut mpsc::Receiver<Value>, id: &str) -> String {
    loop {
        match webhooks.recv().await {
            Some(body) if body["id"] == id => return word(&body["event"]),
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("unknown").chars().filter(|c| !c.is_control()).take(64).collect()
}

async fn make(api: &Client, url: &str) -> anyhow::Result<String> {
    let query: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
    let answer = call(api, &format!("/payment?url={query}")).await?;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (answer.status, body["id"].as_str()) {
        (200, Some(id)) => Ok(id.to_owned()),
        (status, _) => Err(refused(status, &body)),
    }
}

fn refused(status: u16, body: &Value) -> anyhow::Error {
    let exit = if matches!(status, 429 | 503) { Exit::Unavailable } else { Exit::Failed };
    let reason = body["error"].as_str().unwrap_or("this is no payment API");
    Failure::new(exit, format!("the payment API answered {status}: {reason}"))
}

async fn call(api: &Client, path: &str) -> anyhow::Result<Answer> {
    let failure =
        |error| Failure::new(Exit::Unavailable, format!("{error}; is `hookfast payments` running? See --api"));
    api.call("GET", path, None).await.map_err(failure)
}

/// Asks until the payment is final.
async fn ask(api: &Client, id: &str, polls: &mut u32, throttled: &mut u32) -> anyhow::Result<String> {
    let path = format!("/payment/{id}");
    let mut wait_ms = POLL_MS_MIN;
    loop {
        let answer = call(api, &path).await?;
        *polls += 1;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, word(&body["status"])) {
            (200, status) if matches!(status.as_str(), "completed" | "failed") => return Ok(status),
            (200, _) => {}
            (429 | 503, _) => {
                *throttled += 1;
                wait_ms = wait_ms.max(retry_after_ms(&answer));
            }
            (status, _) => return Err(refused(status, &body)),
        }
        sleep(Duration::from_millis(wait_ms)).await;
        wait_ms = (wait_ms * 2).min(POLL_MS_MAX);
    }
}

fn retry_after_ms(answer: &Answer) -> u64 {
    let seconds = answer.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    seconds.unwrap_or(0).min(RETRY_AFTER_S_MAX) * 1000
}
