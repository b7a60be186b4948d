//! Writing what deliveries came to, in the same statements as accepts.

use super::held::RowKey;
use super::statement::Statement;
use super::wire::Uuid;
use super::{Shared, claim, codec, ordering};
use crate::Result;
use crate::columns;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::{Attempt, Trigger};
use hookfast_core::ports::{Hold, Outcome, Settlement};
use hookfast_core::{AttemptId, EndpointId};
use std::collections::HashMap;
use tokio_postgres::types::Type;

const HOUR_MS: i64 = 3_600_000;
/// The place of a row that this node holds, locked, so that it stays there: nobody else changes a leased row but by taking
/// the lease. Found by its key whatever the planner thinks, who would read all that is leased, and was, or the whole queue;
/// that is why it is not `lease_owner = $1`.
const PLACE: &str = "(SELECT ctid AS place FROM hookfast.queue
     WHERE event = s.event AND endpoint = s.endpoint AND run = s.run
       AND lease_owner IS NOT DISTINCT FROM $1 AND lease_no = s.lease_no LIMIT 1 FOR UPDATE) q";
/// URLs whose number is kept in memory.
const URLS_MAX: usize = 10_000;

/// Numbers of the URLs that attempts went to.
#[derive(Debug, Default)]
pub(crate) struct Urls {
    numbers: HashMap<String, i64>,
}

impl Urls {
    /// Learns the numbers of these URLs, making new ones.
    async fn learn(&mut self, run: &impl super::db::Run, settlements: &[Settlement]) -> Result<()> {
        let urls = settlements.iter().filter_map(|one| Some(one.attempt.as_ref()?.url.as_str()));
        let mut unknown: Vec<&str> = urls.filter(|url| !self.numbers.contains_key(*url)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        unknown.dedup();
        if self.numbers.len() + unknown.len() > URLS_MAX {
            self.numbers.clear();
            unknown = settlements.iter().filter_map(|one| Some(one.attempt.as_ref()?.url.as_str())).collect();
            unknown.sort_unstable();
            unknown.dedup();
        }
        let sql = "INSERT INTO hookfast.urls (url) SELECT u FROM unnest($1::text[]) AS u
                   WHERE NOT EXISTS (SELECT FROM hookfast.urls o WHERE o.url = u) ORDER BY u ON CONFLICT DO NOTHING";
        run.change(sql, &[(&unknown, Type::TEXT_ARRAY)]).await?;
        let sql = "SELECT url, no FROM hookfast.urls WHERE url = ANY($1)";
        for row in run.rows(sql, &[(&unknown, Type::TEXT_ARRAY)]).await? {
            self.numbers.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(())
    }

    fn number(&self, url: &str) -> i64 {
        self.numbers.get(url).copied().unwrap_or(0)
    }
}

/// Attempts that have rows of their own.
#[derive(Default)]
struct AttemptColumns {
    events: Vec<Uuid>,
    endpoints: Vec<i64>,
    ids: Vec<Uuid>,
    days_kept: Vec<i16>,
    runs: Vec<i32>,
    numbers: Vec<i32>,
    causes: Vec<i16>,
    statuses: Vec<i16>,
    durations_ms: Vec<i32>,
    manual: Vec<bool>,
    urls: Vec<i64>,
    excerpts: Vec<Option<Vec<u8>>>,
}

/// Ends; the last columns are set where the attempt is inside.
#[derive(Default)]
struct EndColumns {
    events: Vec<Uuid>,
    endpoints: Vec<i64>,
    runs: Vec<i32>,
    days_kept: Vec<i16>,
    states: Vec<i16>,
    causes: Vec<i16>,
    tries: Vec<i32>,
    attempts: Vec<Uuid>,
    lease_nos: Vec<i64>,
    statuses: Vec<Option<i16>>,
    durations_ms: Vec<Option<i32>>,
    manual: Vec<Option<bool>>,
    urls: Vec<Option<i64>>,
    excerpts: Vec<Option<Vec<u8>>>,
}

/// Rows that wait: new ones from memory, or changed ones.
#[derive(Default)]
struct WaitColumns {
    events: Vec<Uuid>,
    endpoints: Vec<i64>,
    runs: Vec<i32>,
    days_kept: Vec<i16>,
    dues: Vec<i64>,
    tries: Vec<i32>,
    crashes: Vec<i32>,
    causes: Vec<Option<i16>>,
    lease_nos: Vec<i64>,
}

#[derive(Default)]
struct StatsColumns {
    endpoints: Vec<i64>,
    hours: Vec<i32>,
    success: Vec<i32>,
    fail: Vec<i32>,
    cancelled: Vec<i32>,
}

/// Settlements that are committed together, as columns.
#[derive(Default)]
pub(crate) struct SettleBatch {
    pub(crate) settlements: Vec<Settlement>,
    /// Hand-off rows of which each entry settles a pair.
    pub(crate) handoffs: Vec<u64>,
    /// Rows no longer in the engine's hands.
    pub(crate) released: Vec<(RowKey, i64)>,
    memory_ends: EndColumns,
    queue_ends: EndColumns,
    /// Those of them whose rows have a key.
    pub(crate) ordered_ends: ordering::Ends,
    memory_waits: WaitColumns,
    queue_waits: WaitColumns,
    attempts: AttemptColumns,
    stats: StatsColumns,
}

fn excerpt(attempt: &Attempt) -> Option<Vec<u8>> {
    (!attempt.excerpt.is_empty()).then(|| attempt.excerpt.as_bytes().to_vec())
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn status(attempt: &Attempt) -> i16 {
    i16::try_from(attempt.status).unwrap_or(i16::MAX)
}

impl SettleBatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.settlements.is_empty()
    }

    /// Of each row that waits from now on, its endpoint and when it is due.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let both = [&self.memory_waits, &self.queue_waits].into_iter();
        both.flat_map(|waits| waits.endpoints.iter().copied().zip(waits.dues.iter().copied()))
    }

