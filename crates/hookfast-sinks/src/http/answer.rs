//! What a receiver's answer means: its class, how long it asks to wait, and what is kept of its body. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookfast_core::UnixMs;
use hookfast_core::delivery::Cause;
use hookfast_core::limits::{EXCERPT_BYTES_MAX, RETRY_AFTER_MS_MAX};
use std::borrow::Cow;
use std::time::SystemTime;

/// A try that ended without a whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) text: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(cause: Cause, text: impl Into<Cow<'static, str>>) -> Self {
        Self { cause, text: text.into() }
    }
}

/// How far a try has come; what a deadline that passes meanwhile means depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Preparing,
    Resolving,
    Connecting,
    Handshaking,
    Sent,
}

impl Stage {
    /// The failure of a try whose deadline passed here. Before anything was sent the receiver cannot have the event,
    /// so the cause says what took so long; afterwards it is ambiguous.
    pub(super) fn timed_out(self) -> Failure {
        match self {
            Self::Preparing | Self::Sent => Failure::new(Cause::Timeout, "no whole answer before the deadline"),
            Self::Resolving => Failure::new(Cause::Dns, "the host name was not resolved before the deadline"),
            Self::Connecting => Failure::new(Cause::Connect, "no connection before the deadline"),
            Self::Handshaking => Failure::new(Cause::Tls, "the TLS handshake did not end before the deadline"),
        }
    }
}

/// What is known of an answer so far: filled while it arrives, so that a deadline loses nothing.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) stage: Stage,
    /// 0 until the head has come.
    pub(super) status: u16,
    pub(super) retry_after_ms: Option<u64>,
    pub(super) is_text: bool,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Keeps as much of `chunk` as there is room for.
    pub(super) fn keep(&mut self, chunk: &[u8]) {
        let room = EXCERPT_BYTES_MAX - self.body.len().min(EXCERPT_BYTES_MAX);
        self.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    /// There is room for no more.
    pub(super) fn is_full(&self) -> bool {
        self.body.len() >= EXCERPT_BYTES_MAX
    }
}

/// The class of a status.
pub(super) fn cause_of(status: u16) -> Cause {
    match status {
        200..=299 => Cause::Ok,
        300..=399 => Cause::Redirect,
        410 => Cause::Gone,
        429 | 502..=504 => Cause::Throttled,
        _ => Cause::Status,
    }
}

/// Reads `Retry-After`, which is a number of seconds or an HTTP date. What is neither asks for nothing; what is too
/// long is cut to the longest wait that is honoured.
pub(super) fn retry_after_ms(value: &[u8], now: UnixMs) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds: u64 = text.parse().ok()?;
        return Some(seconds.saturating_mul(1000).min(RETRY_AFTER_MS_MAX));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let then = UnixMs(i64::try_from(date.as_millis()).ok()?);
    Some(then.since(now).min(RETRY_AFTER_MS_MAX))
}

/// Does a content type announce text?
pub(super) fn announces_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let textual = ["json", "xml", "javascript", "x-www-form-urlencoded"];
    essence.starts_with("text/")
        || content_type.to_ascii_lowercase().contains("charset=")
        || textual.iter().any(|kind| essence.ends_with(kind))
}

/// The start of a body as text of at most `EXCERPT_BYTES_MAX` bytes: as it is if it is UTF-8, with replacement
/// characters if it calls itself text, else in base64. NUL, which no text column can hold, is replaced as well.
pub(super) fn excerpt(body: Vec<u8>, is_text: bool) -> String {
    let text = match String::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let whole = error.utf8_error().valid_up_to();
            // A character cut in two at the limit is no reason to doubt the rest.
            let is_cut = error.utf8_error().error_len().is_none() && error.as_bytes().len() == EXCERPT_BYTES_MAX;
            let bytes = error.into_bytes();
            if is_cut {
                String::from_utf8_lossy(&bytes[..whole]).into_owned()
            } else if is_text {
                String::from_utf8_lossy(&bytes).into_owned()
            } else {
                STANDARD.encode(&bytes[..bytes.len().min(EXCERPT_BYTES_MAX / 4 * 3)])
            }
        }
    };
    let mut text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    if text.len() > EXCERPT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(EXCERPT_BYTES_MAX));
    }
    text
}
