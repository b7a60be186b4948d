//! `hookfast listen`: a receiver for people. It shows what arrives, says whether the signature holds, and answers as
//! it is told. Knows nothing of servers; the lab's receiver does the work.

use super::token::parse_duration;
use crate::exit::{Exit, Failure};
use bytes::Bytes;
use hookfast_lab::journal::{Journal, Signature};
use hookfast_lab::receiver::{
    Asked, Behaviour, Observer, Receiver, ReceiverConfig, Request, Responder, Response, Seen,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Greatest answer that is passed back from --forward-to.
const FORWARDED_BYTES_MAX: usize = 1 << 20;
/// Longest wait for it.
const FORWARD_MS_MAX: u64 = 30_000;

/// Receive webhooks, show them and check their signatures
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
One line per request on standard output; the URL to register on standard error. Every path is received.

Examples:
  hookfast listen
  hookfast listen --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw --fail-first 2
  hookfast listen --listen 127.0.0.1:9000 --json --forward-to http://127.0.0.1:3000/webhooks")]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Check signatures with this secret (whsec_…, whsk_…) or public key (whpk_…)
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// Answer with this status
    #[arg(long, value_name = "CODE", group = "answer", value_parser = clap::value_parser!(u16).range(200..=599))]
    status: Option<u16>,
    /// Answer 200 after so long, as in `1s` or `250ms`
    #[arg(long, value_name = "DURATION", group = "answer", value_parser = parse_duration)]
    delay: Option<u64>,
    /// Answer 500 to this share of the requests, as in `0.3`
    #[arg(long, value_name = "SHARE", group = "answer", value_parser = parse_share)]
    fail_share: Option<f64>,
    /// Answer 500 to the first N tries of each event
    #[arg(long, value_name = "N", group = "answer")]
    fail_first: Option<u32>,
    /// Take requests and never answer
    #[arg(long, group = "answer")]
    hang: bool,
    /// Pass each request on to this URL (http), and its answer back
    #[arg(long, value_name = "URL", group = "answer")]
    forward_to: Option<String>,
    /// Print JSON lines, with the body
    #[arg(long)]
    json: bool,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".into())
}

/// Runs `hookfast listen` until it is interrupted or nobody reads its output any more.
///
/// # Errors
/// When the address cannot be bound or an argument is wrong.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (end, json) = (CancellationToken::new(), args.json);
    let mut config = ReceiverConfig::loopback(Journal::new(0));
    config.listen = args.listen;
    config.behaviour = behaviour(&args)?;
    config.secret = args.secret.clone();
    config.observer = Some(Arc::new(Printer { json, end: end.clone() }));
    // Before it says that it listens: who reads that may end it.
    let mut signals = crate::signals::Signals::catch()?;
    let receiver = Receiver::start(config).await.map_err(|error| match error {
        hookfast_lab::Error::Invalid { field, reason } => Failure::new(Exit::Usage, format!("--{field}: {reason}")),
        error => Failure::new(Exit::Failed, format!("{error}; choose another address with --listen")),
    })?;
    let checks = if args.secret.is_some() { "checked" } else { "not checked (give --secret)" };
    eprintln!("listening: register {} (any path) as an endpoint; signatures are {checks}", receiver.url("/"));
    tokio::select! {
        _ = signals.next() => {}
        () = end.cancelled() => {}
    }
    eprintln!("received {} requests", receiver.requests());
    receiver.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn behaviour(args: &Args) -> anyhow::Result<Behaviour> {
    if let Some(url) = &args.forward_to {
        return Ok(Behaviour::Ask(Asked(Arc::new(Forwarder::to(url)?))));
    }
    Ok(match args {
        Args { hang: true, .. } => Behaviour::Hang,
        Args { status: Some(status), .. } => Behaviour::Status(*status),
        Args { delay: Some(ms), .. } => Behaviour::Delay(*ms),
        Args { fail_share: Some(share), .. } => Behaviour::FailShare(*share),
        Args { fail_first: Some(n), .. } => Behaviour::FailFirst(*n),
        _ => Behaviour::Ok,
    })
}

/// Shows each request on standard output.
struct Printer {
    json: bool,
    /// Cancelled when nobody reads any more.
    end: CancellationToken,
}

impl Observer for Printer {
    fn seen(&self, request: &Seen<'_>) {
        let line = if self.json { json_line(request) } else { line(request) };
        if super::print_line(line).is_err() {
            self.end.cancel();
        }
    }
}

fn time(at_us: u64) -> jiff::Timestamp {
    i64::try_from(at_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok()).unwrap_or_default()
}

/// What comes from outside must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn line(request: &Seen<'_>) -> String {
    let Seen { method, target, ordinal, body, .. } = request;
    let signature = match (request.signature, request.signature_fault) {
        (Signature::Good, _) => "signature ok".to_owned(),
        (Signature::Unchecked, _) => "signature not checked".to_owned(),
        (Signature::Bad, fault) => format!("SIGNATURE BAD: {}", fault.unwrap_or("it does not hold")),
    };
    let answer = match request.status {
        0 => "no answer yet".to_owned(),
        status => status.to_string(),
    };
    let time = time(request.at_us).strftime("%H:%M:%S%.3f");
    let id = printable(request.webhook_id.unwrap_or("no webhook-id"));
    let request = printable(&format!("{method} {target}"));
    format!("{time}  {request}  {id}  try {ordinal}  {signature}  {} bytes  -> {answer}", body.len())
}

