//! Threads of a pipeline: named, and reporting how they ended without being joined. Only here panics of them are caught: one
//! is an error of its stage, as any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{CopyError, Stage};
use crate::flow::failure::Failure;

/// Starts `count` threads that all run `work`. A failure of one is reported, and the receiver gets a message from each that
/// ends. A thread that hangs in a drive is never waited for: the process outlives it.
pub(crate) fn spawn(
    stage: Stage,
    count: usize,
    failure: &Failure,
    work: impl Fn(usize) -> Result<(), CopyError> + Send + Clone + 'static,
) -> Result<Vec<oneshot::Receiver<()>>, CopyError> {
    (0..count)
        .map(|number| {
            let (ended, end) = oneshot::channel();
            let (work, failure) = (work.clone(), failure.clone());
            spawn_once(stage, move || {
                failure.check(caught(stage, || work(number)));
                let _ = ended.send(());
            })?;
            Ok(end)
        })
        .collect()
}

/// Work on a thread of its own that gives something.
pub(crate) struct Running<T> {
    stage: Stage,
    end: oneshot::Receiver<Result<T, CopyError>>,
}

impl<T: Send + 'static> Running<T> {
    /// Starts it.
    pub(crate) fn start(stage: Stage, work: impl FnOnce() -> Result<T, CopyError> + Send + 'static) -> Result<Self, CopyError> {
        let (ended, end) = oneshot::channel();
        spawn_once(stage, move || {
            let _ = ended.send(caught(stage, work));
        })?;
        Ok(Running { stage, end })
    }

    /// Waits for what it gives.
    pub(crate) async fn ended(self) -> Result<T, CopyError> {
        self.end.await.unwrap_or(Err(CopyError::StageEnded { stage: self.stage, panic: None }))
    }
}

/// Runs the work of a stage; a panic is an error.
fn caught<T>(stage: Stage, work: impl FnOnce() -> Result<T, CopyError>) -> Result<T, CopyError> {
    // What was half done is not used: the transfer ends.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(CopyError::of_panic(stage, &*panic)))
}

/// Hash threads that this machine serves.
pub(crate) fn hash_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(crate::limits::HASH_THREADS_MAX)
}

/// Starts one thread that is never joined.
pub(crate) fn spawn_once(stage: Stage, work: impl FnOnce() + Send + 'static) -> Result<(), CopyError> {
    let started = std::thread::Builder::new().name(stage.name().to_owned()).spawn(work);
    started.map(drop).map_err(|source| CopyError::Thread { stage, source })
}

/// Waits on this thread for a future that the runtime runs; `None` where the runtime ended first. A thread that waited
/// by itself would panic then: at the end of the process a runtime does not wait for threads.
pub(crate) fn wait_for<T: Send + 'static>(runtime: &Handle, future: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (ended, end) = oneshot::channel();
    runtime.spawn(async move {
        let _ = ended.send(future.await);
    });
    end.blocking_recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::stop::Stop;

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_stage() {
        let failure = Failure::new(Stop::new());
        let ends = spawn(Stage::Write, 2, &failure, |number| match number {
            0 => Ok(()),
            number => panic!("number {number}"),
        });
        for end in ends.unwrap() {
            end.await.unwrap();
        }
        let error = failure.take().unwrap();
        assert_eq!(error.to_string(), "a part of the program ended unexpectedly: write (number 1); please report it");
        let running: Running<()> = Running::start(Stage::Record, || panic!("at the end")).unwrap();
        let error = running.ended().await.unwrap_err();
        assert!(matches!(error, CopyError::StageEnded { stage: Stage::Record, panic: Some(text) } if text == "at the end"));
        let task = tokio::spawn(async { panic!("in a task") });
        let error = CopyError::of_task(Stage::Send, task.await.unwrap_err());
        assert!(matches!(error, CopyError::StageEnded { stage: Stage::Send, panic: Some(text) } if text == "in a task"));
    }

    #[tokio::test]
    async fn work_gives_what_it_made_or_why_it_failed() {
        assert_eq!(Running::start(Stage::Record, || Ok(7)).unwrap().ended().await.unwrap(), 7);
        let failed: Running<()> = Running::start(Stage::Record, || Err(CopyError::Cancelled)).unwrap();
        assert!(matches!(failed.ended().await, Err(CopyError::Cancelled)));
    }
}
