//! Threads of a pipeline: named, and reporting how they ended without anybody joining them.

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
            let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
            spawned.map_err(|_| CopyError::Internal("a thread could not be started"))?;
            Ok(end)
        })
        .collect()
}

/// Hash threads that this machine serves.
pub(crate) fn hash_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(crate::limits::HASH_THREADS_MAX)
}

/// Starts one thread that nobody waits for.
pub(crate) fn spawn_once(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), CopyError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(|_| ()).map_err(|_| CopyError::Internal("a thread could not be started"))
}
