//! Events with a plot: a pool of invoices, each walking from CREATED over PENDING to PAID or FAILED. Pure: which event is
//! the n-th is worked out from a name and n alone, so that whoever goes on where another stopped tells the same story.

use bytes::Bytes;
use hookfast_core::UnixMs;
use sha2::{Digest, Sha256};

/// Of the invoices that end, this share fails: so many of 256.
const FAILED_OF_256: u8 = 51;

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

/// One event to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    event: u128,
    invoice: u128,
    stage: Stage,
}

/// What happens to an invoice in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Created,
    Pending,
    End,
}

/// The pool.
#[derive(Clone, Debug)]
pub struct Invoices {
    open: u64,
    steps: Vec<Step>,
    /// The ends that are wanted.
    ends: Vec<Stage>,
    name: Sha256,
}

impl Invoices {
    /// A pool of so many open invoices (at least one); only `stages` are sent, all when it is empty. Pools of the same
    /// `name` have the same events with the same ids.
    #[must_use]
    pub fn new(open: usize, stages: &[Stage], name: &[u8]) -> Self {
        let wanted = if stages.is_empty() { &Stage::ALL } else { stages };
        let ends: Vec<Stage> =
            [Stage::Paid, Stage::Failed].into_iter().filter(|stage| wanted.contains(stage)).collect();
        let all = [
            (Step::Created, wanted.contains(&Stage::Created)),
            (Step::Pending, wanted.contains(&Stage::Pending)),
            (Step::End, !ends.is_empty()),
        ];
        let steps = all.into_iter().filter_map(|(step, is_wanted)| is_wanted.then_some(step)).collect();
        Self { open: (open as u64).max(1), steps, ends, name: Sha256::new_with_prefix(name) }
    }

    /// The event of this number. The open invoices take their steps one after the other, and when one has taken its last
    /// another takes its place.
    #[must_use]
    pub fn nth(&self, number: u64) -> Made {
        let (place, round) = (number % self.open, number / self.open);
        let steps = (self.steps.len() as u64).max(1);
        let (generation, step) = (round / steps, usize::try_from(round % steps).unwrap_or(0));
        let (invoice, chance) = self.draw(b"invoice", generation.saturating_mul(self.open).saturating_add(place));
        let stage = match self.steps.get(step) {
            Some(Step::Created) | None => Stage::Created,
            Some(Step::Pending) => Stage::Pending,
            // Where only one end is wanted, every invoice takes it: a filter must not starve the pace.
            Some(Step::End) => match self.ends.as_slice() {
                [end] => *end,
                _ if chance < FAILED_OF_256 => Stage::Failed,
                _ => Stage::Paid,
            },
        };
        Made { event: self.draw(b"event", number).0, invoice, stage }
    }

    /// Bits that look random, and a byte more.
    fn draw(&self, what: &[u8], number: u64) -> (u128, u8) {
        let hash: [u8; 32] = self.name.clone().chain_update(what).chain_update(number.to_be_bytes()).finalize().into();
        let bits = hash[..16].iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        (bits, hash[31])
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

/// A UUID of these bits, but for those that say that it is of version 8: made in a way of its maker's own.
fn uuid(bits: u128) -> String {
    let bits = (bits & !(0xF << 76) & !(0b11 << 62)) | (0x8 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn every_invoice_walks_from_created_over_pending_to_an_end() {
        let invoices = Invoices::new(10, &[], b"a");
        let mut walks: HashMap<u128, Vec<Stage>> = HashMap::new();
        for number in 0..3000 {
            let made = invoices.nth(number);
            walks.entry(made.invoice()).or_default().push(made.stage());
        }
        assert_eq!(walks.len(), 1000);
        let (mut paid, mut failed) = (0, 0);
        for walk in walks.values() {
            assert_eq!(walk[..2], [Stage::Created, Stage::Pending]);
            match walk[2..] {
                [Stage::Paid] => paid += 1,
                [Stage::Failed] => failed += 1,
                _ => panic!("{walk:?}"),
            }
        }
        assert!(paid > 2 * failed && failed > 100, "{paid} were paid, {failed} were not");
    }

    #[test]
    fn the_same_name_tells_the_same_story_from_any_place_on() {
        let (one, same, other) =
            (Invoices::new(16, &[], b"one"), Invoices::new(16, &[], b"one"), Invoices::new(16, &[], b"other"));
        for number in [0, 1, 999_999_999_999, u64::MAX] {
            assert_eq!(one.nth(number), same.nth(number));
        }
        let ids = |invoices: &Invoices| (0..1000).map(|n| invoices.nth(n).event_id()).collect::<HashSet<_>>();
        assert_eq!(ids(&one).len(), 1000);
        assert!(ids(&one).is_disjoint(&ids(&other)));
    }

    #[test]
    fn only_wanted_stages_are_made() {
        for stage in Stage::ALL {
            let invoices = Invoices::new(3, &[stage], b"a");
            assert!((0..50).all(|number| invoices.nth(number).stage() == stage));
        }
        let ends = Invoices::new(2, &[Stage::Failed, Stage::Created, Stage::Paid], b"a");
        let stages: Vec<Stage> = (0..200).map(|number| ends.nth(number).stage()).collect();
        assert!(!stages.contains(&Stage::Pending));
        assert!([Stage::Created, Stage::Paid, Stage::Failed].iter().all(|stage| stages.contains(stage)));
    }

    #[test]
    fn the_body_is_the_documented_json() {
        let made = Invoices::new(1, &[], b"a").nth(0);
        let body: serde_json::Value = serde_json::from_slice(&made.body(UnixMs(1_700_000_000_123), "")).unwrap();
        assert_eq!(body["event_type"], "CREATED");
        assert_eq!(body["timestamp"], "2023-11-14T22:13:20.123Z");
        assert_eq!(body["event_id"], made.event_id());
        let id = body["data"]["invoice_id"].as_str().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "8"));
        let event = hookfast_core::invoice::InvoiceEvent::parse(&made.body(UnixMs(0), "")).unwrap();
        assert_eq!((event.event_type.as_str(), event.event_id), ("CREATED", made.event_id()));
        let prefixed: serde_json::Value = serde_json::from_slice(&made.body(UnixMs(0), "invoice.")).unwrap();
        assert_eq!(prefixed["event_type"], "invoice.created");
    }
}
