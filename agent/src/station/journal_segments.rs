//! The journal of a copy is also kept in the account of its job: a drive that is docked at another host resumes there.
//!
//! It is cut into segments of whole lines, each sealed with a key that the service gives with the order. Each names the digest of
//! all lines before it. The last one is written again as it grows. A station that lost its copy may still write an older one over
//! it: whoever reads stops at the first segment that does not continue what was read, and has the journal as it was some time ago.
//! That claims less than landed, and nothing else. The service removes them when it has noted the end of the copy.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use blob::{Blob, BlobError, BlobErrorKind, BlobFacts, Replaces};
use file::private::make_folder;
use file::replace::{IfExists, with_suffix, write_file};
use futures::TryStreamExt;
use protocol::digest::Sha256Digest;
use protocol::job::BlobName;
use protocol::manifest::JournalReplay;
use protocol::station::{CopyOrder, JournalOrder};
use protocol::units::ByteRange;
use service::scheduler::worker::WorkError;
use service::vault::SealingKey;
use tokio::sync::Mutex;

use super::accounts::ReachedAccount;
use super::host::StationWorker;

/// Bytes of the lines of a segment: at 8 MiB a chunk it tells of some 50 GiB. The last one is written whole each time, and accounts
/// that keep versions keep all of them.
const SEGMENT_BYTES: u64 = 1 << 20;

/// What a segment may have beside its lines: the digest before them, and its seal.
const SEGMENT_EXTRA_BYTES: u64 = 1 << 10;

/// How often what was added is written, at first and later: so much is moved again by another host.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// How long a copy is kept waiting for what was added: before it begins, before its blob appears, and at its end.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest silence of the store while a journal is read for what it names.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes by which a journal is known that started over.
const HEAD_BYTES: u64 = 256;

/// What the names of all segments begin with: the job's random name is in it, so that nothing else has it.
fn segments_of(place: &BlobName, job_uid: &str) -> String {
    format!("{}.{job_uid}.journal.", place.name)
}

fn segment_name(place: &BlobName, job_uid: &str, index: u32) -> BlobName {
    BlobName { container: place.container.clone(), name: format!("{}{index:04}", segments_of(place, job_uid)) }
}

/// The segments of one copy's journal.
pub(super) struct JournalSegments {
    reached: ReachedAccount,
    place: BlobName,
    job_uid: String,
    key: SealingKey,
    request_timeout: Duration,
    grants: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    /// What they were when the copy began.
    granted: Option<u64>,
    /// The lines that were found of another host.
    found: StdMutex<Option<String>>,
    /// The journal of this host. Where it is follows from the drive, for an export.
    journal: OnceLock<PathBuf>,
    written: Mutex<Written>,
}

/// What a segment names of all lines before it: the digest of the last ones of them, and of what was named before those.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Before(Sha256Digest);

impl Default for Before {
    fn default() -> Self {
        Before(Sha256Digest::of(b""))
    }
}

