//! What is wrong with a signed request, part by part. The verifier decides whether it holds; this finds the words for
//! why not. Must not print a secret.

use super::items;
use hookfast_signing::{
    BodyHexKey, Error, HEADER_BYTES_MAX, PublicKey, Secret, SignatureHeaders, Verifier, VerifyingKey,
};

/// The two families of header names: id, timestamp, signature.
pub(super) const FAMILIES: [[&str; 3]; 2] =
    [["webhook-id", "webhook-timestamp", "webhook-signature"], ["svix-id", "svix-timestamp", "svix-signature"]];

/// Later than any real time in seconds, earlier than any in milliseconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// A request, and when it is judged.
pub(super) struct Request<'a> {
    pub(super) headers: &'a [(String, String)],
    pub(super) body: &'a [u8],
    pub(super) now_s: i64,
    pub(super) tolerance_s: u64,
}

/// One part that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The header, or what else it is about.
    pub(super) part: &'static str,
    /// What is wrong with it.
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(part: &'static str, text: impl Into<String>) -> Self {
        Self { part, text: text.into() }
    }
}

/// The signature that holds.
#[derive(Debug)]
pub(super) struct Held {
    /// `v1`, `v1a`, or the scheme's name.
    pub(super) version: &'static str,
    /// Which of the signatures in the header, from 1.
    pub(super) position: usize,
    /// How many there are.
    pub(super) of: usize,
    /// What it covers besides the body.
    pub(super) stamp: Option<Stamp>,
}

/// Id and age, where the signature covers them.
#[derive(Debug)]
pub(super) struct Stamp {
    pub(super) id: String,
    /// Seconds from then to now; negative when it lies in the future.
    pub(super) age_s: i64,
}

/// What holds, or everything that is wrong.
pub(super) type Outcome = Result<Held, Vec<Fault>>;

/// A key, in the forms that checking needs.
pub(super) struct Key {
    pub(super) verifying: VerifyingKey,
    /// The version of the signatures it can check.
    pub(super) version: &'static str,
    /// The key that comes of reading a symmetric secret's text itself as the key: a common slip of senders.
    pub(super) of_text: Vec<VerifyingKey>,
}

impl Key {
    /// Reads a secret (`whsec_…`, `whsk_…`) or a public key (`whpk_…`).
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if text.starts_with("whpk_") {
            let verifying = PublicKey::parse(text)?.verifying_key();
            return Ok(Self { verifying, version: "v1a", of_text: Vec::new() });
        }
        let secret = Secret::parse(text)?;
        if secret.public_key().is_some() {
            return Ok(Self { verifying: secret.verifying_key(), version: "v1a", of_text: Vec::new() });
        }
        let as_key = |text: &str| Secret::from_bytes(text.as_bytes()).map(|secret| secret.verifying_key());
        let of_text = [text, text.trim_start_matches("whsec_")].into_iter().map(as_key).collect::<Result<_, _>>()?;
        Ok(Self { verifying: secret.verifying_key(), version: "v1", of_text })
    }
}

/// A length of time for people.
pub(super) fn span(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    format!("{:#}", jiff::SignedDuration::from_secs(seconds))
}

/// What came from outside, shortened, and unable to steer the terminal.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Checks a signature over id, time and body.
pub(super) fn standard(keys: &[Key], request: &Request<'_>) -> Outcome {
    let names = family(request);
    let mut faults = Vec::new();
    let found = names.map(|name| header(request, name, &mut faults));
    if let Some(id) = found[0] {
        check_id(names[0], id, &mut faults);
    }
    let age_s = found[1].and_then(|timestamp| check_timestamp(names[1], timestamp, request, &mut faults));
    let held = match found {
        [Some(id), Some(timestamp), Some(signature)] => {
            let headers = SignatureHeaders { id, timestamp, signature };
            items::find(names[2], keys, &headers, request.body).map_err(|fault| faults.push(fault)).ok()
        }
        _ => None,
    };
    let whole = SignatureHeaders::find(request.headers.iter().map(|(name, value)| (name, value.as_bytes())));
    let verifier = Verifier::new(keys.iter().map(|key| key.verifying.clone())).with_tolerance_s(request.tolerance_s);
    let verdict = whole.and_then(|headers| verifier.verify(&headers, request.body, request.now_s));
    match (verdict, held, age_s, found[0]) {
        (Ok(()), Some(held), Some(age_s), Some(id)) => Ok(Held { stamp: Some(Stamp { id: id.into(), age_s }), ..held }),
        (Err(error), ..) if faults.is_empty() => Err(vec![Fault::new("request", error.to_string())]),
        _ => Err(faults),
    }
}

