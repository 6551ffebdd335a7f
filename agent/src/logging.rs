//! The log, without secrets: libraries log what servers answer, and a server may repeat what it was sent.
//!
//! It goes to standard error, or to the file of `--log-file`; that file has the messages and the results too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::cli::{Command, Common, LogFormat};
use crate::resume_command::resume_command;
use crate::secrets::redacted;

/// Messages and results, for the file: standard error and standard output have them already.
pub(crate) const SHOWN: &str = "shown";

/// Begins to log: a service always, everything else when it is asked to.
///
/// # Errors
/// When the file cannot be written; a sentence for the user.
pub(crate) fn start(command: &Command, common: &Common, service: Option<LogFormat>, uses_color: bool) -> Result<(), String> {
    if let Some(path) = &common.log_file
        && command.named_files().iter().any(|named| is_same_place(path, named))
    {
        return Err(format!(
            "`{}` is named twice, for the log and for what is copied or checked: give the log another name",
            path.display()
        ));
    }
    let file = common.log_file.as_deref().map(|path| {
        let problem = |error: io::Error| {
            let next = "name a file that can be written, or leave out `--log-file`";
            format!("the log cannot be written to `{}`: {error}; {next}", path.display())
        };
        open(path).map_err(problem)
    });
    let file = file.transpose()?;
    let level = match (common.verbose, file.is_some()) {
        (0, false) if service.is_none() => return Ok(()),
        (0, _) if service.is_some() => "warn,service=info,drive_agent=info,sqlx=error",
        (0, _) => "warn,drive=info,blob=info,copy=info,drive_agent=info",
        (1, _) => "info,drive=debug,blob=debug,copy=debug,drive_agent=debug",
        _ => "debug,hyper_util=info,reqwest=info",
    };
    let shown = if file.is_some() { "info" } else { "off" };
    let filter = tracing_subscriber::EnvFilter::new(format!("{level},{SHOWN}={shown}"));
    let has_color = uses_color && file.is_none();
    let writer = file.map_or(LogWriter::StandardError, |file| LogWriter::File(Arc::new(file)));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(has_color).with_writer(move || writer.clone());
    // A second start in one process (tests) is not a reason to fail.
    let _ = match service {
        Some(LogFormat::Json) => log.json().try_init(),
        _ => log.try_init(),
    };
    tracing::info!(target: SHOWN, "version {}: {}", env!("CARGO_PKG_VERSION"), resume_command());
    Ok(())
}

/// Appends, so that many runs share a file; a link to somebody else's file is not followed.
fn open(path: &Path) -> io::Result<File> {
    // A pipe without a reader must not hold the program up.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    require_log(path)?;
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags.bits() as i32).open(path)
}

/// What every line of a log begins with: a time, or the first field of JSON.
const BEGINNINGS: [&[u8]; 2] = [b"20", b"{\"timestamp\":"];

/// Refuses drives, and files that hold something else than a log: lines would go into an image, or behind a manifest.
fn require_log(path: &Path) -> io::Result<()> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    let kind = found.file_type();
    if kind.is_block_device() {
        return Err(io::Error::other("it is a drive"));
    }
    if !kind.is_file() || found.len() == 0 {
        return Ok(());
    }
    let mut beginning = [0; 16];
    let length = OpenOptions::new().read(true).open(path)?.read(&mut beginning)?;
    let is_log = BEGINNINGS.iter().any(|one| beginning[..length].starts_with(one));
    // A year, and not any text that begins like one.
    let is_log = is_log && (beginning[0] == b'{' || beginning.get(4) == Some(&b'-'));
    if is_log { Ok(()) } else { Err(io::Error::other("it holds something else than a log")) }
}

/// Whether both are one file, or will be.
fn is_same_place(one: &Path, other: &Path) -> bool {
    let is_one_file = || {
        let (one, other) = (std::fs::metadata(one).ok()?, std::fs::metadata(other).ok()?);
        Some((one.dev(), one.ino()) == (other.dev(), other.ino()))
    };
    let place = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        let folder = path.parent().map(|folder| folder.canonicalize().unwrap_or_else(|_| folder.to_owned()))?;
        Some(folder.join(path.file_name()?))
    };
    is_one_file() == Some(true) || place(one).is_some_and(|one| Some(one) == place(other))
}

/// Where log lines go. Each write is one event or more.
#[derive(Clone)]
enum LogWriter {
    StandardError,
    File(Arc<File>),
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = redacted(&String::from_utf8_lossy(bytes));
        match self {
            LogWriter::StandardError => io::stderr().write_all(text.as_bytes())?,
            LogWriter::File(file) => file.as_ref().write_all(text.as_bytes())?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            LogWriter::StandardError => io::stderr().flush(),
            LogWriter::File(file) => file.as_ref().flush(),
        }
    }
}
