//! What the service asks of this host once. A task is done once however often it is listed; its result is told until it is not
//! listed any more. Logs that nobody asks for any more are not written on: their job may be gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
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

/// Does a task.
type CarryOut = dyn Fn(Task) -> BoxFuture<'static, TaskResult> + Send + Sync;

/// The tasks of this host.
pub(super) struct Tasks {
    carry_out: Box<CarryOut>,
    known: Mutex<BTreeMap<String, Known>>,
    /// Something was done.
    pub(super) changed: Notify,
}

impl Tasks {
    pub(super) fn new(worker: Arc<dyn Worker>) -> Arc<Self> {
        Self::done_by(Box::new(move |task| {
            let worker = worker.clone();
            async move {
                match carry_out(&*worker, task).await {
                    Ok(result) => result,
                    Err(WorkError::Refused(message)) => TaskResult::Refused { message },
                    Err(WorkError::Failed(message)) => TaskResult::Failed { message },
                }
            }
            .boxed()
        }))
    }

    fn done_by(carry_out: Box<CarryOut>) -> Arc<Self> {
        Arc::new(Tasks { carry_out, known: Mutex::default(), changed: Notify::new() })
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
            let (tasks, name, doing) = (self.clone(), id.clone(), (self.carry_out)(task));
            // It is known below before it can be done: `known` is locked.
            let handle = tokio::spawn(async move {
                let result = doing.await;
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

#[cfg(test)]
mod tests {
    use protocol::outcome::Outcome;
    use protocol::result::{Direction, TransferResult};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;

    fn put_logs() -> Task {
        let order = json!({
            "copy": {
                "bay": "bay-1", "direction": Direction::Import, "jobUid": "77", "driveId": "A", "account": "acme",
                "blob": { "container": "c", "name": "n" }, "sequence": 1, "accountOnly": false, "wasCutOff": false,
                "retry": {}, "mayErase": false
            },
            "container": "c", "prefix": "p", "verbose": true, "manifest": true
        });
        let result = TransferResult::not_begun(Outcome::Complete, Direction::Import, "c/n");
        Task::PutLogs { order: Box::new(serde_json::from_value(order).unwrap()), result: Box::new(result) }
    }

    /// The job of the logs may be gone, and a service that has just begun asks for them by another name.
    #[tokio::test]
    async fn logs_that_nobody_asks_for_are_not_written_on_and_other_tasks_are_done_to_their_end() {
        let (ended, mut ends) = mpsc::unbounded_channel();
        let (go_on, wait) = tokio::sync::watch::channel(false);
        let tasks = Tasks::done_by(Box::new(move |task| {
            let (ended, mut wait) = (ended.clone(), wait.clone());
            async move {
                let _ = wait.wait_for(|goes_on| *goes_on).await;
                let _ = ended.send(matches!(task, Task::PutLogs { .. }));
                TaskResult::Done
            }
            .boxed()
        }));
        let undock = Task::Undock { bay: "bay-1".to_owned() };
        tasks.apply(BTreeMap::from([("logs".to_owned(), put_logs()), ("undock".to_owned(), undock)]));
        tasks.apply(BTreeMap::new());
        tasks.apply(BTreeMap::from([("again".to_owned(), put_logs())]));
        go_on.send(true).unwrap();
        let both = [ends.recv().await.unwrap(), ends.recv().await.unwrap()];
        assert_eq!(both.into_iter().filter(|is_logs| *is_logs).count(), 1, "one of the two that were asked for");
        tokio::task::yield_now().await;
        assert!(ends.try_recv().is_err());
        assert_eq!(tasks.report().keys().collect::<Vec<_>>(), ["again", "undock"]);
    }
}
