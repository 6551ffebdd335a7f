//! Reading with a time limit: the only reads that can be left behind without leaving the drive.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use protocol::units::ByteRange;

use crate::aligned::AlignedBuffer;
use crate::contract::Drive;
use crate::error::DriveError;

/// How often it is looked whether reads are still wanted.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A thread that reads, one range at a time. When a read hangs it is left behind, and the next one has a new
/// thread: what the drive still answers is read.
#[derive(Default)]
pub struct TimedReader {
    running: Option<RunningReader>,
    spare: Option<AlignedBuffer>,
}

struct RunningReader {
    requests: SyncSender<(ByteRange, AlignedBuffer)>,
    answers: Receiver<(AlignedBuffer, Result<(), DriveError>)>,
}

impl TimedReader {
    /// Reads `range`. `None` where it did not come back in time, or `is_stopped` said that it is not wanted any more.
    ///
    /// # Errors
    /// When the drive says so, or there is neither thread nor memory for the read.
    pub fn read(
        &mut self,
        drive: &Arc<dyn Drive>,
        range: ByteRange,
        timeout: Duration,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Option<AlignedBuffer>, DriveError> {
        let length = range.length as usize;
        let buffer = match self.spare.take().filter(|buffer| buffer.len() >= length) {
            Some(buffer) => buffer,
            None => AlignedBuffer::new(length)?,
        };
        let running = match self.running.take() {
            Some(running) => running,
            None => start(drive)?,
        };
        if running.requests.send((range, buffer)).is_err() {
            return Ok(None);
        }
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match running.answers.recv_timeout(left.min(LOOK_INTERVAL)) {
                Ok((buffer, result)) => {
                    self.running = Some(running);
                    return match result {
                        Ok(()) => Ok(Some(buffer)),
                        Err(error) => {
                            self.spare = Some(buffer);
                            Err(error)
                        }
                    };
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < end && !is_stopped() => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// The buffer is used again.
    pub fn give_back(&mut self, buffer: AlignedBuffer) {
        self.spare = Some(buffer);
    }
}

fn start(drive: &Arc<dyn Drive>) -> Result<RunningReader, DriveError> {
    let (requests, asked) = sync_channel::<(ByteRange, AlignedBuffer)>(1);
    let (answered, answers) = sync_channel(1);
    let reading = drive.clone();
    let work = move || {
        for (range, mut buffer) in asked {
            let result = reading.read_at(&mut buffer[..range.length as usize], range.offset);
            if answered.send((buffer, result)).is_err() {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("timed read".to_owned()).spawn(work);
    let no_thread =
        |source| DriveError::Io { operation: "start a thread to read", path: drive.identity().path.clone().into(), source };
    started.map(|_| RunningReader { requests, answers }).map_err(no_thread)
}
