//! Claiming queue rows: a lease is an owner and a number in the row, and only its owner's incarnation settles it.

use super::db::{Run, Session};
use super::held::RowKey;
use super::ordering::{self, HOLD_UP, Key, Keys, PARKED};
use super::throttle::{self, ELSEWHERE_MS, STANDING, Standing};
use super::wire::Uuid;
use super::{Shared, codec, routes, statement};
use crate::Result;
use hookfast_core::delivery::DeliveryKey;
use hookfast_core::model::Trigger;
use hookfast_core::ports::{Claim, ClaimWanted, Delivery, Hold, Outgoing, Waiting};
use hookfast_core::{EndpointId, UnixMs};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Bodies read for one claim.
const CLAIM_BYTES_MAX: i64 = 16 << 20;

/// Due rows that nobody holds, oldest first for each endpoint, until their bodies are enough. Comes behind the fence and
/// [`throttle::may_claim`].
///
/// The planner cannot know how few rows are asked for, counts with a tenth of the queue, and would join whole tables, or
/// compile the statement anew each time. So [`limit`] writes down what it can see; rows are found again by where they are,
/// which holds while they are locked; and everything else is looked up one by one.
const CLAIM: &str = "),
   p AS MATERIALIZED (
     SELECT q.* FROM w CROSS JOIN LATERAL (
       SELECT ctid AS place, event, endpoint, retention_days, due FROM hookfast.queue
       WHERE endpoint = w.endpoint AND lease_owner IS NULL AND due BETWEEN w.from_due AND $4
       ORDER BY due LIMIT w.n FOR UPDATE SKIP LOCKED) q LIMIT {}),
   s AS MATERIALIZED (
     SELECT p.place, coalesce(sum(e.bytes) OVER (ORDER BY p.due, p.event, p.endpoint
         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before
     FROM p LEFT JOIN LATERAL (SELECT octet_length(body) AS bytes FROM hookfast.events
       WHERE id = p.event AND retention_days = p.retention_days LIMIT 1) e ON true),
   t AS (
     UPDATE hookfast.queue q SET lease_owner = $1, lease_no = q.lease_no + 1
     WHERE q.ctid = ANY (ARRAY(SELECT place FROM s WHERE bytes_before < $5))
     RETURNING q.event, q.endpoint, q.run, q.lease_no, q.due, q.tries, q.crashes, q.manual, q.retention_days, q.order_key)
   SELECT t.*, e.event_type, e.content_type, e.body,
     (SELECT true FROM hookfast.deliveries d WHERE d.event = t.event AND d.endpoint = t.endpoint AND d.run = t.run
       AND d.retention_days = t.retention_days LIMIT 1) IS NOT NULL AS ended
   FROM t LEFT JOIN LATERAL (SELECT event_type, content_type, body FROM hookfast.events
     WHERE id = t.event AND retention_days = t.retention_days LIMIT 1) e ON true ORDER BY t.due, t.event";

/// When the earliest free row of each endpoint is due, but for parked ones. [`STANDING`] and where from come behind it.
const NEXT: &str = "SELECT w.endpoint, (SELECT q.due FROM hookfast.queue q
     WHERE q.endpoint = w.endpoint AND q.lease_owner IS NULL AND q.due >= w.from_due AND q.due < $2
     ORDER BY q.due LIMIT 1), ";

/// The endpoints of a claim.
const ASKED: &str = ",
   w AS MATERIALIZED (
     SELECT w.* FROM me, unnest($2::int8[], $3::int8[], $6::int8[]) AS w(endpoint, n, from_due) WHERE ";

/// The numbers of endpoints, deleted ones included; those that never existed are left out.
pub(crate) async fn numbers(
    shared: &Shared,
    run: &impl Run,
    endpoints: &[EndpointId],
) -> Result<HashMap<EndpointId, i64>> {
    let mut found = HashMap::with_capacity(endpoints.len());
    let mut unknown: Vec<Uuid> = Vec::new();
    {
        let routes = shared.routes();
        for endpoint in endpoints {
            match routes.number(*endpoint) {
                Some(no) => drop(found.insert(*endpoint, no)),
                None => unknown.push((*endpoint).into()),
            }
        }
    }
    if unknown.is_empty() {
        return Ok(found);
    }
    let sql = "SELECT id, no FROM hookfast.endpoints WHERE id = ANY($1)";
    for row in run.rows(sql, &[(&unknown, Type::UUID_ARRAY)]).await? {
        let (endpoint, no) = (EndpointId::from(row.try_get::<_, Uuid>(0)?), row.try_get(1)?);
        shared.routes().put_number(endpoint, no);
        found.insert(endpoint, no);
    }
    Ok(found)
}

/// Frees rows that a lost claim may have left behind, if there was one. Not only the next claim does so: when every row of
/// an endpoint is among them, nobody would ask for it.
pub(crate) async fn give_back_lost(shared: &Shared) -> Result<()> {
    if !shared.held().doubtful {
        return Ok(());
    }
    let _one_at_a_time = shared.claiming.lock().await;
    let session = shared.own.session().await?;
    let freed = give_back_what_nobody_holds(shared, &session).await;
    if freed.is_err() {
        session.discard();
    }
    freed
}

/// Claims rows for the engine. An error leaves it unknown what was claimed; the next claim finds out.
pub(crate) async fn claim(shared: &Shared, wanted: &[ClaimWanted], now: UnixMs) -> Result<Vec<Claim>> {
    let _one_at_a_time = shared.claiming.lock().await;
    let mut session = shared.own.session().await?;
    let claimed = try_claim(shared, &mut session, wanted, now).await;
    if claimed.is_err() {
        shared.held().doubtful = true;
        session.discard();
    }
    claimed
}

/// A bound of the rows of a claim that cuts off none. It has few values, as each makes a statement of its own.
fn limit(rows_max: &[i64]) -> String {
    let sum = rows_max.iter().fold(0_u64, |sum, rows| sum.saturating_add(rows.unsigned_abs()));
    sum.clamp(1_000, 1 << 40).next_power_of_two().to_string()
}

async fn try_claim(shared: &Shared, session: &mut Session, wanted: &[ClaimWanted], now: UnixMs) -> Result<Vec<Claim>> {
    if shared.held().doubtful {
        give_back_what_nobody_holds(shared, session).await?;
    }
    let endpoints: Vec<EndpointId> = wanted.iter().map(|one| one.endpoint).collect();
    let numbers = numbers(shared, &*session, &endpoints).await?;
    let known: Vec<(&ClaimWanted, i64)> =
        wanted.iter().filter_map(|one| Some((one, *numbers.get(&one.endpoint)?))).collect();
    let nothing = |one: &ClaimWanted| Claim {
        endpoint: one.endpoint,
        deliveries: Vec::new(),
        next_due: None,
        elsewhere_until: None,
    };
    let mut claims: HashMap<i64, Claim> = known.iter().map(|(one, no)| (*no, nothing(one))).collect();
    let nos: Vec<i64> = known.iter().map(|(_, no)| *no).collect();
    let limits: Vec<i64> = known.iter().map(|(one, _)| i64::from(one.rows_max)).collect();
    let (begun, from_dues): (u64, Vec<i64>) = {
        let swept = shared.swept();
        (swept.begin(), nos.iter().map(|no| swept.from(*no, now)).collect())
    };
    let params: super::db::Params<'_> = &[
        (&shared.incarnation, Type::INT8),
        (&nos, Type::INT8_ARRAY),
        (&limits, Type::INT8_ARRAY),
        (&now.0, Type::INT8),
        (&CLAIM_BYTES_MAX, Type::INT8),
        (&from_dues, Type::INT8_ARRAY),
    ];
    let claim = CLAIM.replacen("{}", &limit(&limits), 1);
    let sql = [statement::fence().as_str(), ASKED, &throttle::may_claim(), &claim].concat();
    let rows = if nos.is_empty() { Vec::new() } else { session.rows(&sql, params).await? };
    let (mut taken, mut dropped, mut dropped_keys) = (Vec::new(), Vec::new(), Keys::default());
    let mut found: HashMap<i64, (i64, i64)> = HashMap::with_capacity(nos.len());
    for row in &rows {
        let (key, lease_no) = row_key(row)?;
        let (rows, last_due) = found.entry(key.endpoint).or_default();
        (*rows, *last_due) = (*rows + 1, row.try_get(4)?);
        let order_key = Key::read(row, 9, key.endpoint)?;
        let Some(claim) = claims.get_mut(&key.endpoint) else { continue };
        match delivery(row, key, lease_no, claim.endpoint)? {
            Some(delivery) => {
                taken.push((key, lease_no, order_key));
                claim.deliveries.push(delivery);
            }
            None => {
                dropped.push(key);
                order_key.into_iter().for_each(|key| dropped_keys.touch(key));
            }
        }
    }
    drop_rows(shared, session, &dropped, &dropped_keys, now).await?;
    // Of those that had as many as were asked for, everything that is due before the last one was taken.
    let looked = nos.iter().zip(&limits).zip(&from_dues).map(|((no, limit), from_due)| match found.get(no) {
        Some((rows, last_due)) if rows >= limit => (*no, *last_due),
        _ => (*no, *from_due),
    });
    look_ahead(shared, session, looked.unzip(), &mut claims, now, begun).await?;
    // Last: when anything before failed, nobody has these rows, and they are given back.
    taken.into_iter().for_each(|(key, lease_no, order_key)| shared.held().take(key, lease_no, order_key));
    let unknown = wanted.iter().filter(|one| !numbers.contains_key(&one.endpoint));
    Ok(unknown.map(nothing).chain(claims.into_values()).collect())
}

/// When to come again for each endpoint. What nobody owns is taken: its rows come with the next claim.
async fn look_ahead(
    shared: &Shared,
    session: &Session,
    (nos, from_dues): (Vec<i64>, Vec<i64>),
    claims: &mut HashMap<i64, Claim>,
    now: UnixMs,
    begun: u64,
) -> Result<()> {
    if nos.is_empty() {
        return Ok(());
    }
    let from = " FROM unnest($1::int8[], $4::int8[]) AS w(endpoint, from_due)";
    let sql = [NEXT, STANDING, from, &throttle::owned_by()].concat();
    let params: super::db::Params<'_> = &[
        (&nos, Type::INT8_ARRAY),
        (&PARKED, Type::INT8),
        (&shared.incarnation, Type::INT8),
        (&from_dues, Type::INT8_ARRAY),
    ];
    let mut free = BTreeSet::new();
    for row in session.rows(&sql, params).await? {
        let (no, next): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        shared.swept().took(no, next.unwrap_or(now.0), now, begun);
        let (Some(claim), Some(due)) = (claims.get_mut(&no), next) else { continue };
        claim.next_due = Some(UnixMs(due));
        match Standing::from_code(row.try_get(3)?) {
            Standing::Elsewhere => claim.elsewhere_until = Some(now.plus_ms(ELSEWHERE_MS)),
            Standing::Free => free.extend(row.try_get::<_, Option<String>>(2)?),
            Standing::Ours => {}
        }
    }
    throttle::take(shared, session, &free).await
}

