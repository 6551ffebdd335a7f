//! Threads of a pipeline: named, and reporting how they ended without being joined.

use std::io;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::CopyError;

/// Starts `count` threads that all run `work`; the receiver gets a message from each that ends. A
/// thread that hangs in a drive is never waited for: the process outlives it.
pub(crate) fn spawn(
    name: &'static str,
    count: usize,
    work: impl Fn(usize) + Send + Clone + 'static,
) -> Result<Vec<oneshot::Receiver<()>>, CopyError> {
    (0..count)
        .map(|number| {
            let (ended, end) = oneshot::channel();
            let work = work.clone();
            let body = move || {
                work(number);
                let _ = ended.send(());
            };
            spawn_once(name, body)?;
            Ok(end)
        })
        .collect()
}

/// Hash threads that this machine serves.
pub(crate) fn hash_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(crate::limits::HASH_THREADS_MAX)
}

/// Starts one thread that is never joined.
pub(crate) fn spawn_once(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), CopyError> {
    start(name, work).map_err(|source| CopyError::Thread { name, source })
}

/// The same, with the kernel's own reason where it fails.
pub(crate) fn start(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
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
