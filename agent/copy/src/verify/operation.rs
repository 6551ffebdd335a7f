//! A manifest against a drive, a blob, or both. Each step consumes the one before.
//!
//! ```text
//! Loaded ──▶ Examined ──▶ Verified ──▶ VerifyResult
//! ```

use std::sync::Arc;

use blob::{Access, Blob, BlobFacts};
use drive::Drive;
use protocol::digest::Sha256Digest;
use protocol::identity::DriveIdentity;
use protocol::limits::MIB;
use protocol::outcome::Outcome;
use protocol::progress::Phase;
use protocol::result::{Difference, DifferenceReason, VerifiedSide, VerifyResult};
use protocol::units::ByteRange;

use crate::call::handle::TransferHandle;
use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;
use crate::plan::{MemoryPlan, memory_plan};
use crate::source::manifest::{LoadedManifest, ManifestSource, load_manifest, not_found, require_whole};
use crate::source::vhd::disk_in;
use crate::verify::compare::compare_up_to;
use crate::verify::comparer::Compared;
use crate::verify::side::{Expected, Scope, Side};

/// What [`verify`] holds the manifest against; at least one of the two.
#[derive(Default)]
pub struct Sides {
    /// The drive.
    pub drive: Option<Arc<dyn Drive>>,
    /// The blob.
    pub blob: Option<Arc<dyn Blob>>,
}

/// Checks a drive, a blob, or both against a manifest. `shown` is what the manifest is called in messages.
///
/// # Errors
/// When the manifest cannot be used, or a side cannot be read at all. Differences are not an error: they
/// are in the result.
pub async fn verify(
    manifest: ManifestSource,
    shown: &str,
    sides: Sides,
    options: TransferOptions,
    handle: TransferHandle,
) -> Result<VerifyResult, CopyError> {
    let loaded = Loaded::new(manifest, shown, &sides, options, handle).await?;
    Ok(loaded.examine(sides).await?.compare().await?.result())
}

/// A verification whose manifest was read whole.
struct Loaded<'shown> {
    manifest: LoadedManifest,
    shown: &'shown str,
    options: TransferOptions,
    handle: TransferHandle,
    attempts: Attempts,
}

/// A verification whose sides are there, and may be compared.
struct Examined<'shown> {
    loaded: Loaded<'shown>,
    drive: Option<DriveIdentity>,
    blob: Option<String>,
    /// Each with the size at which it ends, in bytes.
    sides: Vec<(Side, u64)>,
    found: Found,
}

/// A verification whose sides were compared, or that was cancelled.
struct Verified<'shown>(Examined<'shown>);

/// What was found by now, of all sides.
#[derive(Default)]
struct Found {
    differences: Vec<Difference>,
    unreadable: Vec<ByteRange>,
    bytes_verified: u64,
}

impl<'shown> Loaded<'shown> {
    async fn new(
        manifest: ManifestSource,
        shown: &'shown str,
        sides: &Sides,
        options: TransferOptions,
        handle: TransferHandle,
    ) -> Result<Self, CopyError> {
        let address = sides.blob.as_ref().map_or_else(|| shown.to_owned(), |blob| blob.address());
        let attempts = Attempts::new(&options, &handle, address, sides.blob.as_deref());
        let loading = load_manifest(&manifest, shown, &options, &attempts);
        let manifest = handle.stop.or_stopping(loading).await.ok_or(CopyError::Cancelled)??;
        Ok(Loaded { manifest, shown, options, handle, attempts })
    }

    /// Looks at each side: whether it is there at all, and how much of it is more than the manifest has.
    async fn examine(self, Sides { drive, blob }: Sides) -> Result<Examined<'shown>, CopyError> {
        let identity = drive.as_ref().map(|drive| drive.identity().clone());
        let address = blob.as_ref().map(|blob| blob.address());
        let mut sides = Vec::new();
        let mut found = Found::default();
        if let Some(drive) = drive {
            self.tell_other_drive(drive.identity());
            let size = drive.size_bytes();
            sides.push((Side::Drive(drive), size));
        }
        if let Some(blob) = blob {
            let facts = self.look_at(&*blob).await?;
            found.differences.extend(self.extra(facts.size_bytes));
            let size = facts.size_bytes;
            sides.push((Side::blob(blob, Some(facts)), size));
        }
        Ok(Examined { loaded: self, drive: identity, blob: address, sides, found })
    }

    fn tell_other_drive(&self, now: &DriveIdentity) {
        let recorded = &self.manifest.header.drive;
        if recorded.serial != now.serial {
            let (now, recorded) = (now.label(), recorded.label());
            self.handle.inform(format!("the manifest was made of the drive `{recorded}`; this one is `{now}`"));
        }
    }

    async fn look_at(&self, blob: &dyn Blob) -> Result<BlobFacts, CopyError> {
        blob.require_permitted(Access::Read)?;
        let attempts = self.attempts.for_first_contact();
        let looking = attempts.run("look at", 0, || blob.head());
        let facts = self.handle.stop.or_stopping(looking).await.ok_or(CopyError::Cancelled)??.0;
        let facts = facts.ok_or_else(|| not_found(blob))?;
        require_whole(blob, &facts)?;
        let total = self.manifest.geometry.total_bytes();
        // A disk that an import wrote into may be longer than its drive, and nothing at the store says by how much.
        match disk_in(blob, &facts, &self.options, &self.attempts).await?.filter(|disk| *disk == total.next_multiple_of(MIB)) {
            Some(_) => Ok(BlobFacts { size_bytes: total, ..facts }),
            None => Ok(facts),
        }
    }

    /// What a blob of this size has behind the end of the manifest.
    fn extra(&self, size: u64) -> Option<Difference> {
        let total = self.manifest.geometry.total_bytes();
        let length = size.checked_sub(total).filter(|length| *length > 0)?;
        Some(Difference { side: VerifiedSide::Blob, range: ByteRange::new(total, length), reason: DifferenceReason::Extra })
    }

    async fn compare(&self, side: Side, size: u64, memory: MemoryPlan) -> Result<Compared, CopyError> {
        let LoadedManifest { table, header, stream_sha256, .. } = &self.manifest;
        let wants_stream = stream_sha256.is_some();
        let expected = Expected { table, fill: header.unreadable_fill, scope: Scope::All, wants_stream };
        compare_up_to(side, size, expected, &self.options, &self.attempts, &self.handle, memory).await
    }
}

