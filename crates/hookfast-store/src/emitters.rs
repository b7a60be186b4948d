//! Emitters as rows have them, whatever the database. Must not know SQL.

use crate::{Error, Result, columns};
use hookfast_core::ports::{EMITTERS_MAX, EmitterProgress, NewEmitter, RunningEmitter};
use hookfast_core::{AppId, EndpointId, Error as PortError, UnixMs};

/// The columns of one, as they were read.
pub(crate) struct EmitterColumns<'r> {
    pub(crate) app: AppId,
    pub(crate) endpoint: EndpointId,
    pub(crate) interval_ns: i64,
    pub(crate) count: Option<i64>,
    pub(crate) event_types: &'r str,
    pub(crate) made: i64,
    pub(crate) skipped_ms: i64,
    pub(crate) unsure: i64,
    pub(crate) started_at: i64,
    pub(crate) is_paused: bool,
}

impl EmitterColumns<'_> {
    pub(crate) fn read(self) -> Result<RunningEmitter> {
        let whole = |number: i64| u64::try_from(number).map_err(|_| Error::Damaged { what: "number" });
        Ok(RunningEmitter {
            spec: NewEmitter {
                app: self.app,
                endpoint: self.endpoint,
                interval_ns: whole(self.interval_ns)?,
                count: self.count.map(whole).transpose()?,
                event_types: columns::from_json(self.event_types, "list of event types")?,
            },
            progress: EmitterProgress {
                made: whole(self.made)?,
                skipped_ms: whole(self.skipped_ms)?,
                unsure: whole(self.unsure)?,
            },
            started_at: UnixMs(self.started_at),
            is_paused: self.is_paused,
        })
    }
}

/// A number as its column has it. What no column can hold is as good as endless.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// May one more start beside so many? `Conflict` when not.
pub(crate) fn check_count(running: i64) -> Result<()> {
    if usize::try_from(running).is_ok_and(|running| running < EMITTERS_MAX) {
        return Ok(());
    }
    let reason = format!("{EMITTERS_MAX} emitters run already, and more must not: stop one first");
    Err(PortError::Conflict { code: "too_many_emitters", reason }.into())
}
