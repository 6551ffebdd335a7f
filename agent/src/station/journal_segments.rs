//! Keeping the journal of a copy in the account of its job: what another host wrote is taken over at the beginning, and what is added
//! is written until the end.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use file::private::make_folder;
use file::replace::{IfExists, with_suffix, write_file};
use protocol::station::CopyOrder;
use service::scheduler::worker::WorkError;
use tokio::sync::Mutex;

use super::accounts::ReachedAccount;
use super::host::StationWorker;
use super::kept_journal::{Before, KeptJournal, SEGMENT_BYTES};

/// How often what was added is written, at first and later: so much is moved again by another host.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// How long a copy is kept waiting for what was added: before it begins, before its blob appears, and at its end.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes by which a journal is known that started over.
const HEAD_BYTES: u64 = 256;

/// The journal of one copy, followed.
pub(super) struct JournalSegments {
    kept: KeptJournal,
    grants: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    /// What they were when the copy began.
    granted: Option<u64>,
    /// The run before was cut off: what its host did last is in no journal but its own.
    was_cut_off: bool,
    /// The lines that were found of another host.
    found: StdMutex<Option<String>>,
    /// The journal of this host. Where it is follows from the drive, for an export.
    journal: OnceLock<PathBuf>,
    written: Mutex<Written>,
}

/// What was written of the journal as it is now.
#[derive(Default)]
struct Written {
    /// Its first bytes.
    head: Vec<u8>,
    /// Segments that are full, and the bytes in them.
    full: u32,
    full_bytes: u64,
    /// What the next segment names.
    before: Before,
    /// Bytes in the segment behind them.
    last_bytes: u64,
}

impl JournalSegments {
    /// Those of the copy that an order is about; `None` where the service names no place for them.
    pub(super) fn of(order: &CopyOrder, reached: &ReachedAccount, worker: &StationWorker) -> Option<Self> {
        Self::new(order, reached, worker.options.request_timeout, worker.grants.clone())
    }

    fn new(
        order: &CopyOrder,
        reached: &ReachedAccount,
        request_timeout: Duration,
        grants: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    ) -> Option<Self> {
        Some(JournalSegments {
            kept: KeptJournal::new(reached, order.journal.as_ref()?, &order.job_uid, request_timeout)?,
            granted: grants(),
            grants,
            was_cut_off: order.was_cut_off,
            found: StdMutex::default(),
            journal: OnceLock::new(),
            written: Mutex::default(),
        })
    }

    /// Looks for what another host wrote.
    pub(super) async fn find(&self) {
        match self.kept.read().await {
            Ok(found) => *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found,
            Err(error) => self.kept.warn("cannot be read: what it says landed is looked for, or moved again", &error),
        }
    }

    /// Says where the journal of this host is, before it is opened. What was found becomes it, where this host has none, or has one
    /// that was not continued there: the drive was at the other host since. True where the journal came from another host, now or
    /// before this process began.
    pub(super) fn keep_as(&self, journal: PathBuf) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        match found.map_or(Ok(false), |lines| keep(&journal, &lines, self.was_cut_off)) {
            Ok(false) => {}
            Ok(true) => tracing::info!(job = self.kept.job_uid(), "the copy resumes with the journal of another host"),
            Err(error) => self.kept.warn("cannot be kept", &error),
        }
        let is_of_another_host = mark_of(&journal).exists();
        let _ = self.journal.set(journal);
        is_of_another_host
    }

    /// Whether the journal of this copy came from a host that may have done more than it says: what it does not name is not known to
    /// have been left out.
    pub(super) fn may_be_behind(&self) -> bool {
        self.journal.get().is_some_and(|journal| may_be_behind(journal, self.was_cut_off))
    }

    /// Removes what is there of a copy that is started over.
    pub(super) async fn discard(&self) {
        if let Err(error) = self.kept.remove().await {
            self.kept.warn("cannot be removed", &error);
        }
    }

    /// Writes what is added to the journal, until it is dropped.
    pub(super) async fn follow(&self) -> Infallible {
        let (mut was_told, begin) = (false, Instant::now());
        loop {
            tokio::time::sleep((begin.elapsed() / 10).clamp(INTERVAL_MIN, INTERVAL_MAX)).await;
            if let Err(error) = self.write_added().await
                && !std::mem::replace(&mut was_told, true)
            {
                self.kept.warn("cannot be written: another host would begin without it", &error);
            }
        }
    }

    /// Writes what was added last, and keeps the copy waiting for it no longer than that is worth.
    pub(super) async fn write_now(&self) {
        let error = match tokio::time::timeout(WRITE_TIMEOUT, self.write_added()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.kept.warn("is not up to date", &error);
    }

    async fn write_added(&self) -> Result<(), WorkError> {
        let failed = |error: std::io::Error| WorkError::Failed(error.to_string());
        let Some(journal) = self.journal.get() else { return Ok(()) };
        let mut written = self.written.lock().await;
        loop {
            let added = tokio::task::block_in_place(|| written.read_added(journal)).map_err(failed)?;
            let Some((lines, is_full)) = added else { return Ok(()) };
            if self.granted.is_none() || (self.grants)() != self.granted {
                return Err(WorkError::Failed("the grant of the copy has ended: another host may have the drive".to_owned()));
            }
            self.kept.put(written.full, written.before, &lines, journal.parent().unwrap_or(Path::new("."))).await?;
            written.add(&lines, is_full);
            if !is_full {
                return Ok(());
            }
        }
    }
}

