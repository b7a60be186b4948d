//! The tables that history is divided into: by retention class, then by days. Made ahead; what finds none of its own
//! falls into the class's default table, which is an alarm. Must not know what the rows mean.

use super::db::Run;
use super::wire::Uuid;
use crate::Result;
use hookfast_core::{EventId, UnixMs};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use tokio_postgres::types::Type;

/// What is divided by the event's id.
pub(crate) const HISTORY: [&str; 3] = ["events", "deliveries", "attempts"];
/// Tables are made so many days ahead at least.
const AHEAD_DAYS: i64 = 7;
const DAY_MS: i64 = 86_400_000;

/// How many days one table of a class holds: a tenth of what it is kept, at most a week.
pub(crate) fn width_days(class_days: u16) -> i64 {
    (i64::from(class_days) / 10).clamp(1, 7)
}

/// The day a time belongs to.
pub(crate) fn day(time: UnixMs) -> i64 {
    time.0.div_euclid(DAY_MS)
}

/// The lowest id of a day.
pub(crate) fn lowest_of_day(day: i64) -> Uuid {
    EventId::lowest_at(UnixMs(day.saturating_mul(DAY_MS))).into()
}

fn first_days(class: u16, now: UnixMs) -> impl Iterator<Item = i64> {
    let (width, today) = (width_days(class), day(now));
    // Yesterday's too: events of a node whose clock is late.
    let first = (today - 1).div_euclid(width) * width;
    (0..).map(move |n| first + n * width).take_while(move |start| *start <= today + AHEAD_DAYS)
}

/// The name of the table that begins with a day.
pub(crate) fn name(table: &str, class: u16, first_day: i64) -> String {
    format!("{table}_{class}_{first_day}")
}

/// Tables below `parent`, by name.
pub(crate) async fn children(run: &impl Run, parent: &str) -> Result<HashSet<String>> {
    let sql = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = to_regclass($1)";
    let parent = format!("hookfast.{parent}");
    let rows = run.rows(sql, &[(&parent, Type::TEXT)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// What is missing below one table.
pub(crate) struct Missing {
    /// The statements that make it, each ending with `;` and a new line.
    pub(crate) sql: String,
    /// How many tables that is.
    pub(crate) tables: u64,
}

/// What is missing for the days to come, apart for each table that is divided: who makes them one by one never holds the
/// lock of one while waiting for another's.
pub(crate) async fn missing(run: &impl Run, classes: &[u16], now: UnixMs) -> Result<Vec<Missing>> {
    let mut missing = Vec::new();
    for table in HISTORY {
        let parents = children(run, table).await?;
        for class in classes {
            let there = children(run, &format!("{table}_{class}")).await?;
            missing.push(missing_history(table, *class, first_days(*class, now), &parents, &there));
        }
    }
    missing.push(missing_dedupe(first_days(1, now), &children(run, "dedupe").await?));
    missing.retain(|one| one.tables > 0);
    Ok(missing)
}

/// What is missing for rows of these days, each with its class, and for caller keys of those.
pub(crate) async fn missing_for(run: &impl Run, days: &[(u16, i64)], key_days: &[i64]) -> Result<Vec<Missing>> {
    let mut firsts: BTreeMap<u16, BTreeSet<i64>> = BTreeMap::new();
    for (class, day) in days {
        let width = width_days(*class);
        firsts.entry(*class).or_default().insert(day.div_euclid(width) * width);
    }
    let mut missing = Vec::new();
    for table in HISTORY {
        let parents = children(run, table).await?;
        for (class, firsts) in &firsts {
            let there = children(run, &format!("{table}_{class}")).await?;
            missing.push(missing_history(table, *class, firsts.iter().copied(), &parents, &there));
        }
    }
    missing.push(missing_dedupe(key_days.iter().copied(), &children(run, "dedupe").await?));
    missing.retain(|one| one.tables > 0);
    Ok(missing)
}

/// For how many days from today on every row finds its table; 0 when today's do not.
pub(crate) async fn days_made(run: &impl Run, classes: &[u16], now: UnixMs) -> Result<i64> {
    let last = |names: &HashSet<String>, prefix: &str| {
        names.iter().filter_map(|name| name.strip_prefix(prefix)?.parse::<i64>().ok()).max()
    };
    let mut end = last(&children(run, "dedupe").await?, "dedupe_").map_or(0, |last| last + 1);
    for table in HISTORY {
        for class in classes {
            let parent = format!("{table}_{class}");
            let last = last(&children(run, &parent).await?, &format!("{parent}_"));
            end = end.min(last.map_or(0, |last| last + width_days(*class)));
        }
    }
    Ok((end - day(now)).max(0))
}

fn missing_history(
    table: &str,
    class: u16,
    first_days: impl Iterator<Item = i64>,
    parents: &HashSet<String>,
    there: &HashSet<String>,
) -> Missing {
    let (mut sql, mut tables) = (String::new(), 0);
    let parent = format!("{table}_{class}");
    if !parents.contains(&parent) {
        let divided_by = id_column(table);
        let _ = writeln!(
            sql,
            "CREATE TABLE hookfast.{parent} PARTITION OF hookfast.{table} FOR VALUES IN ({class})
               PARTITION BY RANGE ({divided_by});\nCREATE TABLE hookfast.{parent}_rest PARTITION OF hookfast.{parent} DEFAULT;"
        );
        tables += 2;
    }
    for first in first_days {
        let name = name(table, class, first);
        if !there.contains(&name) {
            let (from, to) = (lowest_of_day(first).0, lowest_of_day(first + width_days(class)).0);
            let _ = writeln!(
                sql,
                "CREATE TABLE hookfast.{name} PARTITION OF hookfast.{parent}
                   FOR VALUES FROM ('{from:032x}') TO ('{to:032x}')
                   WITH (autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.5);"
            );
            tables += 1;
        }
    }
    Missing { sql, tables }
}

fn missing_dedupe(days: impl Iterator<Item = i64>, there: &HashSet<String>) -> Missing {
    let (mut sql, mut tables) = (String::new(), 0);
    for day in days.filter(|day| !there.contains(&format!("dedupe_{day}"))) {
        let next = day + 1;
        let _ = writeln!(
            sql,
            "CREATE TABLE hookfast.dedupe_{day} PARTITION OF hookfast.dedupe FOR VALUES FROM ({day}) TO ({next});"
        );
        tables += 1;
    }
    if !there.contains("dedupe_rest") {
        sql.push_str("CREATE TABLE hookfast.dedupe_rest PARTITION OF hookfast.dedupe DEFAULT;\n");
        tables += 1;
    }
    Missing { sql, tables }
}

/// The column of the event's id in a table of [`HISTORY`].
pub(crate) fn id_column(table: &str) -> &'static str {
    if table == "events" { "id" } else { "event" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_reach_a_week_ahead_without_gaps() {
        for class in [1, 7, 30, 90, 400] {
            let days: Vec<i64> = first_days(class, UnixMs(1_767_609_000_000)).collect();
            let today = day(UnixMs(1_767_609_000_000));
            assert!(days[0] < today && days.last().unwrap() + width_days(class) > today + AHEAD_DAYS, "{class}");
            assert!(days.windows(2).all(|pair| pair[1] - pair[0] == width_days(class)));
        }
    }
}