impl<'shown> Examined<'shown> {
    /// Compares the sides one after the other.
    async fn compare(mut self) -> Result<Verified<'shown>, CopyError> {
        let sides = std::mem::take(&mut self.sides);
        let Loaded { manifest, options, handle, .. } = &self.loaded;
        let total = manifest.geometry.total_bytes();
        handle.counters.begin_part(Phase::Verifying, total * sides.len() as u64);
        let memory = memory_plan(options.memory, manifest.geometry)?;
        for (side, size) in sides {
            let name = side.name();
            let compared = self.loaded.compare(side, size, memory).await?;
            self.found.add(name, compared, total, manifest.stream_sha256);
        }
        self.found.differences.sort_by_key(|difference| (difference.side, difference.range));
        handle.counters.set_phase(Phase::Done);
        Ok(Verified(self))
    }
}

impl Found {
    /// Adds what was found of a side of which the manifest has `total` bytes, with this SHA-256.
    fn add(&mut self, side: VerifiedSide, compared: Compared, total: u64, stream_sha256: Option<Sha256Digest>) {
        let Compared { differences, unreadable, stream_sha256: of_side } = compared;
        if differences.is_empty() && of_side.is_some() && of_side != stream_sha256 {
            let range = ByteRange::new(0, total);
            self.differences.push(Difference { side, range, reason: DifferenceReason::StreamSha256 });
        }
        let lost = differences.iter().map(|difference| difference.range).chain(unreadable.iter().copied());
        self.bytes_verified += total - lost.map(|range| range.length).sum::<u64>();
        self.differences.extend(differences);
        self.unreadable.extend(unreadable);
    }
}

impl Verified<'_> {
    fn result(self) -> VerifyResult {
        let Examined { loaded, drive, blob, found, .. } = self.0;
        let Loaded { manifest, shown, handle, .. } = loaded;
        let was_stopped = handle.stop.is_stopping();
        let (outcome, error) = match found.differences.first() {
            _ if was_stopped => (Outcome::Cancelled, Some("the verification was cancelled before its end".to_owned())),
            None if found.unreadable.is_empty() => (Outcome::Complete, None),
            None => (Outcome::CompleteWithUnreadable, None),
            Some(first) => (Outcome::Mismatch, Some(sentence(shown, &found.differences, first))),
        };
        VerifyResult {
            outcome,
            manifest: shown.to_owned(),
            drive,
            blob,
            bytes_total: manifest.geometry.total_bytes(),
            bytes_verified: if was_stopped { handle.counters.part_bytes() } else { found.bytes_verified },
            chunks: manifest.geometry.chunk_count(),
            root_sha256: Some(manifest.root),
            stream_sha256: manifest.stream_sha256,
            differences: found.differences,
            unreadable: found.unreadable,
            elapsed_seconds: handle.counters.elapsed_seconds(),
            error,
        }
    }
}

fn sentence(manifest: &str, differences: &[Difference], first: &Difference) -> String {
    let differs = |side| differences.iter().any(|difference| difference.side == side);
    let which = match (differs(VerifiedSide::Drive), differs(VerifiedSide::Blob)) {
        (true, true) => "the drive and the blob differ",
        (true, false) => "the drive differs",
        _ => "the blob differs",
    };
    if first.reason == DifferenceReason::StreamSha256 {
        return format!(
            "{which} from the manifest `{manifest}` as a whole: every chunk has its SHA-256, and the SHA-256 of the whole is not the one that the manifest states; the manifest was edited, or made by a faulty program: import again"
        );
    }
    let range = first.range;
    let count = match differences.len() {
        1 => "one range".to_owned(),
        count => format!("{count} ranges"),
    };
    format!("{which} from the manifest `{manifest}` in {count}, the first at {range} (offset+length in bytes)")
}
