//! What is remembered of the health of endpoints. Must not know how it is judged.

use super::{Edit, change, lock_app};
use crate::Result;
use crate::postgres::Shared;
use crate::postgres::changes::Change;
use crate::postgres::db::Run as _;
use crate::postgres::wire::Uuid;
use hookfast_core::model::Disabled;
use hookfast_core::ports::HealthMark;
use hookfast_core::{AppId, EndpointId, ErrorKind, UnixMs};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_postgres::types::Type;

/// While the server is away marks are tried again so often.
const AGAIN: Duration = Duration::from_millis(500);

/// Changes of health that wait to be stored, in their order. The engine marks an endpoint when its health turns, not at
/// each try, so they are few.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    waiting: Mutex<VecDeque<HealthMark>>,
    more: Notify,
}

impl Marks {
    pub(crate) fn add(&self, marks: Vec<HealthMark>) {
        self.lock().extend(marks);
        self.more.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<HealthMark>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores marks until the store is closed, and then those that are left, if the server answers.
pub(crate) async fn store_marks(shared: Arc<Shared>) {
    loop {
        let next = shared.marks.lock().front().copied();
        let is_closing = shared.stop.is_cancelled();
        let Some(mark) = next else {
            if is_closing {
                return;
            }
            tokio::select! {
                () = shared.stop.cancelled() => {}
                () = shared.marks.more.notified() => {}
            }
            continue;
        };
        match store(&shared, mark).await {
            Err(error) if error.kind() == ErrorKind::Retryable && !is_closing => {
                tracing::debug!(%error, "a change of endpoint health waits");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => tracing::warn!(%error, "a change of endpoint health could not be stored"),
            Ok(()) => {}
        }
        shared.marks.lock().pop_front();
    }
}

async fn store(shared: &Shared, mark: HealthMark) -> Result<()> {
    match mark {
        HealthMark::FailingSince(id, at) => failing(shared, id, at).await,
        HealthMark::Recovered(id) => change(shared, move |edit| Box::pin(recovered(edit, id))).await,
        HealthMark::Disable(id, reason) => change(shared, move |edit| Box::pin(disable(edit, id, reason))).await,
    }
}

/// The earliest of all nodes counts. Told to nobody: routing is the same, and the others find out by themselves.
async fn failing(shared: &Shared, id: EndpointId, at: UnixMs) -> Result<()> {
    let sql = "UPDATE hookfast.endpoints SET failing_since = $2
               WHERE id = $1 AND deleted_at IS NULL AND (failing_since IS NULL OR failing_since > $2)";
    let session = shared.db.session().await?;
    session.change(sql, &[(&Uuid::from(id), Type::UUID), (&at.0, Type::INT8)]).await?;
    Ok(())
}

/// Every node must hear of it: one that still believed in an old failure would disable the endpoint at its next.
async fn recovered(edit: &mut Edit<'_>, id: EndpointId) -> Result<()> {
    let Some(app) = locked_app_of(edit, id).await? else { return Ok(()) };
    let sql = "UPDATE hookfast.endpoints SET failing_since = NULL
               WHERE id = $1 AND deleted_at IS NULL AND failing_since IS NOT NULL";
    if edit.tx.change(sql, &[(&Uuid::from(id), Type::UUID)]).await? > 0 {
        edit.changes.push(Change::Endpoint(app, id));
    }
    Ok(())
}

async fn disable(edit: &mut Edit<'_>, id: EndpointId, reason: Disabled) -> Result<()> {
    let Some(app) = locked_app_of(edit, id).await? else { return Ok(()) };
    let sql = "UPDATE hookfast.endpoints SET disabled = $2
               WHERE id = $1 AND deleted_at IS NULL AND disabled IS NULL";
    if edit.tx.change(sql, &[(&Uuid::from(id), Type::UUID), (&reason.as_str(), Type::TEXT)]).await? > 0 {
        edit.changes.push(Change::Endpoint(app, id));
    }
    Ok(())
}

async fn locked_app_of(edit: &Edit<'_>, id: EndpointId) -> Result<Option<AppId>> {
    let sql = "SELECT a.id FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app WHERE e.id = $1";
    let Some(row) = edit.tx.opt(sql, &[(&Uuid::from(id), Type::UUID)]).await? else { return Ok(None) };
    let app: AppId = row.try_get::<_, Uuid>(0)?.into();
    Ok(lock_app(&edit.tx, app).await?.map(|_| app))
}