fn row_key(row: &Row) -> Result<(RowKey, i64)> {
    let key = RowKey { event: row.try_get(0)?, endpoint: row.try_get(1)?, run: row.try_get(2)? };
    Ok((key, row.try_get(3)?))
}

/// A claimed row as a delivery; `None` when its run has ended or its event is gone.
fn delivery(row: &Row, key: RowKey, lease_no: i64, endpoint: EndpointId) -> Result<Option<Delivery>> {
    let Some(event_type) = row.try_get::<_, Option<String>>(10)? else { return Ok(None) };
    if row.try_get(13)? {
        return Ok(None);
    }
    let body: Option<&[u8]> = row.try_get(12)?;
    let event = Outgoing {
        id: key.event.into(),
        event_type,
        content_type: row.try_get(11)?,
        body: body.map(bytes::Bytes::copy_from_slice),
    };
    Ok(Some(Delivery {
        key: DeliveryKey { event: event.id, endpoint, run: codec::narrow(key.run)? },
        event: Arc::new(event),
        hold: Hold::Queue { lease_no: lease_no.cast_unsigned() },
        tries: codec::narrow(row.try_get::<_, i32>(5)?)?,
        crashes: codec::narrow(row.try_get::<_, i32>(6)?)?,
        due: UnixMs(row.try_get(4)?),
        trigger: if row.try_get(7)? { Trigger::Manual } else { Trigger::Scheduled },
        retention_days: codec::narrow(row.try_get::<_, i16>(8)?)?,
    }))
}

