//! Which column of the one schema becomes which of the other, table by table. Numbers of rows stay what they are, since
//! the target is empty at first. Must not know how rows are read or written.

use super::rows::Kind::{self, Big, Bool, Bytes, Halves, Id, Int, Sealed, Small, Text};
use crate::columns::{HEADERS, SECRETS};

/// A column of the target, and what it is read from.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// An expression of the source; two for [`Halves`].
    pub(crate) source: &'static str,
}

const fn same(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, source: name }
}

const fn from(name: &'static str, kind: Kind, source: &'static str) -> Column {
    Column { name, kind, source }
}

/// A table of the target, and where its rows come from.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// What the rows are read from, and which of them.
    pub(crate) from: &'static str,
    pub(crate) filter: &'static str,
    /// What rows are told apart by and read in the order of.
    pub(crate) key: &'static [&'static str],
}

const ALL: &str = "true";

/// Every table, in an order that keeps references. What makes work comes last.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "applications",
        columns: &[
            same("no", Big),
            same("id", Id),
            same("org", Text),
            same("uid", Text),
            same("name", Text),
            same("throttle_rate", Int),
            same("metadata", Text),
            same("retention_days", Small),
            same("created_at", Big),
            same("updated_at", Big),
            same("deleted_at", Big),
        ],
        from: "applications",
        filter: ALL,
        key: &["no"],
    },
    Table {
        name: "endpoints",
        columns: &[
            same("no", Big),
            same("id", Id),
            same("app", Big),
            same("uid", Text),
            same("url", Text),
            same("description", Text),
            same("version", Int),
            same("disabled", Text),
            same("event_types", Text),
            same("channels", Text),
            same("throttle_rate", Int),
            same("metadata", Text),
            same("headers", Sealed(HEADERS)),
            same("secrets", Sealed(SECRETS)),
            same("signing", Small),
            same("retry", Text),
            same("timeout_ms", Int),
            same("failing_since", Big),
            same("ordering_pointer", Text),
            same("on_dead", Text),
            same("created_at", Big),
            same("updated_at", Big),
            same("deleted_at", Big),
        ],
        from: "endpoints",
        filter: ALL,
        key: &["no"],
    },
    Table {
        name: "event_types",
        columns: &[
            same("org", Text),
            same("name", Text),
            same("description", Text),
            same("archived", Bool),
            same("deprecated", Bool),
            same("feature_flags", Text),
            same("group_name", Text),
            same("schemas", Text),
            same("created_at", Big),
            same("updated_at", Big),
        ],
        from: "event_types",
        filter: ALL,
        key: &["org", "name"],
    },
    Table {
        name: "tokens",
        columns: &[
            same("id", Id),
            same("hash", Bytes),
            same("name", Text),
            same("org", Text),
            same("app", Text),
            same("created_at", Big),
            same("expires_at", Big),
            same("revoked_at", Big),
        ],
        from: "tokens",
        filter: ALL,
        key: &["id"],
    },
    Table { name: "urls", columns: &[same("no", Big), same("url", Text)], from: "urls", filter: ALL, key: &["no"] },
    Table {
        name: "events",
        columns: &[
            from("id", Halves, "id, low"),
            same("retention_days", Small),
            same("app", Big),
            // No incarnation of the target made them.
            from("incarnation", Big, "0"),
            same("event_type", Text),
            same("uid", Text),
            same("channels", Text),
            same("ordering_key", Text),
            same("content_type", Text),
            same("routed", Bytes),
            same("body", Bytes),
            same("source", Text),
            same("accepted_by", Text),
        ],
        from: "events",
        filter: ALL,
        key: &["id"],
    },
    Table {
        name: "uids",
        columns: &[
            same("app", Big),
            same("uid", Text),
            from("event", Halves, "id, low"),
            from("body", Bytes, "body_hash"),
        ],
        from: "events",
        filter: "uid IS NOT NULL",
        key: &["app", "uid"],
    },
    Table {
        name: "dedupe",
        columns: &[same("day", Int), same("key", Bytes), same("body", Bytes), same("object", Id)],
        from: "dedupe",
        filter: ALL,
        key: &["day", "key"],
    },
    Table {
        name: "deliveries",
        columns: &[
            from("event", Halves, "d.event, e.low"),
            from("endpoint", Big, "d.endpoint"),
            from("run", Int, "d.run"),
            from("retention_days", Small, "e.retention_days"),
            from("state", Small, "d.state"),
            from("cause", Small, "d.cause"),
            from("tries", Int, "d.tries"),
            // The last attempt's other half is here, in its own row, or nowhere when there was none.
            from("attempt", Halves, "d.attempt, coalesce(d.attempt_low, a.low, 0)"),
            from("status", Small, "d.status"),
            from("duration_ms", Int, "d.duration_ms"),
            from("manual", Bool, "d.manual"),
            from("url", Big, "d.url"),
            from("excerpt", Bytes, "d.excerpt"),
        ],
        from: "deliveries d CROSS JOIN events e ON e.id = d.event
               LEFT JOIN attempts a ON a.event = d.event AND a.endpoint = d.endpoint AND a.id = d.attempt",
        filter: ALL,
        key: &["d.event", "d.endpoint", "d.run"],
    },
    Table {
        name: "attempts",
        columns: &[
            from("event", Halves, "a.event, e.low"),
            from("endpoint", Big, "a.endpoint"),
            from("id", Halves, "a.id, a.low"),
            from("retention_days", Small, "e.retention_days"),
            from("run", Int, "a.run"),
            from("number", Int, "a.number"),
            from("cause", Small, "a.cause"),
            from("status", Small, "a.status"),
            from("duration_ms", Int, "a.duration_ms"),
            from("manual", Bool, "a.manual"),
            from("url", Big, "a.url"),
            from("excerpt", Bytes, "a.excerpt"),
        ],
        from: "attempts a CROSS JOIN events e ON e.id = a.event",
        filter: ALL,
        key: &["a.event", "a.endpoint", "a.id"],
    },
    Table {
        name: "stats",
        columns: &[
            same("endpoint", Big),
            same("hour", Int),
            same("success", Big),
            same("fail", Big),
            same("cancelled", Big),
        ],
        from: "stats",
        filter: ALL,
        key: &["endpoint", "hour"],
    },
    Table {
        name: "tasks",
        columns: &[
            same("id", Id),
            same("kind", Small),
            same("app", Big),
            same("endpoint", Big),
            // Bounds: the lowest ids with these upper halves.
            from("since", Halves, "since, 0"),
            from("until", Halves, "until, 0"),
            from("cursor", Halves, "cursor, 0"),
            same("status", Small),
            same("queued", Big),
            same("updated_at", Big),
        ],
        from: "tasks",
        filter: ALL,
        key: &["id"],
    },
    Table {
        name: "emitters",
        columns: &[
            same("endpoint", Big),
            same("interval_ns", Big),
            same("count", Big),
            same("event_types", Text),
            same("made", Big),
            same("skipped_ms", Big),
            same("unsure", Big),
            same("started_at", Big),
        ],
        from: "emitters",
        filter: ALL,
        key: &["endpoint"],
    },
    Table {
        name: "cancels",
        columns: &[from("endpoint", Big, "c.endpoint"), from("deleted_at", Big, "coalesce(e.deleted_at, 0)")],
        from: "cancels c LEFT JOIN endpoints e ON e.no = c.endpoint",
        filter: ALL,
        key: &["c.endpoint"],
    },
    Table {
        name: "fanout",
        columns: &[from("event", Halves, "f.event, e.low"), from("next", Int, "f.next")],
        from: "fanout f CROSS JOIN events e ON e.id = f.event",
        filter: ALL,
        key: &["f.event"],
    },
    Table {
        name: "ordering",
        columns: &[same("endpoint", Big), from("key", Bytes, "order_key"), same("last_no", Big)],
        from: "(SELECT endpoint, order_key, max(order_no) AS last_no FROM (
                 SELECT endpoint, order_key, order_no FROM queue WHERE order_key IS NOT NULL
                 UNION ALL SELECT endpoint, order_key, order_no FROM blocked) GROUP BY endpoint, order_key)",
        filter: ALL,
        key: &["endpoint", "order_key"],
    },
    Table {
        name: "blocked",
        columns: &[
            from("endpoint", Big, "b.endpoint"),
            from("key", Bytes, "b.order_key"),
            from("event", Halves, "b.event, e.low"),
            from("retention_days", Small, "e.retention_days"),
            from("order_no", Big, "b.order_no"),
        ],
        from: "blocked b CROSS JOIN events e ON e.id = b.event",
        filter: ALL,
        key: &["b.endpoint", "b.order_key"],
    },
    Table {
        name: "queue",
        columns: &[
            from("event", Halves, "q.event, e.low"),
            from("endpoint", Big, "q.endpoint"),
            from("run", Int, "q.run"),
            from("retention_days", Small, "e.retention_days"),
            from("due", Big, "q.due"),
            from("tries", Int, "q.tries"),
            from("crashes", Int, "q.crashes"),
            from("cause", Small, "q.cause"),
            from("manual", Bool, "q.manual"),
            from("order_key", Bytes, "q.order_key"),
            from("order_no", Big, "q.order_no"),
        ],
        from: "queue q CROSS JOIN events e ON e.id = q.event",
        filter: ALL,
        key: &["q.event", "q.endpoint", "q.run"],
    },
];
