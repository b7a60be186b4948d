//! `hookfast verify`: does this signature hold, and if not, which part is wrong?

use super::checks::{Held, Outcome, Request};
use super::{Material, Scheme, checks};
use crate::cli::print_line;
use crate::cli::token::parse_duration;
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure};
use hookfast_core::Clock as _;
use hookfast_signing::BodyHexKey;
use serde_json::json;
use std::process::ExitCode;

/// Headers that are looked at: more than any server lets through.
const HEADERS_MAX: usize = 1000;

/// Check the signature of a request, and say which part is wrong
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The body comes from standard input, byte for byte as it was received. Exit code 1 when the signature does not hold.

Examples:
  hookfast sign --file body.json > headers && hookfast verify --header @headers --file body.json
  printf '{\"test\": 2432232314}' | hookfast verify --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw \\
    --header 'webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek' --header 'webhook-timestamp: 1614265330' \\
    --header 'webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=' --now 1614265330
  hookfast verify --secret whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4= --tolerance 10d \\
    --header @headers --file body.json")]
pub(crate) struct Args {
    #[command(flatten)]
    material: Material,
    /// A header of the request, or @FILE with one in each line; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE|@FILE", required = true)]
    headers: Vec<String>,
    /// Which signature to check [default: the one that the headers carry]
    #[arg(long, value_enum)]
    scheme: Option<Scheme>,
    /// How far the time of the request may lie from now, either way
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    tolerance: u64,
    /// Judge as if it were this time, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS")]
    now: Option<u32>,
    /// Print the finding as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `hookfast verify`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let headers = headers(&args.headers)?;
    let request = Request {
        headers: &headers,
        body: &args.material.body()?,
        now_s: args.now.map_or_else(|| SystemClock::start().wall().secs(), i64::from),
        tolerance_s: args.tolerance / 1000,
    };
    let outcome = match args.scheme.unwrap_or_else(|| scheme_of(&headers)) {
        Scheme::Standard => checks::standard(&args.material.each(checks::Key::parse)?, &request),
        Scheme::BodyHex => checks::body_hex(&args.material.each(BodyHexKey::new)?, &request),
    };
    if args.json {
        print_line(as_json(&outcome, &request))?;
        return Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { Exit::Failed.into() });
    }
    match outcome {
        Ok(held) => print_line(sentence(&held, &request))?,
        Err(faults) => {
            let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {}: {}", fault.part, fault.text)).collect();
            return Err(Failure::new(Exit::Failed, format!("the signature does not hold:{}", lines.concat())));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Both may be there; the one that covers id and time is worth more.
fn scheme_of(headers: &[(String, String)]) -> Scheme {
    let is_standard = |name: &str| checks::FAMILIES.iter().flatten().any(|known| name.eq_ignore_ascii_case(known));
    let has = |test: &dyn Fn(&str) -> bool| headers.iter().any(|(name, _)| test(name));
    if !has(&is_standard) && has(&|name| name.eq_ignore_ascii_case(BodyHexKey::HEADER)) {
        Scheme::BodyHex
    } else {
        Scheme::Standard
    }
}

fn headers(given: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let wrong = |why: String| Failure::new(Exit::Usage, format!("--header: {why}"));
    let mut headers = Vec::new();
    for text in given {
        let lines = match text.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file).map_err(|error| wrong(format!("{file}: {error}")))?,
            None => text.clone(),
        };
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let pair = line.split_once(':').filter(|(name, _)| !name.trim().is_empty());
            let (name, value) = pair.ok_or_else(|| wrong(format!("expected `name: value`, found {line:?}")))?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if headers.len() > HEADERS_MAX {
        return Err(wrong(format!("expected at most {HEADERS_MAX} headers, found {}", headers.len())));
    }
    Ok(headers)
}

fn sentence(held: &Held, request: &Request<'_>) -> String {
    let bytes = request.body.len();
    let Some(stamp) = &held.stamp else {
        return format!("ok: {} holds; {bytes} bytes of body (neither id nor time are covered)", BodyHexKey::HEADER);
    };
    let age = checks::span(stamp.age_s.unsigned_abs());
    let when = if stamp.age_s < 0 { format!("{age} from now") } else { format!("{age} ago") };
    let (position, of, version) = (held.position, held.of, held.version);
    let which = if of > 1 { format!("signature {position} of {of}") } else { "the signature".into() };
    format!("ok: {which} ({version}) holds; id {}, signed {when}, {bytes} bytes of body", stamp.id)
}

fn as_json(outcome: &Outcome, request: &Request<'_>) -> serde_json::Value {
    match outcome {
        Ok(held) => json!({
            "verified": true, "version": held.version, "signature": held.position, "signatures": held.of,
            "id": held.stamp.as_ref().map(|stamp| &stamp.id),
            "ageSeconds": held.stamp.as_ref().map(|stamp| stamp.age_s),
            "bodyBytes": request.body.len(),
        }),
        Err(faults) => {
            let faults: Vec<_> =
                faults.iter().map(|fault| json!({ "part": fault.part, "problem": fault.text })).collect();
            json!({ "verified": false, "faults": faults, "bodyBytes": request.body.len() })
        }
    }
}
