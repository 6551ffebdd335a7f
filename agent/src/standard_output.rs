//! Standard output: what holds results alone, and remembers where one was lost.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How soon a reader that has gone is noticed.
const READER_LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Standard output.
#[derive(Clone, Default)]
pub(crate) struct StandardOutput {
    lost_result: Arc<AtomicBool>,
}

impl StandardOutput {
    /// Writes a result. The error is for the user: a reader that went away needs no word, and one word is enough.
    pub(crate) fn write(&self, text: &str) -> Result<(), io::Error> {
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).or_else(|error| self.lose(error))
    }

    /// Remembers that a result was lost.
    pub(crate) fn lose(&self, error: io::Error) -> Result<(), io::Error> {
        let was_lost = self.lost_result.swap(true, Ordering::Relaxed);
        if was_lost || error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
    }

    /// Whether something that belongs to the result could not be written.
    pub(crate) fn has_lost_result(&self) -> bool {
        self.lost_result.load(Ordering::Relaxed)
    }

    /// Returns when whatever read it has gone: a command that follows something has no reader any more.
    pub(crate) async fn reader_gone(&self) {
        let mut looks = tokio::time::interval(READER_LOOK_INTERVAL);
        while !(self.has_lost_result() || is_closed(&io::stdout())) {
            looks.tick().await;
        }
        self.lost_result.store(true, Ordering::Relaxed);
    }
}

/// How wide standard output is, where it is a terminal.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether the other end of a pipe or socket is closed.
fn is_closed(output: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(output, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
}
