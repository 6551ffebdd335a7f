//! Where a copy of the manifest may go: it replaces nothing but an older manifest of the same blob.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use file::partial;
use file::replace::{folder_of, with_suffix};
use protocol::digest::Sha256Digest;
use protocol::manifest::{Header, MANIFEST_SUFFIX, ManifestReader};

use crate::call::options::TransferOptions;
use crate::error::CopyError;

/// How much of a blob's name the name of a kept manifest has at most.
const KEPT_NAME_CHARACTERS_MAX: usize = 100;

/// Refuses a `--manifest` that could not be written, or that would destroy something else than an older
/// manifest, before anything is moved.
pub(crate) fn require_manifest_place(options: &TransferOptions, blob: &str) -> Result<(), CopyError> {
    let Some(path) = &options.manifest else { return Ok(()) };
    let shown = path.display();
    let refuse = |what: &str| {
        Err(CopyError::Refused(format!("`--manifest {shown}` would replace {what}: name another file; nothing was begun")))
    };
    let mapfile = options.rescue.mapfile.as_deref();
    let is_map = mapfile.is_some_and(|map| is_same_place(path, map) || may_be_kept_map(path, map));
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

/// Whether a path is among the names under which earlier maps are kept.
fn may_be_kept_map(path: &Path, map: &Path) -> bool {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_kept_name = name(path).starts_with(&name(&with_suffix(map, ".bak")));
    is_kept_name && is_same_place(&path.with_file_name("x"), &map.with_file_name("x"))
}

/// Where a manifest is kept that the store does not take beside its blob: where the user wants a copy, else in the state
/// directory, by the blob's name and a digest of its address. `None` for a copy of a job service: its state goes with it.
pub(crate) fn kept(options: &TransferOptions, blob: &str) -> Option<PathBuf> {
    if options.names.is_some() {
        return None;
    }
    let in_state_dir = || {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() || "-._".contains(letter) { letter } else { '_' };
        let name: String =
            blob.rsplit('/').next().unwrap_or_default().chars().take(KEPT_NAME_CHARACTERS_MAX).map(plain).collect();
        let digest = &Sha256Digest::of(blob.as_bytes()).to_string()[..12];
        options.state_dir.join("manifests").join(format!("{name}-{digest}{MANIFEST_SUFFIX}"))
    };
    Some(options.manifest.clone().unwrap_or_else(in_state_dir))
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
