//! The PostgreSQL server and the database that the store is in: is what was promised safe there, is there room to work, does
//! anything hold it up? Knows what was read, not how.

use super::directory::size;
use super::finding::Finding;
use crate::build::COMMAND;
use crate::config::show_ms;
use hookfast_store::postgres::{Connections, Inspection, Rights, Standbys};

/// Clocks of node and server that differ by more make deliveries noticeably late or early.
const CLOCKS_MS_GOOD: u64 = 1_000;
/// Receivers refuse signatures that are off by this.
const CLOCKS_MS_MAX: u64 = 300_000;
/// A transaction that is open for longer is no work of ours.
const TRANSACTION_MS_GOOD: u64 = 300_000;
/// Partitions are made seven days ahead.
const DAYS_GOOD: i64 = 3;
/// More dead rows than this make claiming slower.
const DEAD_ROWS_GOOD: u64 = 500_000;
/// Nodes that are named.
const NODES_NAMED: usize = 4;

/// What it comes to, one thing after the other.
pub(super) fn findings(seen: &Inspection) -> Vec<Finding> {
    let mut findings = vec![server(seen), durability(seen)];
    findings.extend(replication(seen));
    findings.extend([
        rights(&seen.rights),
        connections(seen.connections),
        clocks(seen.clock_ahead_ms, seen.round_trip_ms),
        transactions(seen),
        vacuum(seen),
    ]);
    findings.extend(seen.days_made.map(partitions));
    findings.push(nodes(&seen.nodes));
    findings
}

fn server(seen: &Inspection) -> Finding {
    let found = format!("PostgreSQL {}, the database has {}", seen.version, size(seen.disk_bytes));
    match &seen.refused {
        None => Finding::ok("server", found),
        Some(why) => Finding::fail("server", format!("{found}: {why}"), "no node starts on it as it is"),
    }
}

/// Does a commit that was answered survive a power cut?
fn durability(seen: &Inspection) -> Finding {
    let word = |is_on| if is_on { "on" } else { "off" };
    let found = format!(
        "fsync {}, full_page_writes {}, synchronous_commit {}",
        word(seen.fsync),
        word(seen.full_page_writes),
        seen.synchronous_commit
    );
    let lost = match () {
        () if !seen.fsync => "A POWER CUT LOSES ACCEPTED EVENTS, or the whole database: set fsync = on",
        () if !seen.full_page_writes => "A POWER CUT MAY DAMAGE THE DATABASE: set full_page_writes = on",
        () if seen.synchronous_commit == "off" => {
            "A POWER CUT LOSES ACCEPTED EVENTS: ALTER ROLE … SET synchronous_commit = on"
        }
        () => return Finding::ok("durability", found),
    };
    Finding::warn("durability", found, lost)
}

/// Servers that commits wait for, where there are to be any.
fn replication(seen: &Inspection) -> Option<Finding> {
    let Standbys { names, in_sync } = &seen.standbys;
    if names.trim().is_empty() {
        return None;
    }
    let found = format!("synchronous_standby_names is {names}");
    if matches!(seen.synchronous_commit.as_str(), "local" | "off") {
        let advice = "events that were accepted are lost with the primary: ALTER ROLE … SET synchronous_commit = on";
        let found = format!("{found}, but synchronous_commit is {}", seen.synchronous_commit);
        return Some(Finding::warn("replication", found, advice));
    }
    if !seen.sees_others {
        return Some(Finding::ok("replication", format!("{found}; how they stand {UNSEEN}")));
    }
    let wanted = standbys_wanted(names);
    let found = format!("{found}: {in_sync} in step, {wanted} wanted");
    if *in_sync >= wanted {
        return Some(Finding::ok("replication", found));
    }
    Some(Finding::fail("replication", found, "every commit waits: start the standby, or take it off the list"))
}

const UNSEEN: &str = "is not shown to this user: GRANT pg_read_all_stats";

/// How many standbys a commit waits for: `2` in `FIRST 2 (a, b, c)`, one where no number stands before a bracket.
fn standbys_wanted(names: &str) -> u64 {
    let Some((before, _)) = names.split_once('(') else { return 1 };
    before.split_whitespace().last().and_then(|number| number.parse().ok()).unwrap_or(1)
}

