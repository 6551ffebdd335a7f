//! The content of a blob, by the names of its blocks: a block of ours is named by its SHA-256.

use std::path::Path;

use blob::{Blob, BlobFacts, NamedChunks};
use protocol::manifest::{ChunkContent, ChunkRecord, ChunkState};
use protocol::units::ChunkGeometry;

use crate::call::options::TransferOptions;
use crate::error::{CopyError, state_error};
use crate::flow::attempts::Attempts;
use crate::hashing::ZeroDigests;
use crate::record::table::{ChunkTable, SharedTable};

/// The digests of all chunks of a blob.
pub(crate) struct NamedContent {
    pub(crate) geometry: ChunkGeometry,
    pub(crate) table: SharedTable,
}

impl NamedContent {
    /// What the names say of this version of the blob; `None` where they say nothing, or not all, or where another chunk size
    /// is asked for.
    pub(crate) async fn of(
        blob: &dyn Blob,
        facts: &BlobFacts,
        options: &TransferOptions,
        attempts: &Attempts,
        folder: &Path,
    ) -> Result<Option<Self>, CopyError> {
        if facts.is_sparse || facts.size_bytes == 0 {
            return Ok(None);
        }
        // A store that does not list its blocks can be read all the same.
        let named = attempts.run("look at", 0, || blob.named_chunks()).await.ok().and_then(|(named, _)| named);
        let Some(named) = named.filter(|named| named.version.as_ref() == Some(&facts.version)) else { return Ok(None) };
        let Some(geometry) = geometry_of(&named, facts.size_bytes) else { return Ok(None) };
        if options.chunk_size.is_some_and(|asked| asked.0 != geometry.chunk_size_bytes()) {
            return Ok(None);
        }
        let table = table_of(&named, geometry, folder).map_err(|source| state_error("make a table in", folder, source))?;
        Ok(Some(NamedContent { geometry, table: SharedTable::new(table) }))
    }
}

/// The chunks that blocks of these sizes are: all of one size, but for a shorter last one.
fn geometry_of(named: &NamedChunks, total_bytes: u64) -> Option<ChunkGeometry> {
    let (_, first_bytes) = *named.chunks.first()?;
    let geometry = ChunkGeometry::new(total_bytes, first_bytes).ok()?;
    let mut wanted = geometry.chunks().map(|(_, range)| range.length);
    let is_it = named.chunks.iter().all(|(_, bytes)| wanted.next() == Some(*bytes)) && wanted.next().is_none();
    is_it.then_some(geometry)
}

fn table_of(named: &NamedChunks, geometry: ChunkGeometry, folder: &Path) -> std::io::Result<ChunkTable> {
    let zeros = ZeroDigests::new(geometry.chunk_size_bytes());
    let mut table = ChunkTable::new(folder, geometry)?;
    for ((index, range), (digest, _)) in geometry.chunks().zip(&named.chunks) {
        let content = if *digest == zeros.of(range.length) { ChunkContent::Zero } else { ChunkContent::Data(*digest) };
        let record =
            ChunkRecord { range, content, state: ChunkState::Sent, attempts: 0, unreadable: Vec::new(), from_image: Vec::new() };
        table.set_landed(index, &record, false)?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use protocol::digest::Sha256Digest;

    use super::*;

    #[test]
    fn only_blocks_of_one_size_are_chunks() {
        let geometry = |sizes: &[u64], total| {
            let chunks = sizes.iter().map(|bytes| (Sha256Digest::of(b"x"), *bytes)).collect();
            geometry_of(&NamedChunks { version: None, chunks }, total).map(ChunkGeometry::chunk_size_bytes)
        };
        assert_eq!(geometry(&[4096, 4096, 512], 8704), Some(4096));
        assert_eq!(geometry(&[4096], 4096), Some(4096));
        for (sizes, total) in [(&[4096, 512, 4096][..], 8704), (&[4096, 4096], 8704), (&[4096, 4096, 4096], 8192), (&[], 0)] {
            assert_eq!(geometry(sizes, total), None, "{sizes:?}");
        }
    }
}