    /// Looks up what the columns need.
    pub(crate) async fn of(
        shared: &Shared,
        run: &impl super::db::Run,
        urls: &mut Urls,
        settlements: Vec<Settlement>,
    ) -> std::result::Result<Self, (crate::Error, Vec<Settlement>)> {
        let endpoints: Vec<EndpointId> = settlements.iter().map(|one| one.key.endpoint).collect();
        let numbers = match claim::numbers(shared, run, &endpoints).await {
            Ok(numbers) => numbers,
            Err(error) => return Err((error, settlements)),
        };
        if let Err(error) = urls.learn(run, &settlements).await {
            return Err((error, settlements));
        }
        let mut batch = Self::default();
        let mut counts: HashMap<(i64, i32), (i32, i32, i32)> = HashMap::new();
        for settlement in &settlements {
            // An endpoint that never was has no rows to be settled.
            if let Some(endpoint) = numbers.get(&settlement.key.endpoint) {
                batch.add(shared, urls, settlement, *endpoint, &mut counts);
            }
        }
        for ((endpoint, hour), (success, fail, cancelled)) in counts {
            batch.stats.endpoints.push(endpoint);
            batch.stats.hours.push(hour);
            batch.stats.success.push(success);
            batch.stats.fail.push(fail);
            batch.stats.cancelled.push(cancelled);
        }
        batch.settlements = settlements;
        Ok(batch)
    }

