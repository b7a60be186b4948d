//! The body of a background task.

use crate::api::Text;
use crate::time::Time;
use hookfast_core::TaskId;
use hookfast_core::ports::{Task, TaskKind, TaskStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// How far a task came, in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskData {
    /// Deliveries it has queued so far.
    queued: u64,
}

/// A background task.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BackgroundTaskOut)]
pub(crate) struct TaskOut {
    /// Its id.
    #[schema(value_type = String)]
    id: Text<TaskId>,
    /// `running`, `finished` or `failed`.
    status: &'static str,
    /// What it does: `endpoint.recover`.
    task: &'static str,
    /// How far it came.
    data: TaskData,
    /// When that was.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Time,
}

impl From<&Task> for TaskOut {
    fn from(task: &Task) -> Self {
        Self {
            id: Text(task.id),
            status: match task.status {
                TaskStatus::Running => "running",
                TaskStatus::Finished => "finished",
                TaskStatus::Failed => "failed",
            },
            task: match task.kind {
                TaskKind::Recover => "endpoint.recover",
            },
            data: TaskData { queued: task.queued },
            updated_at: Time(task.updated_at),
        }
    }
}
