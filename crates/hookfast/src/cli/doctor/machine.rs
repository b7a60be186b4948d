//! The machine: its clock, its limits, the port.

use super::directory::State;
use super::finding::Finding;
use crate::clock::SystemClock;
use crate::config::Config;
use hookfast_core::{Clock as _, UnixMs};
use hookfast_store::sqlite::Inspection;
use rustix::process::{Resource, getrlimit};
use std::net::TcpListener;

/// Files that a server has open besides connections: store, log, sockets.
const FILES_BESIDES: u64 = 256;
/// A clock that is behind the store by less is put down to another one's drift.
const BEHIND_MS: u64 = 5_000;

fn shown(time: UnixMs) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| format!("{} ms", time.0), |time| format!("{time:.0}"))
}

/// The clock against what was accepted last: no other clock is needed to see one that went back.
pub(super) fn clock(seen: Option<&Inspection>) -> Finding {
    let now = SystemClock::start().wall();
    clock_at(now, seen.and_then(|seen| seen.newest_event))
}

fn clock_at(now: UnixMs, newest: Option<UnixMs>) -> Finding {
    let Some(newest) = newest else {
        return Finding::ok("clock", format!("{}; there is no event to compare it with", shown(now)));
    };
    let behind = newest.since(now);
    if behind <= BEHIND_MS {
        return Finding::ok("clock", format!("{}, the newest event is of {}", shown(now), shown(newest)));
    }
    let found = format!("{} is {} s before the newest event ({})", shown(now), behind / 1000, shown(newest));
    Finding::fail("clock", found, "set the clock: receivers refuse signatures of the wrong time")
}

/// Is there a file for every connection that the settings allow?
pub(super) fn open_files(connections_max: usize, in_flight_max: usize) -> Finding {
    let limit = getrlimit(Resource::Nofile);
    files_within(limit.current, limit.maximum, (connections_max + in_flight_max) as u64 + FILES_BESIDES)
}

fn files_within(soft: Option<u64>, hard: Option<u64>, wanted: u64) -> Finding {
    let shown = |limit: Option<u64>| limit.map_or_else(|| "no limit".into(), |limit| limit.to_string());
    let found = format!(
        "{} may be open; server.connections_max and delivery.in_flight_max together want {wanted}",
        shown(soft)
    );
    if soft.is_none_or(|soft| soft >= wanted) {
        return Finding::ok("open files", found);
    }
    let advice = if hard.is_none_or(|hard| hard >= wanted) {
        format!("`ulimit -n {wanted}` before the start (systemd: LimitNOFILE={wanted}), or lower these")
    } else {
        format!("the hard limit is {}: lower these, or raise it (systemd: LimitNOFILE={wanted})", shown(hard))
    };
    Finding::warn("open files", found, advice)
}

/// Is the port free, or held by the server that is meant?
pub(super) fn listen(config: &Config, state: &State) -> Finding {
    let addr = config.server.listen;
    let error = match TcpListener::bind(addr) {
        Ok(_) => return Finding::ok("port", format!("{addr} is free")),
        Err(error) => error,
    };
    let holder = match state {
        State::Usable { holder } => holder.as_ref(),
        _ => None,
    };
    let written = std::fs::read_to_string(config.server.data_dir.join("listen.addr")).unwrap_or_default();
    match (error.kind(), holder) {
        (std::io::ErrorKind::AddrInUse, Some(holder)) if written.trim() == addr.to_string() => {
            let who = holder.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
            Finding::ok("port", format!("{addr} is held by the server of this data directory{who}"))
        }
        (std::io::ErrorKind::AddrInUse, _) => Finding::fail(
            "port",
            format!("{addr} is held by another program, or by the server of another data directory"),
            "stop what listens there, or name another address with --listen",
        ),
        _ => Finding::fail("port", format!("cannot listen on {addr}: {error}"), "name another address with --listen"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_that_went_back_fails() {
        let newest = Some(UnixMs(1_700_000_060_000));
        assert_eq!(clock_at(UnixMs(1_700_000_070_000), newest).level, Level::Ok);
        assert_eq!(clock_at(UnixMs(1_700_000_056_000), newest).level, Level::Ok);
        let back = clock_at(UnixMs(1_700_000_000_000), newest);
        assert_eq!(back.level, Level::Fail);
        assert_eq!(back.found, "2023-11-14T22:13:20Z is 60 s before the newest event (2023-11-14T22:14:20Z)");
    }

    #[test]
    fn too_few_files_say_which_limit_to_raise() {
        assert_eq!(files_within(None, None, 10).level, Level::Ok);
        assert_eq!(files_within(Some(10), Some(10), 10).level, Level::Ok);
        let soft = files_within(Some(9), Some(10), 10);
        assert_eq!((soft.level, soft.advice.contains("ulimit -n 10")), (Level::Warn, true));
        assert!(files_within(Some(9), Some(9), 10).advice.starts_with("the hard limit is 9"));
    }
}
