//! What is at the target, held against what the journal says. A pure decision: no store is asked here.
//!
//! | journal | blob under its name | standing |
//! |---|---|---|
//! | none | none, or to be replaced | fresh |
//! | none, or not at its commit | a whole one, not to be replaced | refused |
//! | not at its commit | none, unfinished, or to be replaced | resumed |
//! | at its commit | proved to be the one that was committed | committed |
//! | at its commit | of this transfer, and perhaps touched since | committed, and doubtful |
//! | at its commit | another, or none | as if the commit had not been noted |

use blob::BlobFacts;
use protocol::manifest::Header;

use crate::record::journal::Recovered;

/// Where an import stands when it is prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing of it was done.
    Fresh,
    /// Some chunks have landed, or may have.
    Resumed,
    /// The blob is there, whole.
    Committed {
        /// Its version now.
        version: String,
        /// It may have been touched since, in a way that changed its bytes.
        is_doubtful: bool,
    },
    /// There is a blob that may not be replaced.
    Taken,
}

/// Where an import stands. `recovered` is what its journal says, `facts` what the store says of the blob.
pub(super) fn standing(recovered: Option<&Recovered>, facts: Option<&BlobFacts>, may_overwrite: bool) -> Standing {
    let committed = recovered
        .filter(|recovered| recovered.commit.is_some() && recovered.is_complete)
        .zip(facts)
        .and_then(|(recovered, facts)| committed(recovered, facts));
    if let Some(is_doubtful) = committed {
        let version = facts.map(|facts| facts.version.clone()).unwrap_or_default();
        return Standing::Committed { version, is_doubtful };
    }
    match (recovered, facts) {
        (_, Some(facts)) if !facts.is_incomplete && !may_overwrite => Standing::Taken,
        (Some(_), _) => Standing::Resumed,
        (None, _) => Standing::Fresh,
    }
}

/// Whether the blob that is there is the one that this transfer committed, and whether that is doubtful.
fn committed(recovered: &Recovered, facts: &BlobFacts) -> Option<bool> {
    let noted = recovered.committed.as_ref();
    if noted == Some(&facts.version) {
        return Some(false);
    }
    match &facts.transfer_id {
        // Metadata stays when bytes are changed: only the version proves them, and it was not noted, or is another now.
        Some(id) => (*id == recovered.header.transfer_id && !facts.is_incomplete).then_some(true),
        None => {
            let before = recovered.commit.as_ref().and_then(|commit| commit.target.as_ref());
            let is_it = before.is_some() && before == facts.content_mark.as_ref();
            is_it.then_some(noted.is_some())
        }
    }
}

/// Whether a manifest that lies beside the blob is of this transfer.
pub(super) fn is_own_manifest(found: &Header, recovered: Option<&Recovered>) -> bool {
    recovered.is_some_and(|recovered| recovered.commit.is_some() && recovered.header.transfer_id == found.transfer_id)
}

#[cfg(test)]
mod tests {
    use protocol::digest::Sha256Digest;
    use protocol::identity::{DriveIdentity, DriveKind};
    use protocol::manifest::{ChunkContent, ChunkRecord, ChunkState, CommitNote};
    use protocol::result::Direction;
    use protocol::units::ChunkGeometry;

    use super::*;
    use crate::record::table::{ChunkTable, SharedTable};
    use crate::transfer::begin::new_header;

    fn recovered(folder: &tempfile::TempDir, commit: Option<&str>, committed: Option<&str>) -> Recovered {
        let geometry = ChunkGeometry::new(512, 512).unwrap();
        let drive = DriveIdentity {
            path: "d".into(),
            kind: DriveKind::Image,
            serial: None,
            model: None,
            size: 512,
            sector_size: 512,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: None,
        };
        let mut table = ChunkTable::new(folder.path(), geometry).unwrap();
        for (index, range) in geometry.chunks() {
            let content = ChunkContent::Data(Sha256Digest::of(b"x"));
            let record = ChunkRecord {
                range,
                content,
                state: ChunkState::Sent,
                attempts: 1,
                unreadable: Vec::new(),
                from_image: Vec::new(),
            };
            table.set_landed(index, &record, false).unwrap();
        }
        let mut header = new_header(Direction::Import, drive, "x".into(), geometry, None);
        header.transfer_id = "own".into();
        Recovered {
            header: Box::new(header),
            landed: 1,
            is_complete: table.is_complete(),
            table: SharedTable::new(table),
            left: None,
            commit: commit.map(|target| CommitNote { target: Some(target.to_owned()), source_changed: false }),
            committed: committed.map(str::to_owned),
            latest: Default::default(),
        }
    }

    fn facts(version: &str, mark: Option<&str>, transfer_id: Option<&str>, is_incomplete: bool) -> BlobFacts {
        let (content_mark, transfer_id) = (mark.map(str::to_owned), transfer_id.map(str::to_owned));
        BlobFacts {
            size_bytes: 512,
            version: version.into(),
            content_mark,
            transfer_id,
            is_incomplete,
            is_sparse: false,
            is_vhd: false,
            stated: None,
            obstacles: Default::default(),
        }
    }

    #[test]
    fn a_blob_is_ours_only_where_that_is_proved() {
        let folder = tempfile::tempdir().unwrap();
        let certain = Standing::Committed { version: "v".into(), is_doubtful: false };
        let doubtful = Standing::Committed { version: "v".into(), is_doubtful: true };
        // What the journal says of the commit, what it says of the version, what is there, and what follows.
        let file = |mark| facts("v", Some(mark), None, false);
        let azure = |id| facts("v", None, Some(id), false);
        for (commit, committed, facts, expected) in [
            (Some("m"), Some("v"), file("m"), &certain),
            (Some("m"), None, file("m"), &certain),
            (Some("m"), Some("older"), file("m"), &doubtful),
            (Some("m"), Some("older"), file("other"), &Standing::Taken),
            (Some("m"), None, file("other"), &Standing::Taken),
            (None, None, file("m"), &Standing::Taken),
            (Some("m"), Some("v"), azure("own"), &certain),
            (Some("m"), None, azure("own"), &doubtful),
            (Some("m"), Some("older"), azure("own"), &doubtful),
            (Some("m"), Some("older"), azure("another"), &Standing::Taken),
            (None, None, azure("own"), &Standing::Taken),
        ] {
            let recovered = recovered(&folder, commit, committed);
            assert_eq!(standing(Some(&recovered), Some(&facts), false), *expected, "{commit:?} {committed:?} {facts:?}");
        }
    }

    #[test]
    fn without_a_commit_the_blob_decides() {
        let folder = tempfile::tempdir().unwrap();
        let journal = recovered(&folder, None, None);
        let (whole, unfinished) = (facts("v", None, None, false), facts("v", None, Some("own"), true));
        assert_eq!(standing(None, None, false), Standing::Fresh);
        assert_eq!(standing(None, Some(&whole), false), Standing::Taken);
        assert_eq!(standing(None, Some(&whole), true), Standing::Fresh);
        assert_eq!(standing(Some(&journal), None, false), Standing::Resumed);
        assert_eq!(standing(Some(&journal), Some(&whole), false), Standing::Taken);
        assert_eq!(standing(Some(&journal), Some(&whole), true), Standing::Resumed);
        assert_eq!(standing(Some(&journal), Some(&unfinished), false), Standing::Resumed);
    }
}