impl Before {
    fn and(self, lines: &str) -> Self {
        Before(Sha256Digest::of(format!("{}\n{lines}", self.0).as_bytes()))
    }
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
        let journal = order.journal.as_ref()?;
        Some(JournalSegments {
            granted: grants(),
            grants,
            reached: reached.clone(),
            place: journal.place.clone(),
            job_uid: order.job_uid.clone(),
            key: SealingKey::from_hex(&journal.key.0).ok()?,
            request_timeout,
            found: StdMutex::default(),
            journal: OnceLock::new(),
            written: Mutex::default(),
        })
    }

    /// Looks for what another host wrote.
    pub(super) async fn find(&self) {
        match self.read().await {
            Ok(found) => *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found,
            Err(error) => self.warn("cannot be read: what it says landed is looked for, or moved again", &error),
        }
    }

    /// Says where the journal of this host is, before it is opened. What was found becomes it, where this host has none, or has one
    /// that was not continued there: the drive was at the other host since. True where it did.
    pub(super) fn keep_as(&self, journal: PathBuf) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        let kept = found.map_or(Ok(false), |lines| keep(&journal, &lines));
        match &kept {
            Ok(false) => {}
            Ok(true) => tracing::info!(job = %self.job_uid, "the copy resumes with the journal of another host"),
            Err(error) => self.warn("cannot be kept", error),
        }
        let _ = self.journal.set(journal);
        kept.unwrap_or(false)
    }

    /// Removes what is there of a copy that is started over.
    pub(super) async fn discard(&self) {
        if let Err(error) = remove(&self.reached, &self.place, &self.job_uid).await {
            self.warn("cannot be removed", &error);
        }
    }

    fn warn(&self, what: &str, error: &dyn std::fmt::Display) {
        tracing::warn!(job = %self.job_uid, %error, "the journal in the account {what}");
    }

    /// The lines of all segments that continue each other.
    async fn read(&self) -> Result<Option<String>, BlobError> {
        let (mut lines, mut named) = (String::new(), Before::default());
        for index in 0.. {
            let Some(sealed) = self.read_one(index).await? else { break };
            let opened = self.key.open(&sealed, &sealed_for(&self.job_uid, index));
            let Some((before, more)) = opened.as_ref().ok().and_then(|segment| segment.split_once('\n')) else {
                self.warn("was damaged, or is of something else: what it says landed is looked for, or moved again", &index);
                break;
            };
            if before != named.0.to_string() {
                break;
            }
            named = named.and(more);
            lines.push_str(more);
        }
        Ok(Some(lines).filter(|lines| !lines.is_empty()))
    }

    async fn read_one(&self, index: u32) -> Result<Option<Vec<u8>>, BlobError> {
        let name = segment_name(&self.place, &self.job_uid, index);
        let blob = self.reached.account.blob(&name.container, &name.name)?;
        let read = async {
            let facts = head_of(&*blob).await?.filter(|facts| facts.size_bytes <= SEGMENT_BYTES + SEGMENT_EXTRA_BYTES);
            let Some(facts) = facts else { return Ok(None) };
            let body = blob.read(ByteRange::new(0, facts.size_bytes), &facts.version, false).await?;
            let add = |mut bytes: Vec<u8>, piece: bytes::Bytes| async move {
                bytes.extend_from_slice(&piece);
                Ok(bytes)
            };
            body.pieces.try_fold(Vec::new(), add).await.map(Some)
        };
        let timed_out = |_| BlobError::new(BlobErrorKind::TimedOut, "read", blob.address(), "no answer in time");
        tokio::time::timeout(self.request_timeout, read).await.map_err(timed_out)?
    }

    /// Writes what is added to the journal, until it is dropped.
    pub(super) async fn follow(&self) -> Infallible {
        let (mut was_told, begin) = (false, Instant::now());
        loop {
            tokio::time::sleep((begin.elapsed() / 10).clamp(INTERVAL_MIN, INTERVAL_MAX)).await;
            if let Err(error) = self.write_added().await
                && !std::mem::replace(&mut was_told, true)
            {
                self.warn("cannot be written: another host would begin without it", &error);
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
        self.warn("is not up to date", &error);
    }

    async fn write_added(&self) -> Result<(), WorkError> {
        let failed = |error: std::io::Error| WorkError::Failed(error.to_string());
        let Some(journal) = self.journal.get() else { return Ok(()) };
        let mut written = self.written.lock().await;
        loop {
            let added = tokio::task::block_in_place(|| written.read_added(journal)).map_err(failed)?;
            let Some((lines, is_full)) = added else { return Ok(()) };
            let index = written.full;
            let segment = format!("{}\n{lines}", written.before.0);
            let sealed = self.key.seal(&segment, &sealed_for(&self.job_uid, index));
            let sealed = sealed.map_err(|error| WorkError::Failed(error.to_string()))?;
            self.put(index, &sealed, journal).await?;
            written.add(&lines, is_full);
            if !is_full {
                return Ok(());
            }
        }
    }

    async fn put(&self, index: u32, sealed: &[u8], journal: &Path) -> Result<(), WorkError> {
        if self.granted.is_none() || (self.grants)() != self.granted {
            return Err(WorkError::Failed("the grant of the copy has ended: another host may have the drive".to_owned()));
        }
        let failed = |error: BlobError| WorkError::Failed(error.to_string());
        let folder = journal.parent().unwrap_or(Path::new("."));
        let written = tempfile::tempfile_in(folder).and_then(|mut file| file.write_all(sealed).map(|()| file));
        let file = written.map_err(|error| WorkError::Failed(error.to_string()))?;
        let name = segment_name(&self.place, &self.job_uid, index);
        let blob = self.reached.account.blob(&name.container, &name.name).map_err(failed)?;
        let id = id_of(&name);
        let put = async {
            if index == 0 {
                self.reached.account.make_place(&name.container, &name.name).await?;
            }
            blob.put_file(Arc::new(file), &id, &Replaces::Anything).await
        };
        let put = tokio::time::timeout(self.request_timeout, put).await;
        put.map_err(|_| WorkError::Failed(format!("no answer for `{}`", blob.address())))?.map_err(failed)
    }
}

/// Makes lines the journal of this host; false where it says all of them, and maybe more.
fn keep(journal: &Path, lines: &str) -> std::io::Result<bool> {
    let mut own = Vec::new();
    match File::open(journal) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        file => {
            file?.take(lines.len() as u64).read_to_end(&mut own)?;
        }
    }
    if own == lines.as_bytes() {
        return Ok(false);
    }
    make_folder(journal.parent().unwrap_or(Path::new(".")))?;
    let temporary = with_suffix(journal, ".tmp");
    write_file(journal, &temporary, IfExists::Replace, |file| file.write_all(lines.as_bytes()))?;
    Ok(true)
}