/// Checks a signature over the body alone.
pub(super) fn body_hex(keys: &[BodyHexKey], request: &Request<'_>) -> Outcome {
    let mut faults = Vec::new();
    let Some(signature) = header(request, BodyHexKey::HEADER, &mut faults) else { return Err(faults) };
    let holds = |body: &[u8]| keys.iter().any(|key| key.verify(signature, body).is_ok());
    if holds(request.body) && faults.is_empty() {
        return Ok(Held { version: "body-hex", position: 1, of: 1, stamp: None });
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let length = signature.chars().count();
    let text = if length != 64 || !signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        format!("expected 64 hexadecimal digits and nothing else, found {length} characters: {}", shown(signature))
    } else {
        let hint = line_break_slip(request.body, holds).unwrap_or_default();
        format!("made with another secret, or of another body than these {} bytes{hint}", request.body.len())
    };
    Err(vec![Fault::new(BodyHexKey::HEADER, text)])
}

/// The family of which more is there.
fn family(request: &Request<'_>) -> [&'static str; 3] {
    let there = |names: &[&'static str; 3]| {
        let is_there = |name: &&&str| request.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
        names.iter().filter(is_there).count()
    };
    if there(&FAMILIES[1]) > there(&FAMILIES[0]) { FAMILIES[1] } else { FAMILIES[0] }
}

/// The value of a header that must come once.
fn header<'a>(request: &Request<'a>, name: &'static str, faults: &mut Vec<Fault>) -> Option<&'a str> {
    let mut values = request.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value.as_str());
    let times = 1 + values.count();
    let fault = match value {
        None => "missing".to_owned(),
        Some("") => "empty".to_owned(),
        Some(_) if times > 1 => format!("came {times} times, expected once"),
        Some(value) if value.len() > HEADER_BYTES_MAX => {
            format!("expected at most {HEADER_BYTES_MAX} bytes, found {}", value.len())
        }
        Some(value) => return Some(value),
    };
    faults.push(Fault::new(name, fault));
    None
}

fn check_id(name: &'static str, id: &str, faults: &mut Vec<Fault>) {
    // The full stop separates id, time and body.
    if id.len() > hookfast_signing::ID_BYTES_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.') {
        faults.push(Fault::new(name, format!("{}, found {}", Error::Id, shown(id))));
    }
}

/// The age, if the timestamp reads as one.
fn check_timestamp(name: &'static str, text: &str, request: &Request<'_>, faults: &mut Vec<Fault>) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(signed_s) = text.parse::<i64>().ok().filter(|_| digits) else {
        faults.push(Fault::new(name, format!("expected seconds since 1970, in digits alone, found {}", shown(text))));
        return None;
    };
    let age_s = request.now_s.saturating_sub(signed_s);
    if age_s.unsigned_abs() > request.tolerance_s {
        let excess = span(age_s.unsigned_abs() - request.tolerance_s);
        let (way, side) = if age_s > 0 { ("old", "ago") } else { ("new", "from now") };
        let (age, tolerance) = (span(age_s.unsigned_abs()), span(request.tolerance_s));
        let hint = if signed_s >= MILLISECONDS_FROM {
            "; it looks like milliseconds, seconds are wanted"
        } else if age_s < 0 {
            "; is a clock wrong?"
        } else {
            ""
        };
        let text = format!("too {way} by {excess}: {signed_s} is {age} {side}, the tolerance is {tolerance}{hint}");
        faults.push(Fault::new(name, text));
    }
    Some(age_s)
}

/// A line break more or less at the end of the body is the most common slip.
pub(super) fn line_break_slip(body: &[u8], holds: impl Fn(&[u8]) -> bool) -> Option<&'static str> {
    let without = body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
    if without.is_some_and(&holds) {
        return Some("; it holds for the body without the line break at its end: pass the bytes as they were received");
    }
    let with = [body, b"\n"].concat();
    holds(&with).then_some("; it holds for the body with a line break at its end: pass the bytes as they were received")
}

#[cfg(test)]
mod tests;