/// Makes lines the journal of this host; false where it says all of them, and maybe more.
fn keep(journal: &Path, lines: &str, was_cut_off: bool) -> std::io::Result<bool> {
    if says_all_of(journal, lines)? {
        return Ok(false);
    }
    make_folder(journal.parent().unwrap_or(Path::new(".")))?;
    let write = |path: &Path, bytes: &[u8]| {
        write_file(path, &with_suffix(path, ".tmp"), IfExists::Replace, |file| file.write_all(bytes)).map(drop)
    };
    // First: a process that ends between the two, or before it has looked at the drive, must not believe the journal later.
    let is_behind = may_be_behind(journal, was_cut_off) || was_cut_off;
    write(&mark_of(journal), if is_behind { BEHIND } else { b"" })?;
    write(journal, lines.as_bytes())?;
    Ok(true)
}

/// Whether a journal, which need not be there, begins with these lines.
pub(super) fn says_all_of(journal: &Path, lines: &str) -> std::io::Result<bool> {
    let mut own = Vec::new();
    match File::open(journal) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        file => {
            file?.take(lines.len() as u64).read_to_end(&mut own)?;
        }
    }
    Ok(own == lines.as_bytes())
}

/// What the mark of a journal says whose host was cut off.
const BEHIND: &[u8] = b"behind\n";

/// Whether a journal came from another host that may have done more than it says: one that was cut off then, or before this run.
pub(super) fn may_be_behind(journal: &Path, was_cut_off: bool) -> bool {
    std::fs::read(mark_of(journal)).is_ok_and(|mark| was_cut_off || mark == BEHIND)
}

/// A file beside a journal that came from another host: it stays as long as the journal's folder.
fn mark_of(journal: &Path) -> PathBuf {
    with_suffix(journal, ".of-another-host")
}

impl Written {
    /// The whole lines behind the segments that are full, as many as go into one, where there are more than were written; and
    /// whether they fill it.
    fn read_added(&mut self, journal: &Path) -> std::io::Result<Option<(String, bool)>> {
        let mut file = match File::open(journal) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(HEAD_BYTES).read_to_end(&mut head)?;
        let length = file.metadata()?.len();
        if head != self.head || length < self.full_bytes + self.last_bytes {
            // It started over, or has its first lines only now.
            *self = Written { head, ..Written::default() };
        }
        file.seek(SeekFrom::Start(self.full_bytes))?;
        let mut bytes = Vec::new();
        file.take(SEGMENT_BYTES).read_to_end(&mut bytes)?;
        let is_full = length > self.full_bytes + SEGMENT_BYTES;
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        if bytes.len() as u64 <= self.last_bytes && !is_full {
            return Ok(None);
        }
        let lines = String::from_utf8(bytes).map_err(std::io::Error::other)?;
        Ok(Some((lines, is_full)).filter(|(lines, _)| !lines.is_empty()))
    }

