//! One copy from its order to its result.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::Blob;
use copy::{CopyError, Stage, Stop, Target, TransferHandle, TransferOptions};
use drive::discovery::{Docked, docked_at};
use drive::{Confirmation, Drive, DriveError, Pace, TargetRequest};
use futures::FutureExt;
use protocol::progress::{Notice, Phase, Progress, UnreadableSoFar};
use protocol::result::{Direction, TransferResult};
use protocol::station::CopyOrder;
use protocol::stop::StopReason;
use protocol::units::ByteSize;
use service::scheduler::worker::RunningCopy;
use tokio::sync::oneshot;

use super::accounting::{Accounting, of_older_record};
use super::accounts::ReachedAccount;
use super::host::{StationWorker, stops_within};
use super::journal_segments::JournalSegments;
use super::logs;
use super::memory::MemoryBudget;
use super::ordered::{failed, options};
use crate::opening;

struct Copy {
    handle: TransferHandle,
}

impl RunningCopy for Copy {
    fn progress(&self) -> Progress {
        let progress = self.handle.counters.snapshot();
        match self.handle.stop.is_stopping() && progress.phase != Phase::Done {
            true => Progress { phase: Phase::Draining, eta_seconds: None, ..progress },
            false => progress,
        }
    }

    fn unreadable_so_far(&self) -> UnreadableSoFar {
        self.handle.counters.unreadable_so_far()
    }

    fn stop(&self, reason: StopReason) {
        self.handle.stop.request_stop(reason);
    }
}

/// Everything that a copy needs, found before it begins.
struct Scene {
    path: PathBuf,
    /// Which drive is docked there.
    docked: Docked,
    blob: Arc<dyn Blob>,
    options: TransferOptions,
    pace: Pace,
    reached: ReachedAccount,
    segments: Option<Arc<JournalSegments>>,
}

/// Begins or resumes a copy.
pub(super) fn start(worker: &StationWorker, order: CopyOrder, ended: oneshot::Sender<TransferResult>) -> Arc<dyn RunningCopy> {
    let uid = order.job_uid.clone();
    let notify = move |notice: Notice| match notice {
        Notice::Warning(text) => tracing::warn!(job = %uid, "{text}"),
        Notice::Information(text) => tracing::info!(job = %uid, "{text}"),
    };
    let options = options(worker, &order);
    let segments =
        worker.account(&order.account).ok().and_then(|reached| JournalSegments::of(&order, reached, worker)).map(Arc::new);
    let handle = handle_of(notify, segments.clone());
    if order.account_only {
        handle.stop.request_stop(StopReason::JobCancelled);
    }
    let copy = Arc::new(Copy { handle: handle.clone() });
    let memory = worker.memory.clone();
    let state_dir = options.state_dir.clone();
    let blob = worker.account(&order.account).ok().cloned();
    let blob = blob.and_then(|reached| reached.account.blob(&order.blob.container, &order.blob.name).ok());
    let accounting = Accounting::of(worker, &order);
    let scene = scene(worker, &order, options.clone(), segments.clone());
    let turn = worker.turns.of(&state_dir);
    let wait = worker.stops_within();
    tokio::spawn(async move {
        // One that was cut off while this host slept may still be stopping.
        let _turn = tokio::time::timeout(wait, turn.lock()).await.ok();
        if let Some(segments) = segments.as_ref().filter(|_| !order.account_only) {
            begin_segments(segments, &order, &state_dir, blob.as_deref()).await;
        }
        let copied = match order.account_only {
            true => Err(CopyError::Cancelled),
            false => followed(watched(scene, &order, &memory, handle.clone()), segments.as_deref()).await,
        };
        let result = match copied {
            Ok(result) => result,
            // Stopped before it was far enough to report by itself what there is.
            Err(CopyError::Cancelled) => accounting.account(&handle).await,
            // The copy that failed is not waited for any more: the journal has what there is.
            Err(error) if is_cancelled(&handle) => {
                tracing::info!(job = %order.job_uid, bay = %order.bay, %error, "a copy that was cancelled had failed");
                accounting.account(&handle).await
            }
            Err(error) => failed(&order, &error),
        };
        if let Some(segments) = &segments {
            segments.write_now().await;
        }
        let is_behind = !order.account_only && segments.as_ref().is_some_and(|segments| segments.may_be_behind());
        let result = if is_behind { of_older_record(result) } else { result };
        let kept = tokio::task::block_in_place(|| logs::keep_whole(&state_dir, &result));
        if let Err(error) = kept {
            tracing::warn!(job = %order.job_uid, %error, "the whole list of a copy's ranges cannot be kept: there will be no log of it");
        }
        // The receiver is gone only where the whole service is ending.
        let _ = ended.send(result);
    });
    copy
}

