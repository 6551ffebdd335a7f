//! What the service asks of a station once: each task is done once however often it is listed.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::station::{Task, TaskResult, bay_of_station};
use service::scheduler::worker::WorkError;

use crate::station::Station;

impl Station {
    /// Begins what is new, and forgets what is not asked for any more.
    pub fn take_tasks(&mut self, listed: BTreeMap<String, Task>) {
        self.done.retain(|id, result| result.is_none() || listed.contains_key(id));
        let takes = self.worker.site().blobs.document_takes;
        for (id, task) in listed {
            if self.done.contains_key(&id) {
                continue;
            }
            self.done.insert(id.clone(), None);
            let after = if matches!(task, Task::PutLogs { .. }) { takes } else { Duration::ZERO };
            self.doing.push((self.now() + after, id, task));
        }
    }

    pub fn carry_out(&self, task: Task) -> TaskResult {
        self.worker.site().tally("a station carries a task out");
        let full = |bay: &str| bay_of_station(&self.name, bay);
        let worker = &self.worker;
        let done = match task {
            Task::Dock { bay, path, drive_id } => {
                worker.dock(&full(&bay), &path, drive_id.as_deref()).map(|drive| TaskResult::Docked { drive })
            }
            Task::Undock { bay } => worker.undock(&full(&bay)).map(|()| TaskResult::Done),
            Task::IsBlank { bay } => worker.is_blank(&full(&bay)).map(|is_blank| TaskResult::Blank { is_blank }),
            Task::RequireWritable { bay } => worker.require_writable(&full(&bay)).map(|()| TaskResult::Done),
            Task::PutLogs { order, result } => worker.put_logs(&order, &result).map(|addresses| TaskResult::Logs { addresses }),
            Task::Forget { job_uid, drive_id } => {
                worker.forget(self.host, &job_uid, drive_id.as_deref());
                Ok(TaskResult::Done)
            }
        };
        done.unwrap_or_else(|error| match error {
            WorkError::Refused(message) => TaskResult::Refused { message },
            WorkError::Failed(message) => TaskResult::Failed { message },
        })
    }
}
