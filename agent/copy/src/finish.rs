//! After the last chunk: root, manifest, receipt, result.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use protocol::digest::{RootHasher, Sha256Digest};
use protocol::identity::DriveIdentity;
use protocol::manifest::{ChunkContent, Footer, Header, Line, MANIFEST_SUFFIX, ManifestReader, encode};
use protocol::outcome::Outcome;
use protocol::receipt::{ByteClass, Receipt, Residue};
use protocol::result::{Evidence, TransferResult};
use protocol::stop::StopReason;
use protocol::units::{ByteRange, RangeList};
use tempfile::NamedTempFile;
use time::OffsetDateTime;

use crate::error::{CopyError, state_error};
use crate::failure::Failure;
use crate::hashing::ZeroDigests;
use crate::options::{Link, PublicNames, TransferOptions};
use crate::table::SharedTable;

/// What the last steps gave; a failure of theirs is reported, a cancel is none.
pub(crate) fn unless_failed<T>(completed: Result<Option<T>, CopyError>, failure: &Failure) -> Option<T> {
    completed.unwrap_or_else(|error| {
        if !matches!(error, CopyError::Cancelled) {
            failure.fail(error);
        }
        None
    })
}

/// All digests in drive order and the root over them. The list is left empty where nobody needs it.
pub(crate) fn root(
    table: &SharedTable,
    zeros: &ZeroDigests,
    with_list: bool,
) -> Result<(Sha256Digest, Vec<(Sha256Digest, ByteRange)>), CopyError> {
    table.with(|table| {
        let mut root = RootHasher::default();
        let mut list = Vec::new();
        for entry in table.entries() {
            let (_, range, entry) = entry?;
            let digest = match entry.landed {
                Some((ChunkContent::Data(digest), ..)) => digest,
                _ => zeros.of(range.length),
            };
            root.add(&digest);
            if with_list {
                list.push((digest, range));
            }
        }
        Ok((root.finish(), list))
    })
}

/// Writes the manifest of a transfer whose chunks have all landed into a file in `folder`.
pub(crate) fn manifest_file(
    folder: &Path,
    header: &Header,
    table: &SharedTable,
    root: Sha256Digest,
    stream_sha256: Option<Sha256Digest>,
    evidence: Evidence,
    names: Option<&PublicNames>,
) -> Result<NamedTempFile, CopyError> {
    let mut header = header.clone();
    if let Some(names) = names {
        header.drive.path.clone_from(&names.drive);
        header.blob.clone_from(&names.blob);
    }
    let failed = |source| state_error("write the manifest in", folder, source);
    let file = NamedTempFile::new_in(folder).map_err(failed)?;
    let mut output = BufWriter::new(file.as_file());
    table.with(|table| {
        let mut line = Vec::new();
        let mut put = |item: Line| {
            line.clear();
            encode(&item, &mut line)?;
            output.write_all(&line)
        };
        put(Line::Header(Box::new(header.clone())))?;
        let mut footer = Footer {
            chunks: 0,
            bytes_total: header.total_bytes,
            bytes_zero: 0,
            bytes_unreadable: table.unreadable().map(|range| range.length).sum(),
            root_sha256: root,
            stream_sha256,
            evidence,
            completed_at: OffsetDateTime::now_utc(),
        };
        for (index, range) in table.geometry().chunks() {
            let Some(record) = table.record(index)? else { continue };
            footer.chunks += 1;
            footer.bytes_zero += if record.content == ChunkContent::Zero { range.length } else { 0 };
            put(Line::Chunk(record))?;
        }
        put(Line::End(footer))
    })?;
    output.flush().map_err(failed)?;
    drop(output);
    Ok(file)
}

/// Refuses a `--manifest` that could not be written, or that would destroy something else than an older
/// manifest, before anything is moved.
pub(crate) fn require_manifest_place(options: &TransferOptions, blob: &str) -> Result<(), CopyError> {
    let Some(path) = &options.manifest else { return Ok(()) };
    let shown = path.display();
    if is_part_of_blob(path, blob) || path.exists() && !is_manifest(path) {
        return Err(CopyError::Refused(format!(
            "`--manifest {shown}` would replace something that is no manifest: name another file; nothing was begun"
        )));
    }
    tempfile::tempfile_in(folder_of(path))
        .map(drop)
        .map_err(|error| CopyError::Usage(format!("`--manifest {shown}` cannot be written: {error}; nothing was begun")))
}

