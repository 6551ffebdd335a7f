//! The journal of a copy as it lies in the account of its job: a drive that is docked at another host resumes from it.
//!
//! It is cut into segments of whole lines, each sealed with a key that the service gives with the order. Each names the digest of
//! all lines before it. The last one is written again as it grows. A station that lost its copy may still write an older one over
//! it: whoever reads stops at the first segment that does not continue what was read, and has the journal as it was some time ago.
//! That claims less than landed, and nothing else. The service removes them when it has noted the end of the copy.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blob::{BlobError, BlobErrorKind, Replaces};
use futures::TryStreamExt;
use protocol::digest::Sha256Digest;
use protocol::job::BlobName;
use protocol::manifest::JournalReplay;
use protocol::station::JournalOrder;
use protocol::units::ByteRange;
use service::scheduler::worker::WorkError;
use service::vault::SealingKey;

use super::accounts::{ReachedAccount, head_of, may_not_be_read};

/// Bytes of the lines of a segment: at 8 MiB a chunk it tells of some 50 GiB. The last one is written whole each time, and accounts
/// that keep versions keep all of them.
pub(super) const SEGMENT_BYTES: u64 = 1 << 20;

/// What a segment may have beside its lines: the digest before them, and its seal.
const SEGMENT_EXTRA_BYTES: u64 = 1 << 10;

/// What the names of all segments begin with: the job's random name is in it, so that nothing else has it.
fn segments_of(place: &BlobName, job_uid: &str) -> String {
    format!("{}.{job_uid}.journal.", place.name)
}

fn segment_name(place: &BlobName, job_uid: &str, index: u32) -> BlobName {
    BlobName { container: place.container.clone(), name: format!("{}{index:04}", segments_of(place, job_uid)) }
}

/// The journal of one copy.
pub(super) struct KeptJournal {
    reached: ReachedAccount,
    place: BlobName,
    job_uid: String,
    key: SealingKey,
    request_timeout: Duration,
}

/// What a segment names of all lines before it: the digest of the last ones of them, and of what was named before those.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Before(Sha256Digest);

impl Default for Before {
    fn default() -> Self {
        Before(Sha256Digest::of(b""))
    }
}

impl Before {
    pub(super) fn and(self, lines: &str) -> Self {
        Before(Sha256Digest::of(format!("{}\n{lines}", self.0).as_bytes()))
    }
}

/// A segment that was read.
enum Segment {
    /// What it names of the lines before it, and its lines.
    Lines(String, String),
    /// It cannot be opened: it was damaged, or is of something else.
    Damaged,
}

impl KeptJournal {
    /// That of a copy of this job; `None` where its key is none.
    pub(super) fn new(
        reached: &ReachedAccount,
        journal: &JournalOrder,
        job_uid: &str,
        request_timeout: Duration,
    ) -> Option<Self> {
        Some(KeptJournal {
            reached: reached.clone(),
            place: journal.place.clone(),
            job_uid: job_uid.to_owned(),
            key: SealingKey::from_hex(&journal.key.0).ok()?,
            request_timeout,
        })
    }

    pub(super) fn job_uid(&self) -> &str {
        &self.job_uid
    }

    pub(super) fn warn(&self, what: &str, error: &dyn std::fmt::Display) {
        tracing::warn!(job = %self.job_uid, %error, "the journal in the account {what}");
    }

    /// The lines of all segments that continue each other; `None` where there are none.
    ///
    /// # Errors
    /// When the store failed.
    pub(super) async fn read(&self) -> Result<Option<String>, BlobError> {
        let (mut lines, mut named) = (String::new(), Before::default());
        for index in 0.. {
            match self.segment(index).await? {
                Some(Segment::Lines(before, more)) if before == named.0.to_string() => {
                    named = named.and(&more);
                    lines.push_str(&more);
                }
                Some(Segment::Damaged) => {
                    self.warn("was damaged, or is of something else: what it says landed is looked for, or moved again", &index);
                    break;
                }
                Some(Segment::Lines(..)) | None => break,
            }
        }
        Ok(Some(lines).filter(|lines| !lines.is_empty()))
    }

    /// The transfer that it is of; `None` where it is not there, or does not say.
    ///
    /// # Errors
    /// When the store failed.
    pub(super) async fn transfer_id(&self) -> Result<Option<String>, BlobError> {
        let first = match self.segment(0).await {
            // What may not be read will never say.
            Err(error) if may_not_be_read(&error) => None,
            first => first?,
        };
        let Some(Segment::Lines(_, lines)) = first else { return Ok(None) };
        let replay = JournalReplay::new(lines.as_bytes()).ok().flatten();
        Ok(replay.map(|replay| replay.header().transfer_id.clone()))
    }

    async fn segment(&self, index: u32) -> Result<Option<Segment>, BlobError> {
        let Some(sealed) = self.sealed(index).await? else { return Ok(None) };
        let opened = self.key.open(&sealed, &sealed_for(&self.job_uid, index)).ok();
        let parts = opened.as_ref().and_then(|segment| segment.split_once('\n'));
        let segment = |(before, lines): (&str, &str)| Segment::Lines(before.to_owned(), lines.to_owned());
        Ok(Some(parts.map_or(Segment::Damaged, segment)))
    }

    async fn sealed(&self, index: u32) -> Result<Option<Vec<u8>>, BlobError> {
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

    /// Puts a segment, by way of a file in `folder`.
    ///
    /// # Errors
    /// When it is not known to be there.
    pub(super) async fn put(&self, index: u32, before: Before, lines: &str, folder: &Path) -> Result<(), WorkError> {
        let failed = |error: BlobError| WorkError::Failed(error.to_string());
        let sealed = self.key.seal(&format!("{}\n{lines}", before.0), &sealed_for(&self.job_uid, index));
        let sealed = sealed.map_err(|error| WorkError::Failed(error.to_string()))?;
        let written = tempfile::tempfile_in(folder).and_then(|mut file| file.write_all(&sealed).map(|()| file));
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

    /// Removes it.
    ///
    /// # Errors
    /// When the store failed.
    pub(super) async fn remove(&self) -> Result<(), BlobError> {
        remove(&self.reached, &self.place, &self.job_uid).await
    }
}

/// What a segment is sealed for.
fn sealed_for(job_uid: &str, index: u32) -> String {
    format!("{job_uid}/journal/{index}")
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
    let name = |index: usize| segment_name(place, job_uid, u32::try_from(index).unwrap_or(u32::MAX));
    let mut names: Vec<BlobName> = match reached.account.blobs(&place.container, &segments_of(place, job_uid)).await {
        Ok(found) => found.into_iter().map(|item| BlobName { container: item.container, name: item.name }).collect(),
        // What may not be listed is counted.
        Err(error) if may_not_be_read(&error) => {
            let mut counted = Vec::new();
            while head_of(&*reached.account.blob(&place.container, &name(counted.len()).name)?).await?.is_some() {
                counted.push(name(counted.len()));
            }
            counted
        }
        Err(error) => return Err(error),
    };
    // Where the next one was being put.
    names.push(name(names.len()));
    for name in names.iter().rev() {
        remove_one(reached, name).await?;
    }
    Ok(())
}
