//! The manifest of a transfer whose chunks have all landed: its root, its lines, and the user's copy of it.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use file::replace::{IfExists, write_file};
use file::{crash, partial};
use protocol::digest::{RootHasher, Sha256Digest};
use protocol::manifest::{ChunkContent, Footer, Header, Line, MadeAs, PlaceCount, encode};
use protocol::result::Evidence;
use protocol::units::ByteRange;
use time::OffsetDateTime;

use crate::call::options::TransferOptions;
use crate::error::{CopyError, state_error};
use crate::hashing::ZeroDigests;
use crate::record::journal::journals_folder;
use crate::record::table::SharedTable;

/// All digests in drive order and the root over them. The list is left empty where it is not needed.
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
    let mut header = Header {
        replaces: None,
        drive_folder: None,
        made_as: MadeAs::default(),
        begun_by: None,
        source_is_sampled: false,
        ..header.clone()
    };
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
        let mut places = PlaceCount::default();
        for (index, range) in table.geometry().chunks() {
            let Some(record) = table.record(index)? else { continue };
            places.add(&record).map_err(io::Error::other)?;
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

/// Copies a manifest to where the user wants it, whole or not at all. An older manifest there is replaced: it was looked at
/// beforehand.
pub(crate) fn copy_manifest(from: &File, to: &Path, transfer_id: &str) -> Result<(), CopyError> {
    let copied = partial::path_of(to, transfer_id).and_then(|temporary| {
        let mut from = from.try_clone()?;
        write_file(to, &temporary, IfExists::Replace, |file| {
            from.rewind()?;
            io::copy(&mut from, file).map(|_| ())
        })
    });
    copied.map_err(|source| state_error("write the manifest", to, source))?;
    crash::point("manifest-copied");
    Ok(())
}