    fn add(
        &mut self,
        shared: &Shared,
        urls: &Urls,
        one: &Settlement,
        endpoint: i64,
        counts: &mut HashMap<(i64, i32), (i32, i32, i32)>,
    ) {
        let hour = |ms: i64| i32::try_from(ms.div_euclid(HOUR_MS)).unwrap_or(i32::MAX);
        if let Some(attempt) = &one.attempt {
            let count = counts.entry((endpoint, hour(attempt.id.time().0))).or_default();
            if attempt.cause == Cause::Ok { count.0 += 1 } else { count.1 += 1 }
        }
        let lease_no = match one.hold {
            Hold::Memory { handoff } => {
                self.handoffs.push(handoff);
                None
            }
            Hold::Queue { lease_no } => {
                let key = RowKey { event: one.key.event.into(), endpoint, run: int(one.key.run) };
                self.released.push((key, lease_no.cast_signed()));
                Some(lease_no.cast_signed())
            }
        };
        match one.outcome {
            Outcome::End(state, cause) => {
                if let Some(lease_no) = lease_no {
                    self.add_ordered(shared, one, endpoint, (state, cause), lease_no);
                }
                if state == DeliveryState::Cancelled {
                    counts.entry((endpoint, hour(shared.clock.now().0))).or_default().2 += 1;
                }
                // Only a pair that belongs to memory cannot turn out to be somebody else's, so only its attempt may
                // stand inside.
                let inside = one.attempt.as_ref().filter(|attempt| lease_no.is_none() && attempt.number == 1);
                self.add_end(shared, urls, one, endpoint, (state, cause), inside, lease_no);
                if inside.is_none() {
                    self.add_attempt(urls, one, endpoint);
                }
            }
            Outcome::Retry { due } | Outcome::Wait { due } => {
                self.add_attempt(urls, one, endpoint);
                let waits = if lease_no.is_some() { &mut self.queue_waits } else { &mut self.memory_waits };
                waits.events.push(one.key.event.into());
                waits.endpoints.push(endpoint);
                waits.runs.push(int(one.key.run));
                waits.days_kept.push(codec::class(one.retention_days));
                waits.dues.push(due.0);
                waits.tries.push(int(one.tries));
                waits.crashes.push(int(one.crashes));
                waits.causes.push(one.attempt.as_ref().map(|attempt| i16::from(attempt.cause.code())));
                waits.lease_nos.push(lease_no.unwrap_or(0));
            }
        }
    }

    fn add_ordered(
        &mut self,
        shared: &Shared,
        one: &Settlement,
        endpoint: i64,
        (state, cause): (DeliveryState, Cause),
        lease_no: i64,
    ) {
        let row = RowKey { event: one.key.event.into(), endpoint, run: int(one.key.run) };
        if let Some(key) = shared.held().order_key(row, lease_no) {
            self.ordered_ends.add(row.event, row.run, key, ordering::may_hold(state, cause));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one row of many columns")]
    fn add_end(
        &mut self,
        shared: &Shared,
        urls: &Urls,
        one: &Settlement,
        endpoint: i64,
        (state, cause): (DeliveryState, Cause),
        inside: Option<&Attempt>,
        lease_no: Option<i64>,
    ) {
        let last = match &one.attempt {
            Some(attempt) => attempt.id,
            None => AttemptId::from_u128(shared.ids.next(shared.clock.now())),
        };
        let ends = if lease_no.is_some() { &mut self.queue_ends } else { &mut self.memory_ends };
        ends.events.push(one.key.event.into());
        ends.endpoints.push(endpoint);
        ends.runs.push(int(one.key.run));
        ends.days_kept.push(codec::class(one.retention_days));
        ends.states.push(i16::try_from(columns::state_code(state)).unwrap_or(i16::MAX));
        ends.causes.push(i16::from(cause.code()));
        ends.tries.push(int(one.tries));
        ends.attempts.push(last.into());
        ends.lease_nos.push(lease_no.unwrap_or(0));
        ends.statuses.push(inside.map(status));
        ends.durations_ms.push(inside.map(|attempt| int(attempt.duration_ms)));
        ends.manual.push(inside.map(|attempt| attempt.trigger == Trigger::Manual));
        ends.urls.push(inside.map(|attempt| urls.number(&attempt.url)));
        ends.excerpts.push(inside.and_then(excerpt));
    }

    fn add_attempt(&mut self, urls: &Urls, one: &Settlement, endpoint: i64) {
        let Some(attempt) = &one.attempt else { return };
        let columns = &mut self.attempts;
        columns.events.push(attempt.event.into());
        columns.endpoints.push(endpoint);
        columns.ids.push(attempt.id.into());
        columns.days_kept.push(codec::class(one.retention_days));
        columns.runs.push(int(attempt.run));
        columns.numbers.push(int(attempt.number));
        columns.causes.push(i16::from(attempt.cause.code()));
        columns.statuses.push(status(attempt));
        columns.durations_ms.push(int(attempt.duration_ms));
        columns.manual.push(attempt.trigger == Trigger::Manual);
        columns.urls.push(urls.number(&attempt.url));
        columns.excerpts.push(excerpt(attempt));
    }

    /// How many rows must be found leased to this node.
    pub(crate) fn leased(&self) -> u64 {
        self.released.len() as u64
    }

    /// Adds the parts that store this batch. `found_leases` answers how many rows were found leased.
    pub(crate) fn write<'a>(&'a self, statement: &mut Statement<'a>) {
        if !self.memory_ends.events.is_empty() {
            self.memory_ends.write_from_memory(statement);
        }
        if !self.queue_ends.events.is_empty() {
            self.queue_ends.write_from_queue(statement);
            self.ordered_ends.write(statement);
        }
        if !self.memory_waits.events.is_empty() {
            self.memory_waits.write_from_memory(statement);
        }
        if !self.queue_waits.events.is_empty() {
            self.queue_waits.write_from_queue(statement);
        }
        if !self.attempts.events.is_empty() {
            self.attempts.write(statement);
        }
        if !self.stats.endpoints.is_empty() {
            let stats = &self.stats;
            statement.part(
                "st AS (INSERT INTO hookfast.stats_log (endpoint, hour, success, fail, cancelled)
                   SELECT s.* FROM me, unnest(@, @, @, @, @) AS s)",
                &[
                    (&stats.endpoints, Type::INT8_ARRAY),
                    (&stats.hours, Type::INT4_ARRAY),
                    (&stats.success, Type::INT4_ARRAY),
                    (&stats.fail, Type::INT4_ARRAY),
                    (&stats.cancelled, Type::INT4_ARRAY),
                ],
            );
        }
    }