fn rights(rights: &Rights) -> Finding {
    let Rights { has_schema, creates_schema, creates_tables, denied, of_others } = *rights;
    let owner = "run `hookfast migrate up` and the nodes as the role that owns the tables";
    match () {
        () if !has_schema && creates_schema => Finding::ok("rights", "this user may make the schema `hookfast`"),
        () if !has_schema => {
            let found = "there is no schema `hookfast`, and this user may not make it";
            Finding::fail("rights", found, "GRANT CREATE ON DATABASE … TO …, or let an owner run `hookfast migrate up`")
        }
        () if denied > 0 => {
            Finding::fail("rights", format!("this user may not read and write {denied} tables of `hookfast`"), owner)
        }
        () if of_others > 0 || !creates_tables => {
            let found = format!("{of_others} tables of `hookfast` belong to another role");
            Finding::warn("rights", format!("{found}: this user can neither migrate nor make partitions"), owner)
        }
        () => Finding::ok("rights", "this user owns what is in the schema `hookfast`"),
    }
}

fn connections(Connections { max, free, per_node }: Connections) -> Finding {
    let found = format!("{free} of {max} are free, a node takes up to {per_node}");
    if free >= per_node {
        return Finding::ok("connections", found);
    }
    Finding::warn("connections", found, "raise max_connections, lower store.connections_max, or end other clients")
}

fn clocks(ahead_ms: i64, round_trip_ms: u64) -> Finding {
    let off_ms = ahead_ms.unsigned_abs();
    let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let found = format!("{off_ms} ms {way} this machine's, asked for in {round_trip_ms} ms");
    match off_ms.saturating_sub(round_trip_ms) {
        off if off <= CLOCKS_MS_GOOD => Finding::ok("server clock", found),
        off if off <= CLOCKS_MS_MAX => {
            Finding::warn("server clock", found, "set both by NTP: what is due comes early or late")
        }
        _ => Finding::fail("server clock", found, "set both by NTP: receivers refuse signatures of the wrong time"),
    }
}

fn transactions(seen: &Inspection) -> Finding {
    let unseen =
        if seen.sees_others { String::new() } else { format!("; those of other users: what they do {UNSEEN}") };
    let Some(oldest) = &seen.oldest else {
        return Finding::ok("transactions", format!("none is open{unseen}"));
    };
    let unit_ms = if oldest.age_ms < 120_000 { 1_000 } else { 60_000 };
    let age = show_ms(oldest.age_ms / unit_ms * unit_ms);
    let found = format!("the oldest has been open for {age} (process {}, {:?}){unseen}", oldest.pid, oldest.whose);
    if oldest.age_ms <= TRANSACTION_MS_GOOD {
        return Finding::ok("transactions", found);
    }
    let advice = format!("dead rows pile up until it ends: SELECT pg_terminate_backend({})", oldest.pid);
    Finding::warn("transactions", found, advice)
}

fn vacuum(seen: &Inspection) -> Finding {
    let dead = seen.queue_dead_rows;
    let found = format!("autovacuum is on, the queue has {dead} dead rows");
    match () {
        () if !seen.autovacuum => {
            let found = format!("autovacuum does not run, the queue has {dead} dead rows");
            Finding::fail("vacuum", found, "the queue grows slower for ever: set autovacuum = on and track_counts = on")
        }
        () if !seen.not_vacuumed.is_empty() => {
            let tables = seen.not_vacuumed.join(", ");
            let advice = "ALTER TABLE hookfast.… RESET (autovacuum_enabled)";
            Finding::warn("vacuum", format!("it is turned off for {tables}"), advice)
        }
        () if dead > DEAD_ROWS_GOOD => Finding::warn(
            "vacuum",
            found,
            "end old transactions and drop old replication slots, then VACUUM hookfast.queue",
        ),
        () => Finding::ok("vacuum", found),
    }
}

fn partitions(days: i64) -> Finding {
    let advice = "start a node with the role `maintenance` that owns the tables";
    match days {
        ..1 => Finding::fail("partitions", "there is none for today: rows fall into the default ones", advice),
        1..DAYS_GOOD => Finding::warn("partitions", format!("made for {days} days only, today's among them"), advice),
        _ => Finding::ok("partitions", format!("made for {days} days, today's among them")),
    }
}

