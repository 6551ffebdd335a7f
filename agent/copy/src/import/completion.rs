//! How far an import came after its last chunk. What the result, the receipt and the next run say follows from this alone.
//!
//! | completion | under the blob's name | missing | the next run |
//! |---|---|---|---|
//! | unfinished | nothing that looks complete | chunks, or the commit | resumes |
//! | committed | the whole blob | its manifest | stores the manifest |
//! | differs | a blob that holds other bytes | the blob | starts over, with `--overwrite` |
//! | removed | nothing | the blob | starts over |
//! | manifest stored | the whole blob, and its manifest | bookkeeping | removes the journal |
//! | done | the same | nothing | finds a blob that exists |

use protocol::receipt::Residue;

/// How far an import came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Completion {
    /// The blob is not there yet.
    Unfinished,
    /// The blob is there, whole, in this version.
    Committed {
        /// Names its bytes.
        version: String,
    },
    /// The blob is there, and was found to hold other bytes, or to be another one.
    Differs,
    /// It was there, and another program removed it.
    Removed,
    /// Its manifest is beside it.
    ManifestStored {
        /// Where.
        manifest: String,
    },
    /// Nothing is left to do.
    Done {
        /// Where the manifest is that the user asked for.
        manifest: String,
    },
}

impl Completion {
    /// What to add to the sentence of a failure, so that it does not sound as if the blob was not there.
    pub(super) fn note(&self, blob: &str) -> Option<String> {
        match self {
            Completion::Unfinished | Completion::Removed => None,
            Completion::Differs => Some(format!("what is under the name `{blob}` is not what was imported")),
            Completion::Committed { .. } => Some(format!(
                "the blob `{blob}` is complete, and its manifest is perhaps not synced to the disk: repeat the command"
            )),
            Completion::ManifestStored { .. } | Completion::Done { .. } => {
                Some(format!("the blob `{blob}` and its manifest are complete: repeat the command for the rest"))
            }
        }
    }

    /// What is left at the store, where that is not the upload's to say.
    pub(super) fn residue(&self, blob: &str) -> Option<Residue> {
        let description = self.note(blob)?;
        Some(Residue { description, path: None, bytes: 0, lives_days: None })
    }
}
