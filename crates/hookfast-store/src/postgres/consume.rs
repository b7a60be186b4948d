//! What was read from the log: events, their changes to the table of invoices, and positions, in the writer's commits.
//! Must not know what the log is.

use super::accept::{AcceptBatch, Item};
use super::db::Run;
use super::inbox::{AcceptCommand, FromLog};
use super::statement::Statement;
use super::wire::Uuid;
use super::{PostgresStore, Shared, away, closing, node, projection};
use crate::Result;
use hookfast_core::ports::{BoxFuture, Consume, ConsumeAnswer, Consumed, Consumer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;
use tokio_postgres::types::Type;

/// Keeps a position where it is higher than the one kept.
const GROW: &str = "ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET next = excluded.next
  WHERE positions.next < excluded.next";

/// The positions of one commit: those of commands whose events are all in it.
#[derive(Default)]
pub(crate) struct Marks {
    /// Which command, to be told.
    advanced: Vec<Arc<AtomicBool>>,
    commands: Vec<i32>,
    groups: Vec<String>,
    topics: Vec<String>,
    partitions: Vec<i32>,
    nexts: Vec<i64>,
    members: Vec<i32>,
    ids: Vec<Uuid>,
}

impl Marks {
    /// Adds a command that brought these events.
    pub(crate) fn add(&mut self, from: &FromLog, ids: impl Iterator<Item = Uuid>) {
        let command = i32::try_from(self.advanced.len()).unwrap_or(i32::MAX);
        for id in ids {
            self.members.push(command);
            self.ids.push(id);
        }
        for (partition, next) in &from.positions {
            self.commands.push(command);
            self.groups.push(from.consumer.group.clone());
            self.topics.push(from.consumer.topic.clone());
            self.partitions.push(*partition);
            self.nexts.push(*next);
        }
        self.advanced.push(Arc::clone(&from.advanced));
    }

    /// Adds the part that keeps them; `e` has the ids that are stored.
    pub(crate) fn write<'a>(&'a self, statement: &mut Statement<'a>) {
        if self.commands.is_empty() {
            return;
        }
        let part = format!(
            "o AS (INSERT INTO hookfast.positions (consumer_group, topic, partition, next)
               SELECT g.consumer_group, g.topic, g.partition, g.next
               FROM me, unnest(@, @, @, @, @) AS g(command, consumer_group, topic, partition, next)
               WHERE g.command NOT IN (SELECT m.command FROM unnest(@, @) AS m(command, id)
                 LEFT JOIN e ON e.id = m.id WHERE e.id IS NULL)
               ORDER BY 1, 2, 3 {GROW})"
        );
        statement.part(
            &part,
            &[
                (&self.commands, Type::INT4_ARRAY),
                (&self.groups, Type::TEXT_ARRAY),
                (&self.topics, Type::TEXT_ARRAY),
                (&self.partitions, Type::INT4_ARRAY),
                (&self.nexts, Type::INT8_ARRAY),
                (&self.members, Type::INT4_ARRAY),
                (&self.ids, Type::UUID_ARRAY),
            ],
        );
    }

    /// The commit stored these: tells the commands whose positions it kept.
    pub(crate) fn committed(&self, stored: impl Fn(Uuid) -> bool) {
        for (command, advanced) in (0_i32..).zip(&self.advanced) {
            let mut ids = self.members.iter().zip(&self.ids).filter(|(member, _)| **member == command);
            if ids.all(|(_, id)| stored(*id)) {
                advanced.store(true, Ordering::Release);
            }
        }
    }
}

/// What the events of a commit change in the table of invoices, as columns.
#[derive(Default)]
pub(crate) struct InvoiceColumns<'a> {
    sql: Option<&'a str>,
    ids: Vec<Uuid>,
    invoices: Vec<&'a str>,
    events: Vec<&'a str>,
    times: Vec<i64>,
    event_types: Vec<&'a str>,
}

impl<'a> InvoiceColumns<'a> {
    pub(crate) fn of(items: &'a [Item], sql: Option<&'a str>) -> Self {
        let mut columns = Self { sql, ..Self::default() };
        for item in items {
            let Some(change) = &item.invoice else { continue };
            columns.ids.push(item.event.id.into());
            columns.invoices.push(&change.invoice_id);
            columns.events.push(&change.event_id);
            columns.times.push(change.timestamp_us);
            columns.event_types.push(&change.event_type);
        }
        columns
    }

