//! After the last chunk: root, manifest, receipt, result.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use file::replace::{IfExists, folder_of, with_suffix, write_file};
use file::{crash, partial};
use protocol::digest::{RootHasher, Sha256Digest};
use protocol::identity::DriveIdentity;
use protocol::manifest::{ChunkContent, Footer, Header, Line, MANIFEST_SUFFIX, ManifestReader, encode};
use protocol::outcome::Outcome;
use protocol::receipt::{ByteClass, Receipt};
use protocol::result::{Evidence, TransferResult};
use protocol::stop::StopReason;
use protocol::units::{ByteRange, RangeList};
use time::OffsetDateTime;

use crate::error::{CopyError, state_error};
use crate::failure::Failure;
use crate::hashing::ZeroDigests;
use crate::journal::journals_folder;
use crate::options::{Link, TransferOptions};
use crate::table::SharedTable;

/// What the last steps gave; a failure of theirs is reported, and a cancel is not one.
pub(crate) fn completed_or_failure<T>(completed: Result<Option<T>, CopyError>, failure: &Failure) -> Option<T> {
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

/// What the last line of a manifest says.
pub(crate) struct Proof {
    pub(crate) root: Sha256Digest,
    pub(crate) stream_sha256: Option<Sha256Digest>,
    pub(crate) evidence: Evidence,
}

/// Writes the manifest of a transfer whose chunks have all landed into a file without a name in the state directory.
pub(crate) fn manifest_file(
    options: &TransferOptions,
    header: &Header,
    table: &SharedTable,
    proof: &Proof,
) -> Result<File, CopyError> {
    let mut header = Header { replaces: None, source_is_sampled: false, ..header.clone() };
    if let Some(names) = &options.names {
        header.drive.path.clone_from(&names.drive);
        header.blob.clone_from(&names.blob);
    }
    let folder = journals_folder(&options.state_dir)?;
    let failed = |source| state_error("write the manifest in", &folder, source);
    let file = tempfile::tempfile_in(&folder).map_err(failed)?;
    let mut output = BufWriter::new(&file);
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
            root_sha256: proof.root,
            stream_sha256: proof.stream_sha256,
            evidence: proof.evidence,
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
    let refuse = |what: &str| {
        Err(CopyError::Refused(format!("`--manifest {shown}` would replace {what}: name another file; nothing was begun")))
    };
    let mapfile = options.rescue.mapfile.as_deref();
    let maps = mapfile.into_iter().flat_map(|map| [map.to_owned(), with_suffix(map, ".bak")]);
    let is_map = maps.into_iter().any(|map| is_same_place(path, &map));
    let is_state = is_same_place(&folder_of(path).join("x"), &options.state_dir.join("journals/x"));
    if is_part_of_blob(path, blob) || is_map || is_state || path.exists() && !is_manifest(path) {
        return refuse("something that is not a manifest");
    }
    if let Some(other) = blob_of_manifest(path).filter(|other| other.exists()) {
        return refuse(&format!("the manifest of the blob `{}`", other.display()));
    }
    // A station's copies call the blob by another name in what they write.
    let blob_name = options.names.as_ref().map_or(blob, |names| names.blob.as_str());
    if !options.overwrite && header_of(path).is_some_and(|header| header.blob != blob_name) {
        return Err(CopyError::Refused(format!(
            "`--manifest {shown}` would replace the manifest of another blob: name another file, or replace it with `--overwrite`; nothing was begun"
        )));
    }
    tempfile::tempfile_in(folder_of(path))
        .map(drop)
        .map_err(|error| CopyError::Usage(format!("`--manifest {shown}` cannot be written: {error}; nothing was begun")))
}

/// Refuses a `--manifest` that would replace the drive that was just written, or its unfinished file.
pub(crate) fn require_manifest_off_drive(options: &TransferOptions, drive: &Path) -> Result<(), CopyError> {
    let Some(path) = &options.manifest else { return Ok(()) };
    let unfinished = partial::beside(drive).unwrap_or_default();
    match std::iter::once(drive.to_owned()).chain(unfinished).any(|other| is_same_place(path, &other)) {
        true => Err(CopyError::Refused(format!(
            "`--manifest {}` is the drive itself: name another file; nothing was begun",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// Whether two paths name the same file, or would.
fn is_same_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| Some(std::fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?));
    place(one).is_some_and(|one| place(other) == Some(one))
}

/// The blob that a manifest of this name is beside.
fn blob_of_manifest(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(MANIFEST_SUFFIX)?;
    Some(folder_of(path).join(name))
}

/// The header of a manifest.
fn header_of(path: &Path) -> Option<Header> {
    let file = File::open(path).ok()?;
    Some(ManifestReader::new(BufReader::new(file)).ok()?.header().clone())
}

/// Whether a path is that of a blob in a directory store, of its manifest, or of an unfinished file of either.
pub(crate) fn is_part_of_blob(path: &Path, blob: &str) -> bool {
    Path::new(blob).is_absolute()
        && ["", MANIFEST_SUFFIX].iter().any(|suffix| {
            let other = format!("{blob}{suffix}");
            is_same_place(path, Path::new(&other))
                || blob::directory::unfinished_files(&other).iter().any(|found| is_same_place(path, found))
        })
}

/// Whether there is a plain file that begins as a manifest does.
fn is_manifest(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file && header_of(path).is_some()
}

/// Copies a manifest to where the user wants it, whole or not at all. An older manifest there is replaced: it was looked at
/// beforehand.
pub(crate) fn copy_manifest(from: &File, to: &Path, transfer_id: &str) -> Result<(), CopyError> {
    let copied = partial::path_of(to, transfer_id).and_then(|temporary| {
        let mut from = from.try_clone()?;
        write_file(to, &temporary, IfExists::Replace, |file| {
            from.rewind()?;
            std::io::copy(&mut from, file).map(|_| ())
        })
    });
    copied.map_err(|source| state_error("write the manifest", to, source))?;
    crash::point("manifest-copied");
    Ok(())
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
pub(crate) fn receipt(table: &SharedTable, link: &Link, options: &TransferOptions) -> Result<Receipt, CopyError> {
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
    let (unreadable, from_image): (RangeList, RangeList) =
        table.with(|table| Ok((table.unreadable().collect(), table.image_ranges())))?;
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
        bytes_from_image: from_image.total_bytes(),
        from_image: from_image.as_slice().to_vec(),
        source_changed: false,
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
