//! From a consumer of the log to the store: events, and how far the log was read, in one transaction.

use super::{Accepted, BoxFuture};
use crate::Result;
use crate::invoice::InvoiceEvent;
use crate::model::NewEvent;

/// Who reads what. Positions are kept for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Consumer {
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
}

/// What was read of a topic, to be stored.
#[derive(Clone, Debug)]
pub struct Consumed {
    /// Who read it.
    pub consumer: Consumer,
    /// Of each partition read, the offset of the record that comes next.
    pub positions: Vec<(i32, i64)>,
    /// The events, in the order they were read. One that is read again must have the same id, or the same uid.
    pub events: Vec<NewEvent>,
    /// What each event changes in the table of invoices: as many as events, or none at all.
    pub invoices: Vec<Option<InvoiceEvent>>,
}

/// What storing them came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumeAnswer {
    /// For each event, as [`super::Accept::accept`] answers.
    pub answers: Vec<Result<Accepted>>,
    /// The positions were kept in the transaction that stored the events. `false` when one of them is not stored:
    /// what becomes of it is to be made durable first, then [`Consume::advance`] keeps the positions.
    pub advanced: bool,
}

/// The store, as a consumer of the log sees it.
pub trait Consume: Send + Sync {
    /// Sees to it that the tables exist that events are projected to (`public.events`, `public.webhooks`); those that
    /// are there are adopted. Errors: `Invalid` when one has other columns than it must, with what was expected and
    /// found; `Terminal` when this store has no such tables.
    fn prepare(&self) -> BoxFuture<'_, Result<()>>;

    /// How far each partition was read: the offset of the record that comes next. Those that were never read are
    /// missing.
    fn positions<'a>(&'a self, consumer: &'a Consumer) -> BoxFuture<'a, Result<Vec<(i32, i64)>>>;

    /// Stores a batch. An event, its caller keys and its change to the table of invoices become durable together; when
    /// every event is stored (or was before), so do the positions. A repeat changes nothing. Positions only ever grow,
    /// whoever comes late. Of two events of one invoice the newer one stays, whatever the order they come in. Errors:
    /// `Unavailable` when the store is away: nothing is known, do it again. Not cancel-safe: await it to the end.
    fn consume(&self, batch: Consumed) -> BoxFuture<'_, Result<ConsumeAnswer>>;

    /// Keeps positions, where they are higher than the ones kept.
    fn advance<'a>(&'a self, consumer: &'a Consumer, positions: &'a [(i32, i64)]) -> BoxFuture<'a, Result<()>>;
}