    /// What counts the leased rows that were found.
    pub(crate) fn found_leases(&self) -> &'static str {
        match (self.queue_ends.events.is_empty(), self.queue_waits.events.is_empty()) {
            (true, true) => "0::int8",
            (false, true) => "(SELECT count(*) FROM qe)",
            (true, false) => "(SELECT count(*) FROM qw)",
            (false, false) => "(SELECT count(*) FROM qe) + (SELECT count(*) FROM qw)",
        }
    }
}

impl EndColumns {
    fn write_from_memory<'a>(&'a self, statement: &mut Statement<'a>) {
        // The first end of a run wins.
        statement.part(
            "d AS (INSERT INTO hookfast.deliveries (event, endpoint, run, retention_days, state, cause, tries, attempt,
               status, duration_ms, manual, url, excerpt)
               SELECT s.* FROM me, unnest(@, @, @, @, @, @, @, @, @, @, @, @, @) AS s ON CONFLICT DO NOTHING)",
            &[
                (&self.events, Type::UUID_ARRAY),
                (&self.endpoints, Type::INT8_ARRAY),
                (&self.runs, Type::INT4_ARRAY),
                (&self.days_kept, Type::INT2_ARRAY),
                (&self.states, Type::INT2_ARRAY),
                (&self.causes, Type::INT2_ARRAY),
                (&self.tries, Type::INT4_ARRAY),
                (&self.attempts, Type::UUID_ARRAY),
                (&self.statuses, Type::INT2_ARRAY),
                (&self.durations_ms, Type::INT4_ARRAY),
                (&self.manual, Type::BOOL_ARRAY),
                (&self.urls, Type::INT8_ARRAY),
                (&self.excerpts, Type::BYTEA_ARRAY),
            ],
        );
    }

    fn write_from_queue<'a>(&'a self, statement: &mut Statement<'a>) {
        statement.part(
            &format!(
                "qs AS MATERIALIZED (SELECT s.*, q.place FROM me, unnest(@, @, @, @, @, @, @, @, @)
               AS s(event, endpoint, run, days, state, cause, tries, attempt, lease_no) CROSS JOIN LATERAL {PLACE}),
             qe AS (DELETE FROM hookfast.queue q WHERE q.ctid = ANY (ARRAY(SELECT place FROM qs))
               RETURNING q.event, q.endpoint, q.run, q.retention_days, q.order_key, q.order_no),
             qd AS (INSERT INTO hookfast.deliveries (event, endpoint, run, retention_days, state, cause, tries, attempt)
               SELECT s.event, s.endpoint, s.run, s.days, s.state, s.cause, s.tries, s.attempt
               FROM qs s JOIN qe USING (event, endpoint, run) ON CONFLICT DO NOTHING)"
            ),
            &[
                (&self.events, Type::UUID_ARRAY),
                (&self.endpoints, Type::INT8_ARRAY),
                (&self.runs, Type::INT4_ARRAY),
                (&self.days_kept, Type::INT2_ARRAY),
                (&self.states, Type::INT2_ARRAY),
                (&self.causes, Type::INT2_ARRAY),
                (&self.tries, Type::INT4_ARRAY),
                (&self.attempts, Type::UUID_ARRAY),
                (&self.lease_nos, Type::INT8_ARRAY),
            ],
        );
    }
}

