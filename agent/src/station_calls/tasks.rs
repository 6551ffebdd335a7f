//! What the service asks of this host once. A task is done once however often it is listed; its result is told until it is not
//! listed any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::station::{Task, TaskResult};
use service::scheduler::worker::{WorkError, Worker};
use tokio::sync::Notify;

/// The tasks of this host.
pub(super) struct Tasks {
    worker: Arc<dyn Worker>,
    /// `None` while it is being done.
    results: Mutex<BTreeMap<String, Option<TaskResult>>>,
    /// Something was done.
    pub(super) changed: Notify,
}

impl Tasks {
    pub(super) fn new(worker: Arc<dyn Worker>) -> Arc<Self> {
        Arc::new(Tasks { worker, results: Mutex::default(), changed: Notify::new() })
    }

    fn results(&self) -> MutexGuard<'_, BTreeMap<String, Option<TaskResult>>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins what is new, and forgets what is not asked for any more.
    pub(super) fn apply(self: &Arc<Self>, listed: BTreeMap<String, Task>) {
        self.results().retain(|id, result| result.is_none() || listed.contains_key(id));
        for (id, task) in listed {
            if self.results().contains_key(&id) {
                continue;
            }
            self.results().insert(id.clone(), None);
            let tasks = self.clone();
            tokio::spawn(async move {
                let result = match carry_out(&*tasks.worker, task).await {
                    Ok(result) => result,
                    Err(WorkError::Refused(message)) => TaskResult::Refused { message },
                    Err(WorkError::Failed(message)) => TaskResult::Failed { message },
                };
                tasks.results().insert(id, Some(result));
                tasks.changed.notify_one();
            });
        }
    }

    /// What was done.
    pub(super) fn report(&self) -> BTreeMap<String, TaskResult> {
        self.results().iter().filter_map(|(id, result)| Some((id.clone(), result.clone()?))).collect()
    }
}

async fn carry_out(worker: &dyn Worker, task: Task) -> Result<TaskResult, WorkError> {
    Ok(match task {
        Task::Dock { bay, path, drive_id } => TaskResult::Docked { drive: worker.dock(&bay, &path, drive_id.as_deref()).await? },
        Task::Undock { bay } => {
            worker.undock(&bay).await?;
            TaskResult::Done
        }
        Task::IsBlank { bay } => TaskResult::Blank { is_blank: worker.is_blank(&bay).await? },
        Task::RequireWritable { bay } => {
            worker.require_writable(&bay).await?;
            TaskResult::Done
        }
        Task::PutLogs { order, result } => TaskResult::Logs { addresses: worker.put_logs(&order, &result).await? },
        Task::Forget { job_uid, drive_id } => {
            worker.forget(&job_uid, drive_id.as_deref()).await?;
            TaskResult::Done
        }
    })
}