fn json_line(request: &Seen<'_>) -> String {
    let body = serde_json::from_slice(request.body)
        .unwrap_or_else(|_| serde_json::Value::from(String::from_utf8_lossy(request.body).into_owned()));
    let signature = match request.signature {
        Signature::Good => "good",
        Signature::Bad => "bad",
        Signature::Unchecked => "unchecked",
    };
    json!({
        "time": time(request.at_us).to_string(), "method": request.method, "path": request.target,
        "id": request.webhook_id, "try": request.ordinal, "signature": signature, "fault": request.signature_fault,
        "bytes": request.body.len(), "status": (request.status != 0).then_some(request.status), "body": body,
    })
    .to_string()
}

/// Passes requests on.
struct Forwarder {
    url: http::Uri,
    address: String,
}

impl Forwarder {
    fn to(url: &str) -> anyhow::Result<Self> {
        let wrong =
            || Failure::new(Exit::Usage, format!("--forward-to: expected http://host[:port]/path, found {url:?}"));
        let url: http::Uri = url.parse().map_err(|_| wrong())?;
        let authority = url.authority().filter(|_| url.scheme_str() == Some("http")).ok_or_else(wrong)?;
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        Ok(Self { url, address })
    }

    async fn pass(&self, request: Request) -> anyhow::Result<Response> {
        let mut onward = http::Request::builder().method(request.method.as_str());
        onward = onward.uri(self.url.path_and_query().map_or("/", |path| path.as_str()));
        onward = onward.header("host", self.url.authority().map_or("", |authority| authority.as_str()));
        for (name, value) in request.headers.iter().filter(|(name, _)| passes(name)) {
            onward = onward.header(name.as_str(), value.as_ref());
        }
        let onward = onward.body(Full::new(request.body))?;
        let stream = tokio::net::TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let answer = sender.send_request(onward).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, FORWARDED_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer's body: {error}"))?.to_bytes();
            let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
            };
            let headers = head.headers.iter().filter(|(name, _)| passes(name.as_str())).map(field).collect();
            Ok(Response { status: head.status.as_u16(), headers, body })
        };
        tokio::pin!(connection, answer);
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    }
}

/// Everything but what belongs to one connection, or to the message's framing.
fn passes(name: &str) -> bool {
    const STAY: [&str; 9] = [
        "host",
        "connection",
        "keep-alive",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
    ];
    !STAY.iter().any(|stay| name.eq_ignore_ascii_case(stay))
}

impl Responder for Forwarder {
    fn respond(&self, request: Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        Box::pin(async move {
            let start = Instant::now();
            let what = printable(&format!("{} {}", request.method, request.target));
            let passed = tokio::time::timeout(Duration::from_millis(FORWARD_MS_MAX), self.pass(request)).await;
            let passed = passed.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {FORWARD_MS_MAX} ms")));
            match passed {
                Ok(response) => {
                    eprintln!("{what}: forwarded, {} after {} ms", response.status, start.elapsed().as_millis());
                    response
                }
                Err(error) => {
                    eprintln!("{what}: not forwarded to {}: {error:#}; answered 502", self.url);
                    Response { body: format!("not forwarded: {error:#}\n").into(), ..Response::status(502) }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(body: &'static [u8]) -> Seen<'static> {
        Seen {
            at_us: 1_700_000_000_123_456,
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            method: "POST",
            target: "/a\u{1b}[2J",
            webhook_id: Some("msg_1"),
            ordinal: 2,
            signature: Signature::Bad,
            signature_fault: Some("no signature matches"),
            body,
            status: 500,
        }
    }

    #[test]
    fn a_request_is_a_line_that_cannot_steer_the_terminal() {
        let expected = "22:13:20.123  POST /a?[2J  msg_1  try 2  SIGNATURE BAD: no signature matches  2 bytes  -> 500";
        assert_eq!(line(&seen(b"{}")), expected);
        let json: serde_json::Value = serde_json::from_str(&json_line(&seen(b"{\"a\":1}"))).unwrap();
        assert_eq!((json["body"]["a"].as_i64(), json["signature"].as_str()), (Some(1), Some("bad")));
        let text: serde_json::Value = serde_json::from_str(&json_line(&seen(b"not json"))).unwrap();
        assert_eq!(text["body"], "not json");
    }

    #[tokio::test]
    async fn requests_are_passed_on_and_answers_back() {
        let behind = Receiver::start(ReceiverConfig::loopback(Journal::new(10))).await.unwrap();
        behind.behave("/hook", Behaviour::RetryAfter("7".into()));
        let forwarder = Forwarder::to(&behind.url("/hook?x=1")).unwrap();
        let peer = behind.addr();
        let request = || Request {
            peer,
            method: "POST".into(),
            target: "/elsewhere".into(),
            headers: vec![("webhook-id".into(), "msg_1".into()), ("host".into(), "outside".into())],
            body: "{}".into(),
        };
        let response = forwarder.respond(request()).await;
        assert_eq!(response.status, 429);
        assert!(response.headers.iter().any(|(name, value)| name == "retry-after" && value.as_ref() == b"7"));
        assert_eq!(behind.journal().len(), 1);
        behind.stop().await;
        assert_eq!(forwarder.respond(request()).await.status, 502);
        assert!(Forwarder::to("https://example.com").is_err());
    }
}
