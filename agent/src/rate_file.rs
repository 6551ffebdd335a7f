//! `--rate-file`: a rate that a person or a program changes while a transfer runs, by writing another one into a file.
//!
//! A file, and not a signal: it says which rate, it is for one transfer among several, and it is there for the next one.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use copy::{CopyError, LiveRate};
use protocol::units::ByteRate;

use crate::printer::Printer;

/// How often it is read.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// No rate is longer, in bytes.
const TEXT_BYTES_MAX: u64 = 100;

/// The word for no limit.
const UNLIMITED: &str = "unlimited";

/// What a text says: a rate as `--rate` takes it, or no limit.
pub(crate) fn parse(text: &str) -> Result<Option<ByteRate>, String> {
    match text.trim() {
        // A full disk leaves it empty, and that must not lift a limit.
        "" => Err("it is empty".to_owned()),
        UNLIMITED => Ok(None),
        text => text.parse().map(Some).map_err(|error: protocol::units::SizeError| error.to_string()),
    }
}

/// The rate that a file has.
///
/// # Errors
/// When it cannot be read, or has no rate.
pub(crate) fn first_rate(path: &Path) -> Result<Option<ByteRate>, CopyError> {
    let usage = |why: String| CopyError::Usage(format!("`--rate-file {}`: {why}", path.display()));
    parse(&text_of(path).map_err(|error| usage(error.to_string()))?).map_err(usage)
}

fn text_of(path: &Path) -> io::Result<String> {
    // A pipe would be waited for.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > TEXT_BYTES_MAX {
        true => Err(io::Error::other("it is longer than any rate")),
        false => Ok(text),
    }
}

/// What the file said, look by look.
struct Follower {
    path: PathBuf,
    /// What the look before found; an error as its text.
    seen: Result<String, String>,
    /// What was acted on last.
    taken: Result<String, String>,
}

/// What a look leads to.
#[derive(Debug, PartialEq)]
enum Change {
    Rate(Option<ByteRate>),
    /// The rate stays: why.
    Bad(String),
}

impl Follower {
    fn new(path: PathBuf) -> Self {
        let text = text_of(&path).map_err(|error| error.to_string());
        Follower { path, seen: text.clone(), taken: text }
    }

    /// Acts on a text when two looks found the same: a file that is being written is empty for a moment.
    fn look(&mut self, found: Result<String, String>) -> Option<Change> {
        let is_settled = found == self.seen;
        self.seen.clone_from(&found);
        if !is_settled || found == self.taken {
            return None;
        }
        self.taken.clone_from(&found);
        Some(match found.and_then(|text| parse(&text)) {
            Ok(rate) => Change::Rate(rate),
            Err(why) => Change::Bad(why),
        })
    }
}

/// Changes the rate when the file does, until the process ends. What is not a rate changes nothing, and is reported once.
pub(crate) fn follow(path: Option<&Path>, rate: &LiveRate, printer: &Printer) {
    let Some(path) = path else { return };
    let (mut follower, rate, printer) = (Follower::new(path.to_owned()), rate.clone(), printer.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let path = follower.path.clone();
            // A file system that hangs must not hold up the transfer.
            let Ok(found) = tokio::task::spawn_blocking(move || text_of(&path)).await else { return };
            let shown = follower.path.display().to_string();
            match follower.look(found.map_err(|error| error.to_string())) {
                Some(Change::Rate(new)) => {
                    rate.set(new);
                    let text = new.map_or_else(|| "without a limit".to_owned(), |new| format!("at most {new}"));
                    printer.inform(&format!("`{shown}` was changed: {text} from now on"));
                }
                Some(Change::Bad(why)) => printer.warn(&format!("`{shown}` has no rate, and the one before stays: {why}")),
                None => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_taken_when_it_stays_and_a_bad_one_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rate");
        std::fs::write(&path, "1MB/s\n").unwrap();
        let mut follower = Follower::new(path);
        let rate = |bytes_per_second| Some(Change::Rate(Some(ByteRate { bytes_per_second })));
        let mut look = |text: Result<&str, &str>| follower.look(text.map(str::to_owned).map_err(str::to_owned));
        assert_eq!(look(Ok("1MB/s\n")), None);
        // Truncated, and then written.
        assert_eq!((look(Ok("")), look(Ok("2MB/s")), look(Ok("2MB/s"))), (None, None, rate(2_000_000)));
        assert_eq!((look(Ok("2MB/s")), look(Ok(""))), (None, None));
        // Empty for good: the limit stays, and that is told once.
        assert_eq!((look(Ok("")), look(Ok(""))), (Some(Change::Bad("it is empty".to_owned())), None));
        assert_eq!((look(Ok("unlimited")), look(Ok("unlimited"))), (None, Some(Change::Rate(None))));
        assert_eq!((look(Ok("fast")), matches!(look(Ok("fast")), Some(Change::Bad(_)))), (None, true));
        assert_eq!((look(Ok("fast")), look(Err("gone"))), (None, None));
        assert!(matches!(look(Err("gone")), Some(Change::Bad(_))));
        assert_eq!((look(Err("gone")), look(Ok("2MB/s")), look(Ok("2MB/s"))), (None, None, rate(2_000_000)));
    }

    #[test]
    fn texts_are_rates_as_the_option_takes_them() {
        assert_eq!(parse(" 50MB/s\n").unwrap(), Some(ByteRate { bytes_per_second: 50_000_000 }));
        assert_eq!(parse("unlimited\n").unwrap(), None);
        for bad in ["", "\n", "0", "-1MB/s", "fast", "1MB/s 2MB/s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
