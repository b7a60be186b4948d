//! The statements of the hot path, prepared once for the life of the writer.

use crate::Result;
use crate::sqlite::dedupe;
use rusqlite::{Connection, Statement};

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $sql:expr;)*) => {
        /// Prepared statements of the one writing connection.
        pub(crate) struct Hot<'c> {
            $($(#[$doc])* pub(crate) $name: Statement<'c>,)*
        }

        impl<'c> Hot<'c> {
            pub(crate) fn prepare(conn: &'c Connection) -> Result<Self> {
                Ok(Self { $($name: conn.prepare($sql)?,)* })
            }
        }
    };
}

statements! {
    begin: "BEGIN IMMEDIATE";
    commit: "COMMIT";
    rollback: "ROLLBACK";
    incarnation: "SELECT value FROM meta WHERE key = 'incarnation'";
    event_insert: "INSERT INTO events (id, low, app, incarnation, retention_days, event_type, uid, body_hash, channels,
        ordering_key, content_type, routed, body, key_hash, key_body, source, accepted_by)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    event_outgoing: "SELECT low, event_type, content_type, body, retention_days FROM events WHERE id = ?1";
    dedupe_find: dedupe::FIND;
    dedupe_insert: dedupe::INSERT;
    handoff_insert: "INSERT INTO handoff (no, events) VALUES (?1, ?2)";
    handoff_delete: "DELETE FROM handoff WHERE no = ?1";
    /// A row that exists already is one that an earlier, lost attempt to write this batch left behind.
    queue_insert: "INSERT OR REPLACE INTO queue (event, endpoint, run, due, tries, crashes, cause, manual)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    queue_update: "UPDATE queue SET due = ?1, tries = ?2, crashes = ?3, cause = coalesce(?4, cause)
        WHERE event = ?5 AND endpoint = ?6 AND run = ?7";
    /// Answers the place in the order of its key that the row had.
    queue_delete: "DELETE FROM queue WHERE event = ?1 AND endpoint = ?2 AND run = ?3 RETURNING order_key, order_no";
    /// Those that are parked behind the first of their key are not looked at, however many they are.
    queue_by_due: "SELECT event, run, due, tries, crashes, manual FROM queue
        WHERE endpoint = ?1 AND due < 9223372036854775807 ORDER BY due";
    queue_insert_ordered: "INSERT OR REPLACE INTO queue (event, endpoint, run, due, tries, crashes, manual, order_key,
        order_no) VALUES (?1, ?2, 0, ?3, 0, 0, 0, ?4, ?5)";
    /// The first end of a run wins.
    delivery_insert: "INSERT OR IGNORE INTO deliveries (event, endpoint, run, state, cause, tries, attempt,
        attempt_low, status, duration_ms, manual, url, excerpt)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    attempt_insert: "INSERT OR IGNORE INTO attempts (event, endpoint, id, low, run, number, cause, status,
        duration_ms, manual, url, excerpt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    stats_add: "INSERT INTO stats (endpoint, hour, success, fail, cancelled) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (endpoint, hour) DO UPDATE SET success = success + excluded.success, fail = fail + excluded.fail,
        cancelled = cancelled + excluded.cancelled";
}
