//! Events that a commit left out: why, and what their callers hear. Must not know how a commit is sent.

use super::{RECONNECT, Writer};
use crate::postgres::accept::{AcceptBatch, Answer, Item, Replies, today};
use crate::postgres::connect::{Class, class_of};
use crate::postgres::db::Run;
use crate::postgres::wire::Uuid;
use crate::{Error, Result};
use hookfast_core::Error as PortError;
use hookfast_core::model::NewEvent;
use hookfast_core::ports::Accepted;
use std::collections::HashSet;
use tokio_postgres::types::Type;

/// Why an event was not stored.
enum Refused {
    /// It is there: an earlier commit, whose answer was lost, stored it.
    Stored,
    /// Somebody used its key or uid before.
    Answer(Answer),
    /// Its application has changed, or a key stood for an event that is gone: to be tried again.
    Again,
}

/// An event that was not stored, or not tried because another one of its batch has its key.
struct Asked<'a> {
    event: &'a NewEvent,
    /// Its application, by number.
    app: i64,
}

impl Writer {
    /// Finds out why some events of a commit were not stored. Adds those to `stored` that are there all the same; the
    /// others are answered, or (`None`) to be tried again.
    pub(super) async fn sort_out(
        &mut self,
        batch: &AcceptBatch,
        stored: &mut HashSet<Uuid>,
    ) -> Vec<(usize, Option<Answer>)> {
        let missing: Vec<usize> =
            (0..batch.items.len()).filter(|at| !stored.contains(&Uuid::from(batch.items[*at].event.id))).collect();
        let event = |at: &usize| Asked { event: &batch.items[*at].event, app: batch.apps[*at] };
        let asked: Vec<Asked<'_>> = missing.iter().map(event).collect();
        // Asked until there is an answer: they may be stored, and then nobody else delivers them.
        let reasons = loop {
            match self.ask(&asked).await {
                Ok(reasons) => break reasons,
                Err(error) if class_of(&error) == Class::Lost && !self.gives_up() => {
                    self.shared.set_away(true);
                    tokio::time::sleep(RECONNECT).await;
                }
                Err(error) => break refused(&asked, &error.into()),
            }
        };
        let mut answers = Vec::new();
        for (at, reason) in missing.into_iter().zip(reasons) {
            match reason {
                Refused::Stored => drop(stored.insert(batch.items[at].event.id.into())),
                Refused::Answer(answer) => answers.push((at, Some(answer))),
                Refused::Again => {
                    self.shared.routes().forget(batch.items[at].event.app);
                    answers.push((at, None));
                }
            }
        }
        answers
    }

    /// Why these events are not stored.
    async fn ask(&mut self, asked: &[Asked<'_>]) -> Result<Vec<Refused>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let reasons = async {
            self.open().await?;
            let Some(session) = &self.session else { return Err(Error::Busy) };
            why(session, asked).await
        };
        let reasons = reasons.await;
        if reasons.is_err() {
            self.lose();
        }
        reasons
    }

    /// Answers events whose key came before in their batch, now that the first one is stored. Those whose first was not
    /// stored are to be tried.
    pub(super) async fn answer_repeats(&mut self, items: Vec<Item>, replies: &mut Replies) -> Vec<Item> {
        let mut known = Vec::with_capacity(items.len());
        for item in items {
            match self.routes_of(item.event.app).await {
                Ok(Some(app)) => known.push((item, app.no)),
                Ok(None) => replies.put(&item, Err(PortError::NotFound { what: "application" })),
                Err(error) => replies.put(&item, Err(error.into())),
            }
        }
        let asked: Vec<Asked<'_>> = known.iter().map(|(item, app)| Asked { event: &item.event, app: *app }).collect();
        let reasons = self.ask(&asked).await.unwrap_or_else(|error| refused(&asked, &error.into()));
        let mut again = Vec::new();
        for ((item, _), reason) in known.into_iter().zip(reasons) {
            match reason {
                Refused::Answer(answer) => replies.put(&item, answer),
                Refused::Stored | Refused::Again => again.push(item),
            }
        }
        again
    }
}

