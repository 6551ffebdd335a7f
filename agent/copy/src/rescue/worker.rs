//! Reading with a time limit: the only reads of a drive that can be left behind without leaving the transfer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use drive::{AlignedBuffer, Drive, DriveError};
use protocol::units::ByteRange;

use crate::limits::WATCHDOG_BEAT;
use crate::stop::Stop;

/// A thread that reads, one range at a time. When a read hangs it is left behind, and the next one has a new
/// thread: a rescue goes on where the drive still answers.
#[derive(Default)]
pub(crate) struct ReadWorker {
    running: Option<RunningWorker>,
    spare: Option<AlignedBuffer>,
}

struct RunningWorker {
    requests: Sender<(ByteRange, AlignedBuffer)>,
    answers: Receiver<(AlignedBuffer, Result<(), DriveError>)>,
}

impl ReadWorker {
    /// Reads `range`. `None` where it did not come back in time, or requests are being dropped.
    pub(crate) fn read(
        &mut self,
        drive: &Arc<dyn Drive>,
        range: ByteRange,
        timeout: Duration,
        stop: &Stop,
    ) -> Result<Option<AlignedBuffer>, DriveError> {
        let length = range.length as usize;
        let buffer = self.spare.take().filter(|buffer| buffer.len() >= length).unwrap_or_else(|| AlignedBuffer::new(length));
        let Some(running) = self.running.take().or_else(|| start(drive)) else {
            let source = std::io::Error::other("a thread could not be started");
            return Err(DriveError::Io { operation: "read", path: drive.identity().path.clone().into(), source });
        };
        if running.requests.send((range, buffer)).is_err() {
            return Ok(None);
        }
        let end = Instant::now() + timeout;
        loop {
            match running.answers.recv_timeout(WATCHDOG_BEAT) {
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
                Err(RecvTimeoutError::Timeout) if Instant::now() < end && !stop.is_aborting() => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// The buffer is used again.
    pub(crate) fn give_back(&mut self, buffer: AlignedBuffer) {
        self.spare = Some(buffer);
    }
}

fn start(drive: &Arc<dyn Drive>) -> Option<RunningWorker> {
    let (requests, asked) = bounded::<(ByteRange, AlignedBuffer)>(1);
    let (answered, answers) = bounded(1);
    let drive = drive.clone();
    let work = move || {
        for (range, mut buffer) in asked {
            let result = drive.read_at(&mut buffer[..range.length as usize], range.offset);
            if answered.send((buffer, result)).is_err() {
                return;
            }
        }
    };
    crate::threads::spawn_once("rescue read", work).ok()?;
    Some(RunningWorker { requests, answers })
}