/// Whether a path is that of a blob in a directory store, of its unfinished file, or of its manifest.
pub(crate) fn is_part_of_blob(path: &Path, blob: &str) -> bool {
    let suffixes = ["", ".partial", MANIFEST_SUFFIX, &format!("{MANIFEST_SUFFIX}.partial")];
    let place = |path: &Path| Some(std::fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?));
    let Some(own) = place(path) else { return false };
    Path::new(blob).is_absolute()
        && suffixes.iter().any(|suffix| place(Path::new(&format!("{blob}{suffix}"))).as_ref() == Some(&own))
}

/// Whether there is a plain file that begins as a manifest does.
fn is_manifest(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file && File::open(path).is_ok_and(|file| ManifestReader::new(BufReader::new(file)).is_ok())
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Copies a manifest to where the user wants it, whole or not at all.
pub(crate) fn copy_manifest(from: &Path, to: &Path) -> Result<(), CopyError> {
    let folder = folder_of(to);
    let copy = || {
        let permissions = std::fs::Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
        std::io::copy(&mut File::open(from)?, file.as_file_mut())?;
        file.as_file().sync_all()?;
        file.persist(to).map_err(|error| error.error)
    };
    copy().map(|_| ()).map_err(|source| state_error("write the manifest", to, source))
}

/// Writes a small file whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CopyError> {
    // Through a symbolic link, not over it.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = target.as_path();
    let write = || {
        let permissions = std::fs::Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder_of(path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(|_| ()).map_err(|source| state_error("write", path, source))
}

/// The receipt: each byte in exactly one class.
pub(crate) fn receipt(
    table: &SharedTable,
    link: &Link,
    options: &TransferOptions,
    residue: impl FnOnce(u64) -> Option<Residue>,
) -> Result<Receipt, CopyError> {
    let now = OffsetDateTime::now_utc();
    let request = link.stop.request();
    let reason = request.map_or(StopReason::Failed, |request| request.reason);
    let requested_at = request.map_or(now, |request| request.requested_at);
    let mut receipt = Receipt::new(reason, requested_at, now, options.resume_command.clone());
    table.with(|table| {
        for entry in table.entries() {
            let (index, range, entry) = entry?;
            let mut next = range.offset;
            for bad in table.unreadable_of(index) {
                receipt.add(entry.class, ByteRange::new(next, bad.offset - next));
                receipt.add(ByteClass::NeverSent, *bad);
                next = bad.end();
            }
            receipt.add(entry.class, ByteRange::new(next, range.end() - next));
        }
        Ok(())
    })?;
    receipt.residue = residue(receipt.landed_before_request.bytes + receipt.landed_after_request.bytes);
    Ok(receipt)
}

/// The result with everything that is known at the end of any transfer; the outcome's own fields are
/// added by the caller.
pub(crate) fn result(
    outcome: Outcome,
    header: &Header,
    drive: DriveIdentity,
    table: &SharedTable,
    link: &Link,
) -> Result<TransferResult, CopyError> {
    let unreadable: RangeList = table.with(|table| Ok(table.unreadable().collect()))?;
    let [bytes_sent, bytes_reused, bytes_zero, bytes_unreadable] = link.counters.classes();
    Ok(TransferResult {
        outcome,
        direction: header.direction,
        // The samples are for the journal; nobody reads them here.
        drive: Some(DriveIdentity { content_sample: None, ..drive }),
        blob: header.blob.clone(),
        bytes_total: header.total_bytes,
        bytes_sent,
        bytes_reused,
        bytes_zero,
        bytes_unreadable,
        bytes_cleared: 0,
        failed_reads: 0,
        bytes_from_image: 0,
        chunk_size: header.chunk_size_bytes,
        chunks: header.total_bytes.div_ceil(header.chunk_size_bytes),
        root_sha256: None,
        stream_sha256: None,
        evidence: Evidence::Read,
        checked_against_manifest: None,
        manifest: None,
        elapsed_seconds: link.counters.elapsed_seconds(),
        stages: link.counters.stages(),
        limited_by: link.counters.limited_by(),
        retries: link.counters.retries(),
        unreadable: unreadable.as_slice().to_vec(),
        error: None,
        receipt: None,
    })
}