/// Deletes claimed rows of which nothing is left to do; what waited behind them goes on.
async fn drop_rows(shared: &Shared, session: &mut Session, rows: &[RowKey], keys: &Keys, now: UnixMs) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let (events, endpoints, runs) = columns(rows);
    let params: super::db::Params<'_> = &[
        (&shared.incarnation, Type::INT8),
        (&events, Type::UUID_ARRAY),
        (&endpoints, Type::INT8_ARRAY),
        (&runs, Type::INT4_ARRAY),
    ];
    let delete = "WITH ordered AS (
                    DELETE FROM hookfast.queue q USING unnest($2, $3, $4) AS d(event, endpoint, run)
                    WHERE q.event = d.event AND q.endpoint = d.endpoint AND q.run = d.run AND q.lease_owner = $1
                    RETURNING q.*, false AS holds),";
    let tx = session.begin().await?;
    ordering::lock(&tx, shared.incarnation, keys).await?;
    tx.rows(&[delete, HOLD_UP, " SELECT count(*) FROM ordered"].concat(), params).await?;
    ordering::promote(&tx, keys, now).await?;
    tx.commit().await
}

fn columns(rows: &[RowKey]) -> (Vec<Uuid>, Vec<i64>, Vec<i32>) {
    let events = rows.iter().map(|key| key.event).collect();
    let endpoints = rows.iter().map(|key| key.endpoint).collect();
    (events, endpoints, rows.iter().map(|key| key.run).collect())
}