/// A handle of a copy that puts nothing anywhere before other hosts can learn of it.
fn handle_of(notify: impl Fn(Notice) + Send + Sync + 'static, segments: Option<Arc<JournalSegments>>) -> TransferHandle {
    let handle = TransferHandle::new(Stop::new(), notify);
    let Some(segments) = segments else { return handle };
    handle.publishing_journal(move || {
        let segments = segments.clone();
        async move { segments.write_now().await }.boxed()
    })
}

/// Begins with the journal of the host where the drive was last. That of an export is kept when its drive was opened.
async fn begin_segments(segments: &JournalSegments, order: &CopyOrder, state_dir: &Path, blob: Option<&dyn Blob>) {
    match order.retry.restart {
        true => segments.discard().await,
        false => segments.find().await,
    }
    if let (Direction::Import, Some(blob)) = (order.direction, blob) {
        let journal = copy::journal_of_import(state_dir, &blob.address());
        // What landed is looked for at the store in any case.
        tokio::task::block_in_place(|| segments.keep_as(journal));
    }
}

/// A copy whose journal is kept for other hosts meanwhile.
async fn followed<T>(copy: impl Future<Output = T>, segments: Option<&JournalSegments>) -> T {
    let Some(segments) = segments else { return copy.await };
    tokio::select! {
        copied = copy => copied,
        never = segments.follow() => match never {},
    }
}

fn is_cancelled(handle: &TransferHandle) -> bool {
    handle.stop.request().is_some_and(|request| request.reason == StopReason::JobCancelled)
}

/// Runs a copy on a task of its own, and leaves it behind where a drive holds it after a stop.
async fn watched(
    scene: Result<Scene, CopyError>,
    order: &CopyOrder,
    memory: &MemoryBudget,
    handle: TransferHandle,
) -> Result<TransferResult, CopyError> {
    let scene = scene?;
    let grace = stops_within(&scene.options);
    let stop = handle.stop.clone();
    let running = tokio::spawn(with_memory(scene, order.clone(), memory.clone(), handle));
    tokio::select! {
        copied = running => copied.unwrap_or_else(|error| Err(CopyError::of_task(Stage::Transfer, error))),
        () = async {
            stop.stopping().await;
            tokio::time::sleep(grace).await;
        } => {
            tracing::warn!(job = %order.job_uid, bay = %order.bay, "a copy did not end in time after its stop: a drive may hold it");
            Err(CopyError::Cancelled)
        }
    }
}

async fn with_memory(
    scene: Scene,
    order: CopyOrder,
    memory: MemoryBudget,
    handle: TransferHandle,
) -> Result<TransferResult, CopyError> {
    let wanted = wanted_mebibytes(&scene.options, scene.docked.size_bytes, &*scene.blob, &memory);
    let _permit = tokio::select! {
        permit = memory.free_mebibytes.clone().acquire_many_owned(wanted) => permit.ok(),
        () = handle.stop.stopping() => return Err(CopyError::Cancelled),
    };
    let memory = Some(ByteSize(u64::from(wanted) << 20));
    let scene = Scene { options: TransferOptions { memory, ..scene.options }, ..scene };
    run(scene, &order, handle).await
}