impl WaitColumns {
    fn write_from_memory<'a>(&'a self, statement: &mut Statement<'a>) {
        // Written a second time, after an unknown commit, it must not bring back what has ended meanwhile.
        statement.part(
            "qi AS (INSERT INTO hookfast.queue (event, endpoint, run, retention_days, due, tries, crashes, cause, manual)
               SELECT s.*, false FROM me, unnest(@, @, @, @, @, @, @, @)
                 AS s(event, endpoint, run, days, due, tries, crashes, cause)
               WHERE NOT EXISTS (SELECT FROM hookfast.deliveries d WHERE d.event = s.event AND d.endpoint = s.endpoint
                 AND d.run = s.run AND d.retention_days = s.days)
               ON CONFLICT DO NOTHING)",
            &[
                (&self.events, Type::UUID_ARRAY),
                (&self.endpoints, Type::INT8_ARRAY),
                (&self.runs, Type::INT4_ARRAY),
                (&self.days_kept, Type::INT2_ARRAY),
                (&self.dues, Type::INT8_ARRAY),
                (&self.tries, Type::INT4_ARRAY),
                (&self.crashes, Type::INT4_ARRAY),
                (&self.causes, Type::INT2_ARRAY),
            ],
        );
    }

    fn write_from_queue<'a>(&'a self, statement: &mut Statement<'a>) {
        statement.part(
            &format!(
                "qp AS MATERIALIZED (SELECT s.*, q.place FROM me, unnest(@, @, @, @, @, @, @, @)
               AS s(event, endpoint, run, due, tries, crashes, cause, lease_no) CROSS JOIN LATERAL {PLACE}),
             qw AS (UPDATE hookfast.queue q SET due = s.due, tries = s.tries, crashes = s.crashes,
                 cause = coalesce(s.cause, q.cause), lease_owner = NULL
               FROM qp s WHERE q.ctid = s.place RETURNING 1)"
            ),
            &[
                (&self.events, Type::UUID_ARRAY),
                (&self.endpoints, Type::INT8_ARRAY),
                (&self.runs, Type::INT4_ARRAY),
                (&self.dues, Type::INT8_ARRAY),
                (&self.tries, Type::INT4_ARRAY),
                (&self.crashes, Type::INT4_ARRAY),
                (&self.causes, Type::INT2_ARRAY),
                (&self.lease_nos, Type::INT8_ARRAY),
            ],
        );
    }
}

impl AttemptColumns {
    fn write<'a>(&'a self, statement: &mut Statement<'a>) {
        statement.part(
            "a AS (INSERT INTO hookfast.attempts (event, endpoint, id, retention_days, run, number, cause, status,
               duration_ms, manual, url, excerpt)
               SELECT s.* FROM me, unnest(@, @, @, @, @, @, @, @, @, @, @, @) AS s ON CONFLICT DO NOTHING)",
            &[
                (&self.events, Type::UUID_ARRAY),
                (&self.endpoints, Type::INT8_ARRAY),
                (&self.ids, Type::UUID_ARRAY),
                (&self.days_kept, Type::INT2_ARRAY),
                (&self.runs, Type::INT4_ARRAY),
                (&self.numbers, Type::INT4_ARRAY),
                (&self.causes, Type::INT2_ARRAY),
                (&self.statuses, Type::INT2_ARRAY),
                (&self.durations_ms, Type::INT4_ARRAY),
                (&self.manual, Type::BOOL_ARRAY),
                (&self.urls, Type::INT8_ARRAY),
                (&self.excerpts, Type::BYTEA_ARRAY),
            ],
        );
    }
}
