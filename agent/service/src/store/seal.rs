//! What is personal of a job at a server: sealed with a key of the job's own, which is removed with it.
//!
//! A server keeps older copies of rows in unused parts of its files, in its log, at standbys and in backups. Without the key
//! nobody reads them. The key is in the table `job_seal`, sealed with the service's; that table is rewritten when a job was
//! removed, in parts, so that nothing waits for long. A file is overwritten where something is removed: documents in it are as
//! they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::StoreError;
use crate::vault::{SealingKey, VaultError};

/// The key of a job, sealed; absent where documents are not sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct JobSeal(pub(super) Option<Vec<u8>>);

/// Seals texts of one job, and opens them. Without a key they are as they are.
pub(super) struct Sealer {
    pub(super) key: Option<SealingKey>,
    pub(super) job_uid: String,
}

/// What a text of a job is: one that was sealed as another cannot be opened as it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    Tags,
    Machine,
    Details,
    Copy,
    DriveKey,
    AuditDetail,
    Effect,
    Grant,
    LeftBehind,
}

impl Sealer {
    /// A text as it is kept.
    pub(super) fn close(&self, text: &str, what: Sealed) -> Result<String, StoreError> {
        match &self.key {
            Some(key) => Ok(STANDARD.encode(key.seal(text, &self.place(what))?)),
            None => Ok(text.to_owned()),
        }
    }

    /// A text as it was before it was kept.
    pub(super) fn open(&self, text: &str, what: Sealed) -> Result<String, StoreError> {
        let Some(key) = &self.key else { return Ok(text.to_owned()) };
        let sealed = STANDARD.decode(text).map_err(|_| VaultError::Sealed)?;
        Ok(key.open(&sealed, &self.place(what))?)
    }

    /// Whether texts are sealed.
    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    fn place(&self, what: Sealed) -> String {
        format!("{}/{what:?}", self.job_uid)
    }
}
