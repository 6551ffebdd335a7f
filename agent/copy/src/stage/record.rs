//! [`LandedChunk`] → journal: the target is synced, then the records are, then progress is reported.

use std::sync::Arc;
use std::time::Duration;

use blob::{BlobError, BlobErrorKind, Upload};
use drive::Drive;
use protocol::manifest::Line;
use protocol::units::ByteRange;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::call::counters::Counters;
use crate::call::stop::Stop;
use crate::chunk::LandedChunk;
use crate::error::{CopyError, Stage};
use crate::flow::failure::Failure;
use crate::flow::threads::Running;
use crate::flow::watchdog::CallWatch;
use crate::limits::{RECORD_INTERVAL, RECORDS_PER_BATCH_MAX};
use crate::record::journal::Journal;
use crate::record::table::SharedTable;
use crate::rescue::Rescue;

/// When what was acknowledged is durable.
pub(crate) enum Durability {
    /// At once: the store promises it.
    WhenAcknowledged,
    /// After a sync of the store.
    StoreSync(Arc<dyn Upload>),
    /// After a sync of the drive.
    DriveSync(Arc<dyn Drive>, Arc<CallWatch>),
}

/// The recording stage: one thread.
pub(crate) struct RecordStage {
    pub(crate) journal: Journal,
    pub(crate) table: SharedTable,
    pub(crate) durability: Durability,
    /// Knows what came from an image of the drive.
    pub(crate) rescue: Option<Arc<Rescue>>,
    pub(crate) batch_bytes: u64,
    pub(crate) sync_timeout: Duration,
    pub(crate) stop: Stop,
    pub(crate) failure: Failure,
    pub(crate) counters: Arc<Counters>,
}

impl RecordStage {
    /// Starts the stage on a thread of its own; the journal comes back when it has ended.
    pub(crate) fn start(self, input: mpsc::Receiver<LandedChunk>) -> Result<Running<Journal>, CopyError> {
        // One of its own: after an abort this thread may be at work while the program's runtime ends.
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|source| CopyError::Thread { stage: Stage::Record, source })?;
        Running::start(Stage::Record, move || {
            let journal = self.run(input, &runtime);
            // A sync that hangs is left behind.
            runtime.shutdown_background();
            Ok(journal)
        })
    }

    /// Records until no more chunks come, or recording fails; gives the journal back.
    fn run(mut self, mut input: mpsc::Receiver<LandedChunk>, runtime: &Runtime) -> Journal {
        while let Some(batch) = runtime.block_on(self.collect(&mut input)) {
            if let Err(error) = self.record(batch, runtime) {
                self.failure.fail(error);
                break;
            }
        }
        self.journal
    }

    /// The next batch: what is there, and what comes until it is large or old enough.
    async fn collect(&self, input: &mut mpsc::Receiver<LandedChunk>) -> Option<Vec<LandedChunk>> {
        let first = input.recv().await?;
        let mut bytes = first.record.range.length;
        let mut batch = vec![first];
        let end = Instant::now() + RECORD_INTERVAL;
        while bytes < self.batch_bytes && batch.len() < RECORDS_PER_BATCH_MAX {
            match timeout_at(end, input.recv()).await {
                Ok(Some(landed)) => {
                    bytes += if landed.record.attempts > 0 { landed.record.range.length } else { 0 };
                    batch.push(landed);
                }
                Ok(None) | Err(_) => break,
            }
        }
        Some(batch)
    }

    fn record(&mut self, mut batch: Vec<LandedChunk>, runtime: &Runtime) -> Result<(), CopyError> {
        let counters = self.counters.clone();
        let synced = counters.sync_time.time(|| self.sync(runtime));
        // A drive or store that cannot be synced holds nothing for certain: the batch stays in doubt.
        synced?;
        let synced_at = std::time::Instant::now();
        if let Some(rescue) = &self.rescue {
            batch.iter_mut().for_each(|landed| landed.record.from_image = rescue.image_ranges(landed.record.range));
        }
        let requested_at = self.stop.request().map(|request| request.at);
        self.table.with(|table| {
            for landed in &batch {
                let landed_at = match self.durability {
                    Durability::WhenAcknowledged => landed.acknowledged_at,
                    _ => synced_at,
                };
                let after_request = requested_at.is_some_and(|requested_at| landed_at > requested_at);
                table.set_landed(landed.index, &landed.record, after_request)?;
            }
            Ok(())
        })?;
        let lines = batch.iter().map(|landed| Line::Chunk(landed.record.clone()));
        counters.sync_time.time(|| self.journal.append(lines))?;
        for landed in &batch {
            let unreadable = landed.record.unreadable.iter().map(|range| range.length).sum();
            counters.add_recorded(landed.record.state, landed.record.range.length, unreadable);
        }
        Ok(())
    }

    fn sync(&self, runtime: &Runtime) -> Result<(), CopyError> {
        match &self.durability {
            Durability::WhenAcknowledged => Ok(()),
            Durability::DriveSync(drive, watch) => Ok(watch.during(ByteRange::new(0, drive.size_bytes()), || drive.sync())?),
            Durability::StoreSync(upload) => match runtime.block_on(async { timeout(self.sync_timeout, upload.sync()).await }) {
                Ok(result) => Ok(result?),
                Err(_) => {
                    let message = format!("no answer within {} s", self.sync_timeout.as_secs());
                    Err(BlobError::new(BlobErrorKind::TimedOut, "sync", "the store", message).into())
                }
            },
        }
    }
}