    /// Adds the part that changes the table, for those events that `e` has.
    pub(crate) fn write(&'a self, statement: &mut Statement<'a>) {
        let (Some(sql), false) = (self.sql, self.ids.is_empty()) else { return };
        statement.part(
            sql,
            &[
                (&self.ids, Type::UUID_ARRAY),
                (&self.invoices, Type::TEXT_ARRAY),
                (&self.events, Type::TEXT_ARRAY),
                (&self.times, Type::INT8_ARRAY),
                (&self.event_types, Type::TEXT_ARRAY),
            ],
        );
    }
}

/// Takes those out of a batch that change the table of invoices: the others must not fail with them.
pub(crate) fn take_projected(batch: &mut AcceptBatch) -> Vec<Item> {
    let (projected, others) = std::mem::take(&mut batch.items).into_iter().partition(|item| item.invoice.is_some());
    batch.items = others;
    projected
}

async fn advance(shared: &Shared, consumer: &Consumer, positions: &[(i32, i64)]) -> Result<()> {
    let (partitions, nexts): (Vec<i32>, Vec<i64>) = positions.iter().copied().unzip();
    let mut session = shared.db.session().await?;
    let tx = session.begin().await?;
    node::fence(&tx, shared.incarnation).await?;
    tx.change(
        &format!(
            "INSERT INTO hookfast.positions (consumer_group, topic, partition, next)
             SELECT $1, $2, g.partition, g.next FROM unnest($3, $4) AS g(partition, next) ORDER BY 3 {GROW}"
        ),
        &[
            (&consumer.group, Type::TEXT),
            (&consumer.topic, Type::TEXT),
            (&partitions, Type::INT4_ARRAY),
            (&nexts, Type::INT8_ARRAY),
        ],
    )
    .await?;
    tx.commit().await
}

async fn positions(shared: &Shared, consumer: &Consumer) -> Result<Vec<(i32, i64)>> {
    let rows = shared
        .db
        .session()
        .await?
        .rows(
            "SELECT partition, next FROM hookfast.positions WHERE consumer_group = $1 AND topic = $2 ORDER BY 1",
            &[(&consumer.group, Type::TEXT), (&consumer.topic, Type::TEXT)],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

impl Consume for PostgresStore {
    fn prepare(&self) -> BoxFuture<'_, hookfast_core::Result<()>> {
        Box::pin(async move {
            let sql = projection::prepare(&self.shared).await?;
            // Prepared twice, the tables are the same.
            let _ = self.shared.projection.set(sql);
            Ok(())
        })
    }

    fn positions<'a>(&'a self, consumer: &'a Consumer) -> BoxFuture<'a, hookfast_core::Result<Vec<(i32, i64)>>> {
        Box::pin(async move { Ok(positions(&self.shared, consumer).await?) })
    }

    fn consume(&self, batch: Consumed) -> BoxFuture<'_, hookfast_core::Result<ConsumeAnswer>> {
        Box::pin(async move {
            let Consumed { consumer, positions, events, invoices } = batch;
            if events.is_empty() {
                advance(&self.shared, &consumer, &positions).await?;
                return Ok(ConsumeAnswer { answers: Vec::new(), advanced: true });
            }
            if self.shared.is_away() {
                return Err(away());
            }
            if invoices.iter().any(Option::is_some) && self.shared.projection.get().is_none() {
                let reason = "the table of invoices was not prepared".to_owned();
                return Err(hookfast_core::Error::Terminal { reason });
            }
            let (reply, answer) = oneshot::channel();
            let advanced = Arc::new(AtomicBool::new(false));
            let from_log = FromLog { consumer, positions, invoices, advanced: Arc::clone(&advanced) };
            self.shared.inbox.accept(AcceptCommand { events, from_log: Some(Box::new(from_log)), reply })?;
            let answers = answer.await.map_err(|_| closing())?;
            Ok(ConsumeAnswer { answers, advanced: advanced.load(Ordering::Acquire) })
        })
    }

    fn advance<'a>(
        &'a self,
        consumer: &'a Consumer,
        positions: &'a [(i32, i64)],
    ) -> BoxFuture<'a, hookfast_core::Result<()>> {
        Box::pin(async move { Ok(advance(&self.shared, consumer, positions).await?) })
    }
}