/// What a segment is sealed for.
fn sealed_for(job_uid: &str, index: u32) -> String {
    format!("{job_uid}/journal/{index}")
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

/// What a segment is; `None` where nothing was ever put there.
async fn head_of(blob: &dyn Blob) -> Result<Option<BlobFacts>, BlobError> {
    match blob.head().await {
        Err(error) if matches!(error.kind, BlobErrorKind::NotFound | BlobErrorKind::ContainerNotFound) => Ok(None),
        head => head,
    }
}

/// One name for every try to put a segment: what an interrupted one left is written again, or removed with it.
fn id_of(name: &BlobName) -> String {
    Sha256Digest::of(name.name.as_bytes()).to_string()
}

/// Removes a segment, and what an interrupted try to put it left.
async fn remove_one(reached: &ReachedAccount, name: &BlobName) -> Result<(), BlobError> {
    reached.account.remove(&name.container, &name.name).await?;
    reached.account.discard_unfinished(&name.container, &name.name, &id_of(name)).await?;
    Ok(())
}

/// Removes all segments of a copy's journal, the last one first: where that ends halfway, the others are found again.
///
/// # Errors
/// When the store failed.
pub(super) async fn remove(reached: &ReachedAccount, place: &BlobName, job_uid: &str) -> Result<(), BlobError> {
    let name = |index| segment_name(place, job_uid, index);
    let mut names: Vec<BlobName> = match reached.account.blobs(&place.container, &segments_of(place, job_uid)).await {
        Ok(found) => found.into_iter().map(|item| BlobName { container: item.container, name: item.name }).collect(),
        // What may not be listed is counted.
        Err(error) if error.kind == BlobErrorKind::Denied => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut count = u32::try_from(names.len()).unwrap_or(u32::MAX);
    while head_of(&*reached.account.blob(&name(count).container, &name(count).name)?).await?.is_some() {
        names.push(name(count));
        count += 1;
    }
    // Where the next one was being put.
    names.push(name(count));
    for name in names.iter().rev() {
        remove_one(reached, name).await?;
    }
    Ok(())
}

/// The transfer that a kept journal is of; `None` where there is none, or it cannot be read.
pub(super) async fn transfer_of(reached: &ReachedAccount, journal: &JournalOrder, job_uid: &str) -> Option<String> {
    let segments = JournalSegments {
        reached: reached.clone(),
        place: journal.place.clone(),
        job_uid: job_uid.to_owned(),
        key: SealingKey::from_hex(&journal.key.0).ok()?,
        request_timeout: READ_TIMEOUT,
        grants: Arc::new(|| None),
        granted: None,
        found: StdMutex::default(),
        journal: OnceLock::new(),
        written: Mutex::default(),
    };
    let lines = segments.read().await.ok()??;
    let replay = JournalReplay::new(lines.as_bytes()).ok()??;
    Some(replay.header().transfer_id.clone())
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
        let path = account.path().join("imports").join(&segment_name(&writer.place, "77", 0).name);
        let mut forged = std::fs::read(&path).unwrap();
        forged[20] ^= 1;
        std::fs::write(&path, forged).unwrap();
        let fourth = tempfile::tempdir().unwrap();
        assert_eq!(restored(account.path(), fourth.path()).await, None);
        remove(&writer.reached, &writer.place, "77").await.unwrap();
        assert!(!path.exists());
    }
}
