//! What the records of a topic mean. Pure but for the id and the time of events that have none; must not know what
//! becomes of them.

use super::last_header;
use crate::check::check;
use crate::envelope;
use crate::inbound::SOURCE;
use crate::naming::{named, received_by, uid_of};
use bytes::Bytes;
use hookfast_core::invoice::InvoiceEvent;
use hookfast_core::model::{NewEvent, Origin, Route};
use hookfast_core::ports::{LogEntry, Submission};
use hookfast_core::{AppId, Clock, Error, EventId, IdGenerator, Result};
use std::sync::Arc;

/// An event on the topic may lie so far ahead of this node's clock. More than receivers let through, so that nothing
/// they acknowledged is refused here because two clocks differ.
const AHEAD_MS_MAX: u64 = 3_600_000;

/// What a record says.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The event.
    pub event: NewEvent,
    /// What it changes in the table of invoices.
    pub invoice: Option<InvoiceEvent>,
}

/// Reads records of one kind.
pub trait Decoder: Send + Sync {
    /// What this record says. Never panics, whatever it holds. The same record read again must make an event that is known
    /// again: with the same id, or the same uid.
    ///
    /// # Errors
    /// `Invalid` with what was expected and found: no repeat will make it readable.
    fn decode(&self, entry: &LogEntry) -> Result<Decoded>;

    /// Do its events change the table of invoices?
    fn projects(&self) -> bool;
}

/// Events in envelopes, as [`crate::LogIntake`] appends them.
#[derive(Clone, Debug)]
pub struct EnvelopeDecoder {
    /// Greatest body of an event, in bytes.
    pub body_bytes_max: usize,
}

impl Decoder for EnvelopeDecoder {
    fn decode(&self, entry: &LogEntry) -> Result<Decoded> {
        let event = envelope::decode(value(entry)?, self.body_bytes_max)?;
        Ok(Decoded { event, invoice: None })
    }

    fn projects(&self) -> bool {
        false
    }
}

/// Events of the first system: the value is their JSON, and they belong to one application. The key is not needed.
pub struct InvoiceDecoder {
    app: AppId,
    ids: Arc<IdGenerator>,
    clock: Arc<dyn Clock>,
    body_bytes_max: usize,
    origin: Origin,
}

impl InvoiceDecoder {
    /// Events become those of `app`; bodies may have `body_bytes_max` bytes. Those that no receiver took are of `origin`.
    #[must_use]
    pub fn new(
        app: AppId,
        ids: Arc<IdGenerator>,
        clock: Arc<dyn Clock>,
        body_bytes_max: usize,
        origin: Origin,
    ) -> Self {
        Self { app, ids, clock, body_bytes_max, origin }
    }

    fn origin_of(&self, entry: &LogEntry) -> Origin {
        let source = last_header(&entry.headers, SOURCE).and_then(|source| std::str::from_utf8(source).ok());
        source.map_or_else(|| self.origin.clone(), received_by)
    }
}

impl Decoder for InvoiceDecoder {
    fn decode(&self, entry: &LogEntry) -> Result<Decoded> {
        let body = value(entry)?;
        let invoice = InvoiceEvent::parse(body)?;
        let ahead_ms = invoice.ahead_ms(self.clock.wall());
        if ahead_ms > AHEAD_MS_MAX {
            // As the newest one it would stay in the table of invoices until that time has come.
            let reason = format!("expected at most {} s ahead, found {} s", AHEAD_MS_MAX / 1000, ahead_ms / 1000);
            return Err(Error::invalid("timestamp", reason));
        }
        let submission = Submission {
            app: self.app,
            route: Route::Match,
            event_type: invoice.event_type.clone(),
            uid: Some(uid_of(&invoice.event_id)),
            channels: Vec::new(),
            ordering_key: None,
            body: body.clone(),
            content_type: None,
            idempotency: None,
            origin: self.origin_of(entry),
        };
        check(&submission, self.body_bytes_max)?;
        let event = named(submission, EventId::from_u128(self.ids.next(self.clock.now())));
        Ok(Decoded { event, invoice: Some(invoice) })
    }

    fn projects(&self) -> bool {
        true
    }
}

fn value(entry: &LogEntry) -> Result<&Bytes> {
    entry.value.as_ref().ok_or_else(|| Error::invalid("value", "expected an event, found a record without a value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ManualClock, entry};
    use proptest::prelude::*;

    fn decoder() -> InvoiceDecoder {
        let (ids, clock) = (Arc::new(IdGenerator::new()), Arc::new(ManualClock));
        InvoiceDecoder::new(AppId::from_u128(7), ids, clock, 1024, Origin::of("kafka:orders"))
    }

    fn body(id: &str, kind: &str, time: &str) -> String {
        format!(r#"{{"event_id":"{id}","event_type":"{kind}","timestamp":"{time}","data":{{"invoice_id":"i1"}}}}"#)
    }

    fn field_of(value: &str) -> String {
        match decoder().decode(&entry(0, 0, value)) {
            Err(Error::Invalid { field, .. }) => field,
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn a_record_of_the_first_system_becomes_an_event_of_its_application() {
        let value = body("e1", "PAID", "2023-11-14T22:13:20Z");
        let Decoded { event, invoice } = decoder().decode(&entry(0, 0, &value)).unwrap();
        assert_eq!(
            (event.app, event.uid.as_deref(), event.event_type.as_str()),
            (AppId::from_u128(7), Some("e1"), "PAID")
        );
        assert_eq!((event.body.as_ref(), event.id.time()), (value.as_bytes(), ManualClock.now()));
        assert_eq!(invoice.unwrap().invoice_id, "i1");
        assert_eq!(event.origin, Some(Origin::of("kafka:orders")));
        let headers = vec![("source".to_owned(), Bytes::from_static(b"shop"))];
        let received = decoder().decode(&LogEntry { headers, ..entry(0, 0, &value) }).unwrap().event;
        assert_eq!(received.origin, Some(Origin::of("receiver:shop")));
        let foreign = body("an id with blanks", "PAID", "2023-11-14T22:13:20Z");
        let uid = decoder().decode(&entry(0, 0, &foreign)).unwrap().event.uid.unwrap();
        assert_eq!(uid, uid_of("an id with blanks"));
    }

    #[test]
    fn what_is_no_such_event_is_refused_with_the_member() {
        assert_eq!(field_of("nothing"), "(not JSON)");
        assert_eq!(field_of(&body("", "PAID", "2023-11-14T22:13:20Z")), "event_id");
        assert_eq!(field_of(&body("e1", "not a type", "2023-11-14T22:13:20Z")), "eventType");
        assert_eq!(field_of(&body("e1", "PAID", "2024-11-14T22:13:20Z")), "timestamp");
        assert!(decoder().decode(&entry(0, 0, &body("e1", "PAID", "2023-11-14T23:13:20Z"))).is_ok());
        let none = LogEntry { value: None, ..entry(0, 0, "") };
        assert!(matches!(decoder().decode(&none), Err(Error::Invalid { field, .. }) if field == "value"));
    }

    proptest! {
        #[test]
        fn no_record_panics(value: Option<Vec<u8>>, text in ".{0,40}") {
            let entry = LogEntry { value: value.map(Into::into), ..entry(0, 0, "") };
            let _ = decoder().decode(&entry);
            let _ = EnvelopeDecoder { body_bytes_max: 16 }.decode(&entry);
            let value = body(&text, &text, &text).into();
            let _ = decoder().decode(&LogEntry { value: Some(value), ..entry });
        }
    }
}
