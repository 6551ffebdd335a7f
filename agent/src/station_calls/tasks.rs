//! What the service asks of this host once. A task is done once however often it is listed; its result is told until it is not
//! listed any more. Logs that nobody asks for any more are not written on: their job may be gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::station::{Task, TaskResult};
use service::scheduler::worker::{WorkError, Worker};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// A task that was listed.
enum Known {
    /// It is being done, and may be ended where that is there.
    UnderWay(Option<AbortHandle>),
    Done(TaskResult),
}

/// The tasks of this host.
pub(super) struct Tasks {
    worker: Arc<dyn Worker>,
    known: Mutex<BTreeMap<String, Known>>,
    /// Something was done.
    pub(super) changed: Notify,
}

impl Tasks {
    pub(super) fn new(worker: Arc<dyn Worker>) -> Arc<Self> {
        Arc::new(Tasks { worker, known: Mutex::default(), changed: Notify::new() })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins what is new, and forgets what is not asked for any more.
    pub(super) fn apply(self: &Arc<Self>, listed: BTreeMap<String, Task>) {
        let mut known = self.known();
        known.retain(|id, task| {
            let is_listed = listed.contains_key(id);
            match task {
                Known::UnderWay(Some(handle)) if !is_listed => {
                    handle.abort();
                    false
                }
                Known::UnderWay(_) => true,
                Known::Done(_) => is_listed,
            }
        });
        for (id, task) in listed {
            if known.contains_key(&id) {
                continue;
            }
            let may_be_ended = matches!(task, Task::PutLogs { .. });
            let (tasks, name) = (self.clone(), id.clone());
            // It is known below before it can be done: `known` is locked.
            let handle = tokio::spawn(async move {
                let result = match carry_out(&*tasks.worker, task).await {
                    Ok(result) => result,
                    Err(WorkError::Refused(message)) => TaskResult::Refused { message },
                    Err(WorkError::Failed(message)) => TaskResult::Failed { message },
                };
                if let Some(known) = tasks.known().get_mut(&name) {
                    *known = Known::Done(result);
                }
                tasks.changed.notify_one();
            });
            known.insert(id, Known::UnderWay(may_be_ended.then(|| handle.abort_handle())));
        }
    }

    /// What was done.
    pub(super) fn report(&self) -> BTreeMap<String, TaskResult> {
        let done = |(id, known): (&String, &Known)| match known {
            Known::Done(result) => Some((id.clone(), result.clone())),
            Known::UnderWay(_) => None,
        };
        self.known().iter().filter_map(done).collect()
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