fn scene(
    worker: &StationWorker,
    order: &CopyOrder,
    options: TransferOptions,
    segments: Option<Arc<JournalSegments>>,
) -> Result<Scene, CopyError> {
    let reached = worker.account(&order.account).map_err(|error| CopyError::Refused(error.to_string()))?.clone();
    let blob = reached.account.blob(&order.blob.container, &order.blob.name)?;
    let gone = || DriveError::Removed { path: PathBuf::from(&order.bay) };
    let (path, docked) = worker.docks.drive(&order.bay, order.sequence).ok_or_else(gone)?;
    Ok(Scene { path, docked, blob, options, pace: worker.pace, reached, segments })
}

/// The share of a copy, or more where its chunks have to be large; never more than there is.
fn wanted_mebibytes(options: &TransferOptions, size_bytes: u64, blob: &dyn Blob, memory: &MemoryBudget) -> u32 {
    let least = copy::least_memory_bytes(options.chunk_size, size_bytes, &blob.limits());
    u32::try_from(least.div_ceil(1 << 20)).unwrap_or(u32::MAX).max(memory.share_mebibytes).min(memory.total_mebibytes)
}

async fn run(scene: Scene, order: &CopyOrder, handle: TransferHandle) -> Result<TransferResult, CopyError> {
    let Scene { path, docked, blob, options, pace, reached, segments } = scene;
    file::private::make_folder(&options.state_dir).map_err(|source| CopyError::State {
        operation: "create",
        path: options.state_dir.clone(),
        source,
    })?;
    match order.direction {
        Direction::Import => {
            let place = reached.account.make_place(&order.blob.container, &order.blob.name);
            tokio::select! {
                made = tokio::time::timeout(options.request_timeout, place) => match made {
                    Ok(made) => made?,
                    Err(_) => return Err(no_answer(&reached).into()),
                },
                () = handle.stop.stopping() => return Err(CopyError::Cancelled),
            }
            let shown = path.clone();
            let open = move || {
                let drive = drive::open_source(&path, pace)?;
                require_same(&path, &docked, &*drive).map_err(DriveError::Refused)?;
                Ok::<Arc<dyn Drive>, DriveError>(drive)
            };
            let in_time = || opening::in_time(&shown, options.read_timeout, &handle.stop, || false, open);
            let opened = tokio::task::block_in_place(in_time).map_err(CopyError::from);
            copy::import(opening::or_cancelled(opened, &handle.stop)?, blob, options, handle).await
        }
        Direction::Export => {
            let target = path.clone();
            let (own, stop) = (handle.clone(), handle.stop.clone());
            let (timeout, state_dir) = (options.read_timeout, options.state_dir.clone());
            let open = |Target { needed_bytes, .. }| {
                let shown = path.clone();
                let open = move || {
                    // What was checked in confirmed it; that it is this drive is seen here.
                    let check = |drive: &dyn Drive| require_same(&path, &docked, drive);
                    drive::open_target(&path, &TargetRequest { needed_bytes, confirmation: Confirmation::Check(&check), pace })
                };
                let drive = opening::in_time(&shown, timeout, &stop, || false, open)?;
                if let (Some(segments), Ok(journal)) = (&segments, copy::journal_of_export(&state_dir, drive.identity()))
                    && segments.keep_as(journal)
                {
                    own.note_journal_of_another_host();
                }
                Ok(drive)
            };
            opening::or_cancelled(copy::export(&target, open, blob, options, handle).await, &stop)
        }
    }
}

fn no_answer(reached: &ReachedAccount) -> blob::BlobError {
    blob::BlobError::new(blob::BlobErrorKind::TimedOut, "reach", reached.account.address(), "no answer in time")
}

/// Whether the drive that was opened is the one that the order is about: it was open before we look which drive is docked, so
/// one that came in between is noticed.
fn require_same(path: &Path, docked: &Docked, drive: &dyn Drive) -> Result<(), String> {
    let opened = drive.identity();
    let is_it = drive.opened_as() == Some(docked.opened_as);
    let is_same = is_it && docked_at(path).is_ok_and(|found| found.as_ref() == Some(docked)) && opened.size == docked.size_bytes;
    let has_serial = opened.serial.is_none() || opened.serial == docked.serial;
    match is_same && has_serial {
        true => Ok(()),
        false => Err(format!("another drive is at `{}` now: nothing was read or written", path.display())),
    }
}