fn nodes(nodes: &[(String, String)]) -> Finding {
    let servers: Vec<_> = nodes.iter().filter(|(name, _)| !name.starts_with(COMMAND)).collect();
    let mut named: Vec<String> = servers.iter().take(NODES_NAMED).map(|(name, of)| format!("{name} ({of})")).collect();
    if servers.len() > NODES_NAMED {
        named.push("…".to_owned());
    }
    match servers.len() {
        0 => Finding::ok("nodes", "none is alive"),
        count => Finding::ok("nodes", format!("{count} alive: {}", named.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use hookfast_store::postgres::OpenTransaction;

    /// A server as it should be.
    fn good() -> Inspection {
        Inspection {
            version: "17.2".into(),
            refused: None,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".into(),
            standbys: Standbys { names: String::new(), in_sync: 0 },
            rights: Rights { has_schema: true, creates_schema: true, creates_tables: true, denied: 0, of_others: 0 },
            connections: Connections { max: 97, free: 90, per_node: 21 },
            clock_ahead_ms: -3,
            round_trip_ms: 1,
            oldest: None,
            sees_others: true,
            autovacuum: true,
            not_vacuumed: Vec::new(),
            queue_dead_rows: 0,
            days_made: Some(8),
            disk_bytes: 12 << 20,
            nodes: vec![("a".into(), "0.1.0".into()), (format!("{COMMAND}x"), "0.1.0".into())],
        }
    }

    /// What differs from a good server in one way: the only finding that is not ok.
    fn trouble(change: impl FnOnce(&mut Inspection)) -> (Level, &'static str, String) {
        let mut seen = good();
        change(&mut seen);
        let mut bad: Vec<Finding> = findings(&seen).into_iter().filter(|one| one.level != Level::Ok).collect();
        assert_eq!(bad.len(), 1, "{bad:?}");
        let bad = bad.remove(0);
        assert!(!bad.advice.is_empty(), "{bad:?}");
        (bad.level, bad.check, bad.found)
    }

    #[test]
    fn a_good_server_is_all_right_and_shown_shortly() {
        let lines: Vec<String> = findings(&good()).iter().map(|one| one.line(false)).collect();
        assert!(lines.iter().all(|line| line.starts_with("ok    ") && line.len() < 120), "{lines:#?}");
        assert!(lines[0].ends_with("PostgreSQL 17.2, the database has 12 MiB"));
        assert!(lines.last().is_some_and(|line| line.ends_with("1 alive: a (0.1.0)")), "{lines:#?}");
    }

    #[test]
    fn each_trouble_is_found_by_itself() {
        let old = |age_ms| OpenTransaction { pid: 7, whose: "bob, psql".into(), age_ms };
        let level_of = |found: (Level, &'static str, String)| (found.0, found.1);
        use Level::{Fail, Warn};
        assert_eq!(level_of(trouble(|seen| seen.refused = Some("too old".into()))), (Fail, "server"));
        assert_eq!(level_of(trouble(|seen| seen.fsync = false)), (Warn, "durability"));
        assert_eq!(level_of(trouble(|seen| seen.full_page_writes = false)), (Warn, "durability"));
        assert_eq!(level_of(trouble(|seen| seen.rights.denied = 1)), (Fail, "rights"));
        assert_eq!(level_of(trouble(|seen| seen.rights.of_others = 1)), (Warn, "rights"));
        assert_eq!(level_of(trouble(|seen| seen.connections.free = 20)), (Warn, "connections"));
        assert_eq!(level_of(trouble(|seen| seen.clock_ahead_ms = -1_002)), (Warn, "server clock"));
        assert_eq!(level_of(trouble(|seen| seen.clock_ahead_ms = 300_002)), (Fail, "server clock"));
        assert_eq!(level_of(trouble(|seen| seen.autovacuum = false)), (Fail, "vacuum"));
        assert_eq!(level_of(trouble(|seen| seen.not_vacuumed = vec!["queue".into()])), (Warn, "vacuum"));
        assert_eq!(level_of(trouble(|seen| seen.queue_dead_rows = 1_000_000)), (Warn, "vacuum"));
        assert_eq!(level_of(trouble(|seen| seen.days_made = Some(2))), (Warn, "partitions"));
        assert_eq!(level_of(trouble(|seen| seen.days_made = Some(0))), (Fail, "partitions"));
        let (level, check, found) = trouble(|seen| seen.oldest = Some(old(1_800_999)));
        assert_eq!((level, check), (Warn, "transactions"));
        assert!(found.contains("open for 30m (process 7, \"bob, psql\")"), "{found}");
        let mut seen = good();
        seen.oldest = Some(old(2_000));
        assert_eq!(transactions(&seen).level, Level::Ok);
    }

    #[test]
    fn standbys_are_counted_as_commits_wait_for_them() {
        for (names, wanted) in [("a", 1), ("*", 1), ("2 (a, b)", 2), ("ANY 3 (a,b,c)", 3), ("FIRST 1 (a)", 1)] {
            assert_eq!(standbys_wanted(names), wanted, "{names}");
        }
        let with = |names: &'static str, in_sync| {
            move |seen: &mut Inspection| seen.standbys = Standbys { names: names.to_owned(), in_sync }
        };
        assert_eq!(trouble(with("ANY 2 (a, b)", 1)).0, Level::Fail);
        let local = |seen: &mut Inspection| {
            with("a", 1)(seen);
            seen.synchronous_commit = "local".into();
        };
        assert_eq!(trouble(local).0, Level::Warn);
        let mut seen = good();
        with("a", 1)(&mut seen);
        assert_eq!(replication(&seen).map(|one| one.level), Some(Level::Ok));
    }
}