/// After a claim whose answer was lost: frees rows that are leased to this node and that its memory does not know. Only
/// claims make leases and nothing of this file runs beside another, so none comes up meanwhile.
async fn give_back_what_nobody_holds(shared: &Shared, session: &Session) -> Result<()> {
    // The lost claim has ended when this returns: it held the node's row.
    session
        .rows("SELECT FROM hookfast.nodes WHERE incarnation = $1 FOR UPDATE", &[(&shared.incarnation, Type::INT8)])
        .await?;
    let sql = "SELECT event, endpoint, run, lease_no FROM hookfast.queue WHERE lease_owner = $1";
    let leased = session.rows(sql, &[(&shared.incarnation, Type::INT8)]).await?;
    let mut strange = Vec::new();
    for row in &leased {
        let (key, _) = row_key(row)?;
        if !shared.held().has(key) {
            shared.swept().forget(key.endpoint);
            strange.push(key);
        }
    }
    let (events, endpoints, runs) = columns(&strange);
    let params: super::db::Params<'_> = &[
        (&shared.incarnation, Type::INT8),
        (&events, Type::UUID_ARRAY),
        (&endpoints, Type::INT8_ARRAY),
        (&runs, Type::INT4_ARRAY),
    ];
    let sql = "UPDATE hookfast.queue q SET lease_owner = NULL FROM unnest($2, $3, $4) AS d(event, endpoint, run)
               WHERE q.event = d.event AND q.endpoint = d.endpoint AND q.run = d.run AND q.lease_owner = $1";
    let freed = session.change(sql, params).await?;
    if freed > 0 {
        tracing::info!(freed, "gave back rows whose claim was lost on its way");
    }
    shared.held().doubtful = false;
    Ok(())
}

/// Endpoints with free rows, in the order of their numbers, without reading more than one row of each. Where that one is
/// parked, all are.
const WAITING: &str = "WITH RECURSIVE w AS (
     (SELECT endpoint, due FROM hookfast.queue WHERE lease_owner IS NULL AND endpoint > $1
      ORDER BY endpoint, due LIMIT 1)
     UNION ALL
     SELECT n.endpoint, n.due FROM w CROSS JOIN LATERAL (
       SELECT endpoint, due FROM hookfast.queue WHERE lease_owner IS NULL AND endpoint > w.endpoint
       ORDER BY endpoint, due LIMIT 1) n)
   SELECT endpoint, due FROM w WHERE due < $3 LIMIT $2";

/// Endpoints with rows that nobody holds.
pub(crate) async fn waiting(shared: &Shared, after: Option<EndpointId>, limit: u32) -> Result<Vec<Waiting>> {
    let session = shared.db.session().await?;
    let mut last = match after {
        Some(endpoint) => numbers(shared, &session, &[endpoint]).await?.get(&endpoint).copied().unwrap_or(0),
        None => 0,
    };
    loop {
        let rows = session
            .rows(WAITING, &[(&last, Type::INT8), (&i64::from(limit), Type::INT8), (&PARKED, Type::INT8)])
            .await?;
        let mut dues: HashMap<i64, i64> = HashMap::with_capacity(rows.len());
        for row in &rows {
            last = row.try_get(0)?;
            let due = row.try_get(1)?;
            shared.swept().found(last, due);
            dues.insert(last, due);
        }
        let nos: Vec<i64> = dues.keys().copied().collect();
        let mut live = routes::endpoints_by_number(&session, &shared.sealer, &nos, false).await?;
        live.sort_by_key(|one| one.no);
        // A page of nothing but deleted endpoints is not the end.
        if !live.is_empty() || rows.len() < limit as usize {
            let due = |no: i64| UnixMs(dues.get(&no).copied().unwrap_or_default());
            return Ok(live.into_iter().map(|one| Waiting { due: due(one.no), endpoint: one.endpoint }).collect());
        }
    }
}
