//! Events with a plot: a pool of invoices, each walking from CREATED over PENDING to PAID or FAILED. Pure but for
//! the random numbers handed in.

use bytes::Bytes;
use hookfast_core::UnixMs;
use std::collections::VecDeque;

/// Of the invoices that end, this share fails.
const FAILED_SHARE: f64 = 0.2;

/// Where an invoice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was made.
    Created,
    /// Payment is under way.
    Pending,
    /// The end: it was paid.
    Paid,
    /// The end: it was not.
    Failed,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Created, Self::Pending, Self::Paid, Self::Failed];

    /// The event type, as it is sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Pending => "PENDING",
            Self::Paid => "PAID",
            Self::Failed => "FAILED",
        }
    }

    /// The reverse of [`Stage::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    fn lower(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Invoice {
    id: u128,
    last: Option<Stage>,
}

/// One event to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    event: u128,
    invoice: u128,
    stage: Stage,
}

/// The pool.
#[derive(Clone, Debug)]
pub struct Invoices {
    open: VecDeque<Invoice>,
    wanted: Vec<Stage>,
}

impl Invoices {
    /// A pool of so many open invoices (at least one); only `stages` are sent, all when it is empty.
    #[must_use]
    pub fn new(open: usize, stages: &[Stage]) -> Self {
        let wanted = if stages.is_empty() { Stage::ALL.to_vec() } else { stages.to_vec() };
        let blank = Invoice { id: 0, last: None };
        Self { open: std::iter::repeat_n(blank, open.max(1)).collect(), wanted }
    }

    /// The next event: the invoice that waited longest takes its next step.
    pub fn next(&mut self, random: &mut fastrand::Rng) -> Made {
        loop {
            let mut invoice = self.open.pop_front().unwrap_or(Invoice { id: 0, last: None });
            if matches!(invoice.last, None | Some(Stage::Paid | Stage::Failed)) {
                invoice = Invoice { id: random.u128(..), last: None };
            }
            let stage = match invoice.last {
                None | Some(Stage::Paid | Stage::Failed) => Stage::Created,
                Some(Stage::Created) => Stage::Pending,
                Some(Stage::Pending) => self.end(random),
            };
            self.open.push_back(Invoice { id: invoice.id, last: Some(stage) });
            if self.wanted.contains(&stage) {
                return Made { event: random.u128(..), invoice: invoice.id, stage };
            }
        }
    }

    fn end(&self, random: &mut fastrand::Rng) -> Stage {
        let failed = random.f64() < FAILED_SHARE;
        match (self.wanted.contains(&Stage::Paid), self.wanted.contains(&Stage::Failed)) {
            // Where only one end is wanted, every invoice takes it: a filter must not starve the pace.
            (true, false) => Stage::Paid,
            (false, true) => Stage::Failed,
            _ if failed => Stage::Failed,
            _ => Stage::Paid,
        }
    }
}

impl Made {
    /// Its stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Which invoice it is about.
    #[must_use]
    pub fn invoice(&self) -> u128 {
        self.invoice
    }

    /// Its own id, a UUID.
    #[must_use]
    pub fn event_id(&self) -> String {
        uuid(self.event)
    }

    /// The stage as part of an event type: as it is sent without a prefix, in small letters behind one.
    #[must_use]
    pub fn event_type(&self, prefix: &str) -> &'static str {
        if prefix.is_empty() { self.stage.as_str() } else { self.stage.lower() }
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self, at: UnixMs, type_prefix: &str) -> Bytes {
        let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        // Nothing here needs escaping: hexadecimal digits, fixed words, a time, and a prefix quoted by serde_json.
        let kind = serde_json::Value::from(format!("{type_prefix}{}", self.event_type(type_prefix)));
        Bytes::from(format!(
            r#"{{"event_id":"{}","event_type":{kind},"timestamp":"{time:.3}","data":{{"invoice_id":"{}"}}}}"#,
            uuid(self.event),
            uuid(self.invoice),
        ))
    }
}

/// A random UUID (version 4) from 128 random bits.
fn uuid(bits: u128) -> String {
    let bits = (bits & !(0xF << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn every_invoice_walks_from_created_over_pending_to_an_end() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut invoices = Invoices::new(10, &[]);
        let mut walks: HashMap<u128, Vec<Stage>> = HashMap::new();
        for _ in 0..3000 {
            let made = invoices.next(&mut random);
            walks.entry(made.invoice()).or_default().push(made.stage());
        }
        let (mut paid, mut failed) = (0, 0);
        for walk in walks.values() {
            assert!(walk.len() <= 3);
            assert_eq!(walk[..walk.len().min(2)], [Stage::Created, Stage::Pending][..walk.len().min(2)]);
            match walk.get(2) {
                Some(Stage::Paid) => paid += 1,
                Some(Stage::Failed) => failed += 1,
                other => assert!(other.is_none()),
            }
        }
        assert!(paid > failed && failed > 0);
    }

    #[test]
    fn only_wanted_stages_are_made() {
        let mut random = fastrand::Rng::with_seed(7);
        for stage in Stage::ALL {
            let mut invoices = Invoices::new(3, &[stage]);
            assert!((0..50).all(|_| invoices.next(&mut random).stage() == stage));
        }
    }

    #[test]
    fn the_body_is_the_documented_json() {
        let made = Invoices::new(1, &[]).next(&mut fastrand::Rng::with_seed(7));
        let body: serde_json::Value = serde_json::from_slice(&made.body(UnixMs(1_700_000_000_123), "")).unwrap();
        assert_eq!(body["event_type"], "CREATED");
        assert_eq!(body["timestamp"], "2023-11-14T22:13:20.123Z");
        assert_eq!(body["event_id"], made.event_id());
        let id = body["data"]["invoice_id"].as_str().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        let prefixed: serde_json::Value = serde_json::from_slice(&made.body(UnixMs(0), "invoice.")).unwrap();
        assert_eq!(prefixed["event_type"], "invoice.created");
    }
}