/// Everybody hears this error.
fn refused(asked: &[Asked<'_>], error: &PortError) -> Vec<Refused> {
    asked.iter().map(|_| Refused::Answer(Err(error.clone()))).collect()
}

/// Reads why events were not stored, in their order. Keys and uids that stand for events that are gone are deleted.
async fn why(run: &impl Run, asked: &[Asked<'_>]) -> Result<Vec<Refused>> {
    let events = || asked.iter().map(|one| one.event);
    let ids: Vec<Uuid> = events().map(|event| event.id.into()).collect();
    let apps: Vec<i64> = asked.iter().map(|one| one.app).collect();
    let days: Vec<i32> = events().map(today).collect();
    let keys: Vec<Option<&[u8]>> = events().map(|event| event.idempotency.as_ref().map(<[u8; 16]>::as_slice)).collect();
    let uids: Vec<Option<&str>> = events().map(|event| event.uid.as_deref()).collect();
    let rows = run
        .rows(
            "SELECT EXISTS (SELECT FROM hookfast.events e WHERE e.id = i.id),
               d.body, d.object, EXISTS (SELECT FROM hookfast.events e WHERE e.id = d.object),
               u.body, u.event, EXISTS (SELECT FROM hookfast.events e WHERE e.id = u.event)
             FROM unnest($1::uuid[], $2::int8[], $3::int4[], $4::bytea[], $5::text[])
               WITH ORDINALITY AS i(id, app, today, key, uid, n)
             LEFT JOIN LATERAL (SELECT body, object FROM hookfast.dedupe d
               WHERE d.key = i.key AND d.day BETWEEN i.today - 1 AND i.today + 1 ORDER BY d.day DESC LIMIT 1) d ON true
             LEFT JOIN hookfast.uids u ON u.app = i.app AND u.uid = i.uid ORDER BY i.n",
            &[
                (&ids, Type::UUID_ARRAY),
                (&apps, Type::INT8_ARRAY),
                (&days, Type::INT4_ARRAY),
                (&keys, Type::BYTEA_ARRAY),
                (&uids, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    let mut why = Vec::with_capacity(rows.len());
    let (mut gone_keys, mut gone_uids) = (Vec::new(), Vec::new());
    for (row, event) in rows.iter().zip(events()) {
        let ours = event.body_hash;
        let judge = |body: Option<&[u8]>, event: Option<Uuid>, code: &'static str| {
            let (Some(body), Some(event)) = (body, event) else { return Refused::Again };
            let other =
                PortError::Conflict { code, reason: "the same key was used before with another body".to_owned() };
            let first = Accepted { id: event.into(), repeat: true };
            Refused::Answer(if body == ours { Ok(first) } else { Err(other) })
        };
        let (key_event, uid_event): (Option<Uuid>, Option<Uuid>) = (row.try_get(2)?, row.try_get(5)?);
        why.push(if row.try_get(0)? {
            Refused::Stored
        } else if row.try_get(3)? {
            judge(row.try_get(1)?, key_event, "idempotency_conflict")
        } else if row.try_get(6)? {
            judge(row.try_get(4)?, uid_event, "event_exists")
        } else {
            gone_keys.extend(key_event.and(event.idempotency.map(|key| key.to_vec())));
            gone_uids.extend(uid_event);
            Refused::Again
        });
    }
    if !gone_keys.is_empty() || !gone_uids.is_empty() {
        forget_keys(run, &gone_keys, &gone_uids).await?;
    }
    Ok(why)
}

/// Deletes keys and uids whose events are not there: retention took them, or their commit stored the key alone.
async fn forget_keys(run: &impl Run, keys: &[Vec<u8>], events: &[Uuid]) -> Result<()> {
    run.change(
        "WITH d AS (DELETE FROM hookfast.dedupe WHERE key = ANY($1)
           AND NOT EXISTS (SELECT FROM hookfast.events e WHERE e.id = object))
         DELETE FROM hookfast.uids WHERE event = ANY($2)
           AND NOT EXISTS (SELECT FROM hookfast.events e WHERE e.id = event)",
        &[(&keys, Type::BYTEA_ARRAY), (&events, Type::UUID_ARRAY)],
    )
    .await?;
    Ok(())
}
