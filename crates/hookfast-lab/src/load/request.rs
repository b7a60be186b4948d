//! The bytes of one `POST …/msg`, made once and patched per event. Knows no sockets.

use super::LoadConfig;
use crate::{Error, Result};
use std::fmt::Write as _;

/// What stands for 16 digits of the intended send time.
const SENT_DIGITS: usize = 16;
/// What stands for 10 digits of the event's number.
const NUMBER_DIGITS: usize = 10;
const KEY_PREFIX: &str = "auto_";
const KEY_HEX: usize = 32;
/// Smallest payload that holds the fields the lab needs.
pub const PAYLOAD_BYTES_MIN: usize = 64;

/// Makes the bytes of requests: one head per application, one tail for all.
pub(super) struct Template {
    heads: Vec<Vec<u8>>,
    tail: Vec<u8>,
    /// Where the key's digits start in the tail.
    key_at: Option<usize>,
    sent_at: usize,
    number_at: usize,
}

impl Template {
    pub(super) fn new(config: &LoadConfig) -> Result<Self> {
        let printable = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if config.payload_bytes < PAYLOAD_BYTES_MIN {
            let reason = format!("expected at least {PAYLOAD_BYTES_MIN}, found {}", config.payload_bytes);
            return Err(Error::Invalid { field: "payload_bytes", reason });
        }
        if config.apps.is_empty() || !config.apps.iter().chain([&config.token, &config.authority]).all(|t| printable(t))
        {
            let reason = "expected applications, a token and an authority of printable characters".to_owned();
            return Err(Error::Invalid { field: "load", reason });
        }
        let head = |app: &String| {
            let LoadConfig { prefix, authority, token, .. } = config;
            let fields = format!("host: {authority}\r\nauthorization: Bearer {token}\r\n");
            format!("POST {prefix}/api/v1/app/{app}/msg HTTP/1.1\r\n{fields}").into_bytes()
        };
        let body = body(config);
        let mut tail = String::from("content-type: application/json\r\naccept: application/json\r\n");
        let mut key_at = None;
        if config.idempotency_key {
            let _ = write!(tail, "idempotency-key: {KEY_PREFIX}");
            key_at = Some(tail.len());
            let _ = write!(tail, "{:0KEY_HEX$}\r\n", 0);
        }
        let _ = write!(tail, "content-length: {}\r\n\r\n", body.len());
        let (sent_at, number_at) = (find(&body, "\"sent_us\":")?, find(&body, "\"n\":")?);
        let (sent_at, number_at) = (tail.len() + sent_at, tail.len() + number_at);
        tail.push_str(&body);
        Ok(Self { heads: config.apps.iter().map(head).collect(), tail: tail.into_bytes(), key_at, sent_at, number_at })
    }

    /// Writes the request for event `number` into `out`, replacing what it held.
    pub(super) fn write(&self, out: &mut Vec<u8>, number: u64, sent_us: u64) {
        out.clear();
        let app = usize::try_from(number % self.heads.len() as u64).unwrap_or(0);
        out.extend_from_slice(&self.heads[app]);
        let tail = out.len();
        out.extend_from_slice(&self.tail);
        if let Some(key_at) = self.key_at {
            hex(&mut out[tail + key_at..][..KEY_HEX], fastrand::u128(..));
        }
        digits(&mut out[tail + self.sent_at..][..SENT_DIGITS], sent_us);
        // A leading 1 keeps it a number in JSON.
        digits(&mut out[tail + self.number_at + 1..][..NUMBER_DIGITS - 1], number);
    }

    /// How many applications there are.
    pub(super) fn apps(&self) -> usize {
        self.heads.len()
    }
}

fn body(config: &LoadConfig) -> String {
    let start = format!("{{\"sent_us\":{},\"n\":{},\"pad\":\"", "1".repeat(SENT_DIGITS), "1".repeat(NUMBER_DIGITS));
    let pad =
        "hookfast ".chars().cycle().take(config.payload_bytes.saturating_sub(start.len() + 2)).collect::<String>();
    let event_type = serde_json::Value::from(config.event_type.as_str());
    format!("{{\"eventType\":{event_type},\"payload\":{start}{pad}\"}}}}")
}

fn find(text: &str, wanted: &'static str) -> Result<usize> {
    let missing = || Error::Invalid { field: "event_type", reason: format!("the body has no {wanted}") };
    text.find(wanted).map(|at| at + wanted.len()).ok_or_else(missing)
}

fn digits(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn hex(out: &mut [u8], mut value: u128) {
    for place in out.iter_mut().rev() {
        *place = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BodyLength, head_end, request_head};

    #[test]
    fn it_is_a_request_of_the_api() {
        let mut config = LoadConfig::new("127.0.0.1:1", "tok", vec!["app_1".into(), "app_2".into()]);
        config.idempotency_key = true;
        config.payload_bytes = 200;
        let mut bytes = Vec::new();
        Template::new(&config).unwrap().write(&mut bytes, 41, 1_700_000_000_000_001);
        let end = head_end(&bytes, 0).unwrap();
        let head = request_head(&bytes[..end]).unwrap();
        assert_eq!((head.method, head.target), ("POST", "/api/v1/app/app_2/msg"));
        assert_eq!(head.body, BodyLength::Fixed(bytes.len() - end));
        assert_eq!(head.fields.get("authorization"), Some(&b"Bearer tok"[..]));
        assert_eq!(head.fields.get("idempotency-key").unwrap().len(), 37);
        let text = std::str::from_utf8(&bytes[end..]).unwrap();
        let body: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(body["payload"]["sent_us"], 1_700_000_000_000_001_u64);
        assert_eq!(body["payload"]["n"], 1_000_000_041);
        let payload = text.split_once("\"payload\":").unwrap().1;
        assert_eq!(payload.len() - 1, 200);
    }

    #[test]
    fn nonsense_is_refused() {
        let mut config = LoadConfig::new("127.0.0.1:1", "to\r\nken", vec!["app_1".into()]);
        assert!(Template::new(&config).is_err());
        config.token = "t".into();
        config.payload_bytes = 10;
        assert!(Template::new(&config).is_err());
    }
}
