//! What a job leaves outside of the database: it is known, sealed, until it was removed.

use protocol::arm::{DocumentNames, ERROR_LOG, MANIFEST_LOG, VERBOSE_LOG, log_name};
use protocol::job::{BlobName, DriveState, JobKind};
use serde::{Deserialize, Serialize};

use super::database::Store;
use super::dialect::Dialect;
use super::error::StoreError;
use super::row::{StoredEffect, StoredJob};
use super::seal::{JobSeal, Sealed};

/// What a job leaves in its customer's account, beside the blobs that are whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftBehind {
    /// The account.
    pub(crate) account: String,
    /// The job.
    pub(crate) job: String,
    /// Documents that are called after the job: another job of its name would have the same.
    pub(crate) named_after_job: Vec<BlobName>,
    /// Logs of the last run of each drive: they may be written just now, so that it is not noted yet where they are.
    pub(crate) last_logs: Vec<BlobName>,
    /// Addresses of logs, whose names no other job has.
    pub(crate) logs: Vec<String>,
    /// Blobs that were not finished, with the transfer that left something of them.
    pub(crate) unfinished: Vec<(BlobName, String)>,
    /// Where journals may be, as the version before wrote it.
    #[serde(default)]
    pub(crate) with_journals: Vec<BlobName>,
    /// The drives whose journals may be kept for other hosts, and where.
    #[serde(default)]
    pub(crate) journals: Vec<(String, BlobName)>,
    /// One of them was to be kept: they are there also when no other host has a token any more.
    #[serde(default)]
    pub(crate) has_journals: bool,
}

impl LeftBehind {
    /// What a job leaves; `None` where that is nothing.
    pub(super) fn of(job: &StoredJob) -> Option<Self> {
        let names = DocumentNames::new(&job.details, &job.key.name);
        let has_come = |state| !matches!(state, DriveState::Specified | DriveState::NeverReceived);
        // Receipts are written when all drives that came are done.
        let has_receipts = job.machine.drives.iter().any(|drive| has_come(drive.state));
        let unfinished = job.copies.values().filter(|_| job.machine.kind == JobKind::Import).filter_map(|record| {
            let result = record.result.as_ref().filter(|result| !result.outcome.is_complete())?;
            Some((record.blob.clone()?, result.transfer_id.clone()?))
        });
        let mistakes = job.copies.values().flat_map(|record| &record.mistakes);
        let of_wrong_drives = mistakes.filter_map(|mistake| Some((mistake.blob.clone()?, mistake.transfer_id.clone()?)));
        let begun = job.copies.iter().filter(|(_, record)| record.runs > 0 || record.has_kept_journal);
        let journals = begun.filter_map(|(drive_id, _)| Some((drive_id.clone(), job.journal_place(drive_id)?)));
        let left = LeftBehind {
            account: job.details.account_name().to_owned(),
            job: job.key.name.clone(),
            named_after_job: if has_receipts { vec![names.receipts(), names.incomplete_list()] } else { Vec::new() },
            last_logs: job.copies.keys().filter_map(|id| job.log_prefix(id)).flat_map(logs_of).collect(),
            logs: job
                .copies
                .values()
                .flat_map(|record| record.earlier_logs.iter().chain([&record.logs]))
                .flat_map(|logs| logs.all().cloned())
                .collect(),
            unfinished: unfinished.chain(of_wrong_drives).collect(),
            with_journals: Vec::new(),
            journals: journals.collect(),
            has_journals: job.copies.values().any(|record| record.has_kept_journal),
        };
        let is_something = has_receipts
            || !left.last_logs.is_empty()
            || !left.logs.is_empty()
            || !left.unfinished.is_empty()
            || !left.journals.is_empty();
        is_something.then_some(left)
    }
}

fn logs_of(prefix: BlobName) -> [BlobName; 3] {
    [ERROR_LOG, VERBOSE_LOG, MANIFEST_LOG].map(|kind| log_name(&prefix, kind))
}

/// The place that what a job leaves is sealed for, where there is no key of the job's own.
fn place(job_uid: &str) -> String {
    format!("{job_uid}/left")
}

impl Store {
    /// What a job leaves, sealed, as it is kept until that was removed; and at a server the key that it is sealed with: the
    /// job's own goes now.
    pub(super) fn seal_left_behind(&self, job: &StoredJob) -> Result<Option<(Vec<u8>, JobSeal)>, StoreError> {
        let Some(left) = LeftBehind::of(job) else { return Ok(None) };
        let text = serde_json::to_string(&left)?;
        let seal = self.new_seal(&job.uid)?;
        let sealer = self.sealer(&job.uid, &seal)?;
        let sealed = match sealer.has_key() {
            true => sealer.close(&text, Sealed::LeftBehind)?.into_bytes(),
            false => self.vault.seal(&text, &place(&job.uid))?,
        };
        Ok(Some((sealed, seal)))
    }

    /// What the job of an effect left; `None` where that was nothing, or was removed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn left_behind(&self, effect: &StoredEffect) -> Result<Option<LeftBehind>, StoreError> {
        let Some(sealed) = &effect.sealed else { return Ok(None) };
        let sealer = self.sealer(&effect.job_uid, &effect.seal)?;
        let text = match (self.dialect, sealer.has_key()) {
            (Dialect::Sqlite, _) => self.vault.open_sealed(sealed, &place(&effect.job_uid))?,
            (Dialect::Postgres, true) => sealer.open(&String::from_utf8_lossy(sealed), Sealed::LeftBehind)?,
            (Dialect::Postgres, false) => match self.vault.open_sealed(sealed, &place(&effect.job_uid)) {
                // An earlier version removed the job.
                Ok(text) => text,
                // The key goes when everything was removed.
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(serde_json::from_str(&text)?))
    }
}
