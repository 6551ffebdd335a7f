//! Journals and manifests, read independently of the program.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a journal says.
#[derive(Debug, Clone)]
pub struct JournalFacts {
    pub transfer_id: String,
    /// The transfer of the same operator that this one started over.
    pub replaces: Option<String>,
    pub is_import: bool,
    pub drive_path: String,
    pub blob: String,
    pub lines: u64,
    /// Bytes of the chunks that it records.
    pub landed_bytes: u64,
    /// The blob may have appeared.
    pub has_begun_commit: bool,
    /// Every chunk is recorded.
    pub has_all_chunks: bool,
}

/// What the journals at these paths say, of those that have a header.
pub fn read_journals(paths: &[PathBuf]) -> Vec<JournalFacts> {
    paths.iter().filter_map(|path| facts_of(&std::fs::read(path).ok()?)).collect()
}

/// How many whole lines a journal has.
pub fn journal_lines(path: &Path) -> u64 {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
}

fn facts_of(bytes: &[u8]) -> Option<JournalFacts> {
    let lines: Vec<Value> = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let header = lines.first().filter(|line| line["type"] == "header")?;
    let chunks = lines.iter().filter(|line| line["type"] == "chunk");
    let landed_bytes = chunks.filter_map(|chunk| chunk["length"].as_u64()).sum();
    Some(JournalFacts {
        transfer_id: header["transfer_id"].as_str()?.to_owned(),
        replaces: header["replaces"].as_str().map(str::to_owned),
        is_import: header["direction"] == "import",
        drive_path: header["drive"]["path"].as_str().unwrap_or_default().to_owned(),
        blob: header["blob"].as_str().unwrap_or_default().to_owned(),
        lines: lines.len() as u64,
        has_begun_commit: lines.iter().any(|line| line["type"] == "commit"),
        landed_bytes,
        has_all_chunks: header["total_bytes"].as_u64().is_none_or(|total| landed_bytes >= total),
    })
}

/// A manifest, as an independent reader sees it.
pub struct Manifest {
    pub total_bytes: u64,
    pub evidence: String,
    pub root_sha256: String,
    pub stream_sha256: Option<String>,
    chunks: Vec<(u64, u64, Option<String>)>,
}

/// A whole manifest; `None` where it is not one.
pub fn read_manifest(bytes: &[u8]) -> Option<Manifest> {
    let text = std::str::from_utf8(bytes).ok()?;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).ok()).collect::<Option<_>>()?;
    let (header, end) = (lines.first()?, lines.last()?);
    if header["type"] != "header" || header["format"] != "drive-agent-manifest" || end["type"] != "end" {
        return None;
    }
    let chunk =
        |line: &Value| Some((line["offset"].as_u64()?, line["length"].as_u64()?, line["sha256"].as_str().map(str::to_owned)));
    Some(Manifest {
        total_bytes: header["total_bytes"].as_u64()?,
        evidence: end["evidence"].as_str().unwrap_or_default().to_owned(),
        root_sha256: end["root_sha256"].as_str()?.to_owned(),
        stream_sha256: end["stream_sha256"].as_str().map(str::to_owned),
        chunks: lines[1..lines.len() - 1].iter().map(chunk).collect::<Option<_>>()?,
    })
}

impl Manifest {
    /// Why it does not describe this content.
    pub fn difference_from(&self, content: &[u8]) -> Option<String> {
        if self.total_bytes > content.len() as u64 || content[self.total_bytes as usize..].iter().any(|byte| *byte != 0) {
            return Some(format!("it is of {} bytes, and the content has {}", self.total_bytes, content.len()));
        }
        let mut next = 0;
        let mut root = Sha256::new();
        for (offset, length, digest) in &self.chunks {
            let (start, end) = (*offset as usize, (*offset + *length) as usize);
            let Some(bytes) = content.get(start..end).filter(|_| *offset == next) else {
                return Some(format!("its chunk at {offset} is not where the one before ends, or behind the end"));
            };
            let real = Sha256::digest(bytes);
            let is_same = match digest {
                Some(digest) => *digest == hex(&real),
                None => bytes.iter().all(|byte| *byte == 0),
            };
            if !is_same {
                return Some(format!("its chunk at {offset}+{length} says {digest:?}, and the content has {}", hex(&real)));
            }
            root.update(real);
            next = *offset + *length;
        }
        if next != self.total_bytes {
            return Some(format!("its chunks end at {next} of {}", self.total_bytes));
        }
        if hex(&root.finalize()) != self.root_sha256 {
            return Some("its root is not that of its chunks".to_owned());
        }
        let whole = hex(&Sha256::digest(&content[..self.total_bytes as usize]));
        match &self.stream_sha256 {
            Some(stream) if *stream != whole => Some(format!("its stream_sha256 is {stream}, and the content's is {whole}")),
            _ => None,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The transfer that a manifest is of.
pub fn manifest_transfer_id(bytes: &[u8]) -> Option<String> {
    let first = bytes.split(|byte| *byte == b'\n').next()?;
    let header: Value = serde_json::from_slice(first).ok()?;
    header["transfer_id"].as_str().map(str::to_owned)
}

pub use crate::support::images::root_of;
