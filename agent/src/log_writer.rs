//! What is logged, without secrets: libraries log what servers answer, and a server may repeat what it was sent.

use std::io::{self, Stderr, Write};

use crate::secrets::redacted;

/// Standard error, for log lines. Each write is one event or more.
pub(crate) struct LogWriter(Stderr);

impl LogWriter {
    pub(crate) fn new() -> Self {
        LogWriter(io::stderr())
    }
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(redacted(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