    fn add(&mut self, lines: &str, is_full: bool) {
        if is_full {
            self.before = self.before.and(lines);
            self.full += 1;
            self.full_bytes += lines.len() as u64;
        }
        self.last_bytes = if is_full { 0 } else { lines.len() as u64 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blob::http::Network;
    use blob::{AccountAddress, Environment};
    use protocol::result::Direction;
    use protocol::station::JournalKey;

    fn order() -> CopyOrder {
        serde_json::from_value(serde_json::json!({
            "bay": "hall/bay-1", "direction": Direction::Import, "jobUid": "77", "driveId": "A", "account": "local",
            "blob": { "container": "imports", "name": "job/A.img" }, "sequence": 1, "accountOnly": false, "wasCutOff": false,
            "retry": {}, "mayErase": false,
            "journal": { "place": { "container": "imports", "name": "job/A.img" }, "key": JournalKey("77".repeat(32)) },
        }))
        .unwrap()
    }

    /// A host, with its own state directory and the account of all.
    fn host(account: &Path, state_dir: &Path) -> JournalSegments {
        let account = AccountAddress::Directory(account.to_owned());
        let account = account.reach(&Environment::default(), &Network::direct(Duration::from_secs(10))).unwrap();
        let reached = ReachedAccount { account, public: String::new(), place: String::new() };
        let segments = JournalSegments::new(&order(), &reached, Duration::from_secs(10), Arc::new(|| Some(0))).unwrap();
        segments.keep_as(state_dir.join("journal.jsonl"));
        segments
    }

    /// The journal that a host has which begins with what is in the account.
    async fn restored(account: &Path, state_dir: &Path) -> Option<String> {
        let segments = host(account, state_dir);
        segments.find().await;
        segments.keep_as(journal_of(&segments));
        std::fs::read_to_string(journal_of(&segments)).ok()
    }

    fn journal_of(segments: &JournalSegments) -> PathBuf {
        segments.journal.get().unwrap().clone()
    }

    fn lines(count: u64) -> String {
        (0..count).map(|number| format!("{{\"line\":{number:0100}}}\n")).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_host_gets_the_journal_as_far_as_its_segments_continue_each_other() {
        let (account, first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let writer = host(account.path(), first.path());
        let here = journal_of(&writer);
        // More than two segments, the last line of which is being written.
        let whole = lines(20_000);
        std::fs::write(&here, format!("{whole}{{\"line\"")).unwrap();
        writer.write_added().await.unwrap();
        assert_eq!(writer.written.lock().await.full, 2);
        assert!(restored(account.path(), second.path()).await.unwrap() == whole);
        // One that has more keeps it; one that has something else was not where the drive was last.
        let own = journal_of(&host(account.path(), second.path()));
        std::fs::write(&own, format!("{whole}own\n")).unwrap();
        assert!(restored(account.path(), second.path()).await.unwrap() == format!("{whole}own\n"));
        for older in [lines(10), "own\n".to_owned()] {
            std::fs::write(&own, older).unwrap();
            assert!(restored(account.path(), second.path()).await.unwrap() == whole);
        }
        // A station that was cut off writes what it had over the first segment: what comes behind it does not continue it. Then it
        // grows, and starts over.
        for count in [10, 11, 12, 3] {
            std::fs::write(&here, lines(count)).unwrap();
            writer.write_added().await.unwrap();
            let third = tempfile::tempdir().unwrap();
            assert!(restored(account.path(), third.path()).await.unwrap() == lines(count), "{count}");
        }
        // Nobody else can write one.
        let path = account.path().join("imports/job/A.img.77.journal.0000");
        let mut forged = std::fs::read(&path).unwrap();
        forged[20] ^= 1;
        std::fs::write(&path, forged).unwrap();
        let fourth = tempfile::tempdir().unwrap();
        assert_eq!(restored(account.path(), fourth.path()).await, None);
        writer.kept.remove().await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_of_another_host_is_known_as_one_after_a_process_that_ended_before_it_looked_at_the_drive() {
        let (account, first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let writer = host(account.path(), first.path());
        std::fs::write(journal_of(&writer), lines(10)).unwrap();
        writer.write_added().await.unwrap();
        let is_of_another = async |state_dir: &Path| {
            let segments = host(account.path(), state_dir);
            segments.find().await;
            segments.keep_as(journal_of(&segments))
        };
        assert!(!is_of_another(first.path()).await);
        for _ in 0..3 {
            assert!(is_of_another(second.path()).await);
        }
    }
}
