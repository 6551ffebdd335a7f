//! One copy from its order to its result.

use std::path::Path;
use std::sync::Arc;

use blob::Blob;
use copy::{CopyError, Link, Stop, TransferOptions};
use drive::{Confirmation, Pace, TargetRequest};
use protocol::progress::{Notice, Progress};
use protocol::result::{Direction, TransferResult};
use protocol::stop::StopReason;
use protocol::units::ByteSize;
use service::station::worker::{CopyOrder, RunningCopy};
use tokio::sync::oneshot;

use super::worker::{ReachedAccount, StationWorker};
use crate::commands::not_begun;

struct Copy {
    link: Link,
}

impl RunningCopy for Copy {
    fn progress(&self) -> Progress {
        let progress = self.link.counters.snapshot();
        let is_draining = self.link.stop.is_stopping() && progress.phase != protocol::progress::Phase::Done;
        match is_draining {
            true => Progress { phase: protocol::progress::Phase::Draining, eta_seconds: None, ..progress },
            false => progress,
        }
    }

    fn stop(&self, reason: StopReason) {
        self.link.stop.request_stop(reason);
    }
}

/// Everything that a copy needs, found before it begins.
struct Scene {
    path: std::path::PathBuf,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    pace: Pace,
    reached: ReachedAccount,
}

/// Begins a copy, or goes on with it.
pub(super) fn start(worker: &StationWorker, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
    let uid = order.job_uid.clone();
    let notify = move |notice: Notice| match notice {
        Notice::Warning(text) => tracing::warn!(job = %uid, "{text}"),
        Notice::Information(text) => tracing::info!(job = %uid, "{text}"),
    };
    let link = Link::new(Stop::new(), notify);
    if order.account_only {
        link.stop.request_stop(StopReason::JobCancelled);
    }
    let (copy, memory) = (Arc::new(Copy { link: link.clone() }), worker.memory.clone());
    let scene = match order.account_only {
        true => Err(options(worker, &order)),
        false => Ok(scene(worker, &order)),
    };
    tokio::spawn(async move {
        let shown = format!("{}/{}", order.blob.container, order.blob.name);
        let running = tokio::spawn({
            let (link, order) = (link.clone(), order.clone());
            async move {
                let scene = match scene {
                    Ok(scene) => scene?,
                    Err(options) => return account(options, &order, &memory, link).await,
                };
                let wanted = wanted_mebibytes(&scene, &order, &memory);
                let permit = tokio::select! {
                    permit = memory.free_mebibytes.clone().acquire_many_owned(wanted) => permit.ok(),
                    () = link.stop.stopping() => None,
                };
                let memory = Some(ByteSize(u64::from(wanted.max(1)) << 20));
                let scene = Scene { options: TransferOptions { memory, ..scene.options }, ..scene };
                let copied = run(scene, &order, link).await;
                drop(permit);
                copied
            }
        });
        let copied = running.await.unwrap_or(Err(CopyError::Internal("a copy")));
        let result = copied.unwrap_or_else(|error| {
            let outcome = error.outcome().unwrap_or(protocol::outcome::Outcome::Failed);
            not_begun(outcome, order.direction, &shown, &error)
        });
        // Nobody waits any more only where the whole service is going.
        let _ = ended.send(result);
    });
    copy
}

fn scene(worker: &StationWorker, order: &CopyOrder) -> Result<Scene, CopyError> {
    let reached = worker.account(&order.account).map_err(|error| CopyError::Refused(error.to_string()))?.clone();
    let path = worker.docks.path(&order.bay).ok_or_else(|| CopyError::Refused(format!("the bay `{}` is empty", order.bay)))?;
    let blob = reached.account.blob(&order.blob.container, &order.blob.name)?;
    Ok(Scene { path, blob, options: options(worker, order), pace: worker.pace, reached })
}

fn options(worker: &StationWorker, order: &CopyOrder) -> TransferOptions {
    let state_dir = worker.state_dir(&order.job_uid, &order.drive_id);
    TransferOptions {
        manifest: Some(state_dir.join(super::logs::MANIFEST_FILE)),
        state_dir,
        station: Some(worker.budget.clone()),
        keep_journal: true,
        resume_command: format!("drive-agent jobs retry --drive {}", order.drive_id),
        ..worker.options.clone()
    }
}

/// Tells from the journal what a copy did that was cut off and will not go on.
async fn account(
    options: TransferOptions,
    order: &CopyOrder,
    memory: &super::worker::MemoryBudget,
    link: Link,
) -> Result<TransferResult, CopyError> {
    let memory = ByteSize(u64::from(memory.share_mebibytes) << 20);
    let options = TransferOptions { memory: Some(memory), ..options };
    let told = tokio::task::spawn_blocking(move || copy::account(&options, &link)).await;
    let told = told.map_err(|_| CopyError::Internal("a thread at the journal"))??;
    let shown = format!("{}/{}", order.blob.container, order.blob.name);
    Ok(told.unwrap_or_else(|| not_begun(protocol::outcome::Outcome::Cancelled, order.direction, &shown, &CopyError::Cancelled)))
}

/// The share of a copy, or more where its chunks have to be large; never more than there is.
fn wanted_mebibytes(scene: &Scene, order: &CopyOrder, memory: &super::worker::MemoryBudget) -> u32 {
    let size = match order.direction {
        Direction::Import => drive::discovery::docked_at(&scene.path).map_or(0, |docked| docked.size_bytes),
        Direction::Export => 0,
    };
    let least = copy::least_memory_bytes(scene.options.chunk_size, size, &scene.blob.limits());
    u32::try_from(least.div_ceil(1 << 20)).unwrap_or(u32::MAX).max(memory.share_mebibytes).min(memory.total_mebibytes)
}

async fn run(scene: Scene, order: &CopyOrder, link: Link) -> Result<TransferResult, CopyError> {
    let Scene { path, blob, options, pace, reached } = scene;
    std::fs::create_dir_all(&options.state_dir).map_err(|source| CopyError::State {
        operation: "create",
        path: options.state_dir.clone(),
        source,
    })?;
    match order.direction {
        Direction::Import => {
            let place = reached.account.make_place(&order.blob.container, &order.blob.name);
            tokio::select! {
                made = place => made?,
                () = link.stop.stopping() => {}
            }
            let drive = open(path, move |path| drive::open_source(path, pace)).await?;
            copy::import(drive, blob, options, link).await
        }
        Direction::Export => {
            let confirmed = order.drive_id.clone();
            let open = move |needed_bytes| {
                // Whoever checked the drive in confirmed it; that it is this one is seen here.
                let is_device = std::fs::metadata(&path)
                    .is_ok_and(|metadata| std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type()));
                let word = drive::discovery::docked_at(&path).and_then(|docked| docked.serial).unwrap_or(confirmed.clone());
                let confirmation = if is_device { Confirmation::Word(&word) } else { Confirmation::None };
                drive::open_target(&path, &TargetRequest { needed_bytes, confirmation, pace })
            };
            copy::export(open, blob, options, link).await
        }
    }
}

/// Opens a drive where it may block.
async fn open<T: Send + 'static>(
    path: std::path::PathBuf,
    open: impl FnOnce(&Path) -> Result<T, drive::DriveError> + Send + 'static,
) -> Result<T, CopyError> {
    let opened = tokio::task::spawn_blocking(move || open(&path)).await;
    Ok(opened.map_err(|_| CopyError::Internal("a thread at the drive"))??)
}
