//! BitLocker keys, sealed: a key of a drive opens in its own row alone.

use protocol::arm::{DriveStatus, JobDetails};

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::{JobKey, StoredJob};
use super::transaction::Transaction;

const UPSERT: &str = "INSERT INTO drive_key (job_id, drive_id, sealed) VALUES ($1, $2, $3)
     ON CONFLICT (job_id, drive_id) DO UPDATE SET sealed = excluded.sealed";

impl Store {
    /// The keys of a job's drives.
    ///
    /// # Errors
    /// When there is no such job, or a key cannot be opened.
    pub(crate) async fn keys(&self, key: &JobKey) -> Result<Vec<(String, String)>, StoreError> {
        let job = self.get(key).await?;
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT drive_id, sealed FROM drive_key WHERE job_id = $1 ORDER BY drive_id")
                .bind(job.id)
                .fetch_all(&self.pool)
                .answered()
                .await?;
        rows.into_iter()
            .map(|(drive_id, sealed)| {
                let key = self.vault.open_sealed(&sealed, &place(&job, &drive_id))?;
                Ok((drive_id, key))
            })
            .collect()
    }

    /// The drives after their list was changed. One whose serial number alone was corrected keeps its key, unless another
    /// came with it.
    pub(super) async fn with_keys_of_corrected(
        &self,
        transaction: &mut Transaction,
        job: &StoredJob,
        before: &[DriveStatus],
        mut drives: Vec<DriveStatus>,
    ) -> Result<Vec<DriveStatus>, StoreError> {
        if before.len() != drives.len() {
            return Ok(drives);
        }
        let ids = |list: &[DriveStatus]| list.iter().filter_map(|drive| drive.drive_id.clone()).collect::<Vec<_>>();
        let (old_ids, new_ids) = (ids(before), ids(&drives));
        for (drive, (old, new)) in drives.iter_mut().zip(old_ids.iter().zip(&new_ids)) {
            if drive.bit_locker_key.is_some() || new_ids.contains(old) || old_ids.contains(new) {
                continue;
            }
            let sealed: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM drive_key WHERE job_id = $1 AND drive_id = $2")
                .bind(job.id)
                .bind(old)
                .fetch_optional(&mut **transaction)
                .answered()
                .await?;
            drive.bit_locker_key = sealed.map(|sealed| self.vault.open_sealed(&sealed, &place(job, old))).transpose()?;
        }
        Ok(drives)
    }

    /// Seals the keys that came with a list of drives; keys of drives that are not in it any more go. A drive whose number is only
    /// written in other letters keeps its key.
    pub(super) async fn seal_keys(
        &self,
        transaction: &mut Transaction,
        job: &StoredJob,
        drives: &[DriveStatus],
    ) -> Result<(), StoreError> {
        let known: Vec<String> = sqlx::query_scalar("SELECT drive_id FROM drive_key WHERE job_id = $1")
            .bind(job.id)
            .fetch_all(&mut **transaction)
            .answered()
            .await?;
        for gone in known.iter().filter(|id| !drives.iter().any(|drive| drive.drive_id.as_ref() == Some(*id))) {
            let is_same = |drive: &&DriveStatus| drive.drive_id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(gone));
            let same = drives.iter().find(is_same).filter(|drive| drive.bit_locker_key.is_none());
            if let Some(id) = same.and_then(|drive| drive.drive_id.as_ref()) {
                let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM drive_key WHERE job_id = $1 AND drive_id = $2")
                    .bind(job.id)
                    .bind(gone)
                    .fetch_one(&mut **transaction)
                    .answered()
                    .await?;
                let key = self.vault.open_sealed(&sealed, &place(job, gone))?;
                let resealed = self.vault.seal(&key, &place(job, id))?;
                let upsert = sqlx::query(UPSERT).bind(job.id).bind(id).bind(resealed);
                upsert.execute(&mut **transaction).answered().await?;
            }
            let delete = sqlx::query("DELETE FROM drive_key WHERE job_id = $1 AND drive_id = $2").bind(job.id).bind(gone);
            delete.execute(&mut **transaction).answered().await?;
        }
        for drive in drives {
            if let (Some(id), Some(key)) = (&drive.drive_id, &drive.bit_locker_key) {
                sqlx::query(UPSERT)
                    .bind(job.id)
                    .bind(id)
                    .bind(self.vault.seal(key, &place(job, id))?)
                    .execute(&mut **transaction)
                    .answered()
                    .await?;
            }
        }
        Ok(())
    }
}

/// The place that a key is sealed for: it opens nowhere else.
fn place(job: &StoredJob, drive_id: &str) -> String {
    format!("{}/{drive_id}", job.uid)
}

/// The drives of a job, with the keys that came with them.
pub(super) fn drives_of(details: &JobDetails) -> Vec<DriveStatus> {
    details.drive_list.clone().unwrap_or_default()
}

pub(super) fn without_key(drive: &DriveStatus) -> DriveStatus {
    DriveStatus { bit_locker_key: None, ..drive.clone() }
}
