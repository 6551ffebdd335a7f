//! BitLocker keys, sealed: a key of a drive opens in its own row alone.

use protocol::arm::{DriveStatus, JobDetails};
use sqlx::AnyConnection;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::{JobKey, StoredJob};
use super::seal::Sealed;
use super::transaction::Transaction;

const UPSERT: &str = "INSERT INTO drive_key (job_id, drive_id, sealed) VALUES ($1, $2, $3)
     ON CONFLICT (job_id, drive_id) DO UPDATE SET sealed = excluded.sealed";

/// A key as it is kept.
struct SealedKey {
    /// What its row is found by.
    column: String,
    drive_id: String,
    key: SealedText,
}

/// The key itself.
enum SealedText {
    /// Sealed with the service's key: it may not open.
    ByVault(Vec<u8>),
    /// It was sealed with the job's.
    Opened(String),
}

impl Store {
    /// The keys of a job's drives.
    ///
    /// # Errors
    /// When there is no such job, or a key cannot be opened.
    pub(crate) async fn keys(&self, key: &JobKey) -> Result<Vec<(String, String)>, StoreError> {
        let job = self.get(key).await?;
        let rows = self.sealed_keys(&mut *self.pool.acquire().await?, &job).await?;
        let mut keys = Vec::new();
        for row in rows {
            keys.push((row.drive_id.clone(), self.opened(&job, row)?));
        }
        keys.sort();
        Ok(keys)
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
        let mut known = self.sealed_keys(transaction, job).await?;
        for (drive, (old, new)) in drives.iter_mut().zip(old_ids.iter().zip(&new_ids)) {
            if drive.bit_locker_key.is_some() || new_ids.contains(old) || old_ids.contains(new) {
                continue;
            }
            if let Some(index) = known.iter().position(|row| row.drive_id == *old) {
                drive.bit_locker_key = Some(self.opened(job, known.swap_remove(index))?);
            }
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
        let mut keys: Vec<(String, String)> = Vec::new();
        for gone in self.sealed_keys(transaction, job).await? {
            if drives.iter().any(|drive| drive.drive_id.as_ref() == Some(&gone.drive_id)) {
                continue;
            }
            let delete = sqlx::query("DELETE FROM drive_key WHERE job_id = $1 AND drive_id = $2");
            delete.bind(job.id).bind(&gone.column).execute(&mut **transaction).answered().await?;
            let is_same =
                |drive: &&DriveStatus| drive.drive_id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(&gone.drive_id));
            let same = drives.iter().find(is_same).filter(|drive| drive.bit_locker_key.is_none());
            if let Some(id) = same.and_then(|drive| drive.drive_id.clone()) {
                keys.push((id, self.opened(job, gone)?));
            }
        }
        let came = drives.iter().filter_map(|drive| Some((drive.drive_id.clone()?, drive.bit_locker_key.clone()?)));
        keys.extend(came);
        for (drive_id, key) in &keys {
            self.write_key(transaction, job, drive_id, key).await?;
        }
        Ok(())
    }

    /// Seals keys again that were sealed before the job had a key of its own. Those that do not open stay, and say so when they
    /// are asked for.
    pub(super) async fn reseal_keys(&self, transaction: &mut Transaction, job: &StoredJob) -> Result<(), StoreError> {
        let unsealed = StoredJob { seal: Default::default(), ..job.clone() };
        for row in self.sealed_keys(transaction, &unsealed).await? {
            let (column, drive_id) = (row.column.clone(), row.drive_id.clone());
            let Ok(key) = self.opened(job, row) else { continue };
            let delete = sqlx::query("DELETE FROM drive_key WHERE job_id = $1 AND drive_id = $2").bind(job.id).bind(column);
            delete.execute(&mut **transaction).answered().await?;
            self.write_key(transaction, job, &drive_id, &key).await?;
        }
        Ok(())
    }

    async fn write_key(
        &self,
        transaction: &mut Transaction,
        job: &StoredJob,
        drive_id: &str,
        key: &str,
    ) -> Result<(), StoreError> {
        let sealer = self.sealer(&job.uid, &job.seal)?;
        let sealed = match sealer.has_key() {
            true => sealer.close(&serde_json::to_string(&(drive_id, key))?, Sealed::DriveKey)?.into_bytes(),
            false => self.vault.seal(key, &place(job, drive_id))?,
        };
        let upsert = sqlx::query(UPSERT).bind(job.id).bind(self.drive_column(&sealer, drive_id)).bind(sealed);
        upsert.execute(&mut **transaction).answered().await?;
        Ok(())
    }

    async fn sealed_keys(&self, connection: &mut AnyConnection, job: &StoredJob) -> Result<Vec<SealedKey>, StoreError> {
        let sealer = self.sealer(&job.uid, &job.seal)?;
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as("SELECT drive_id, sealed FROM drive_key WHERE job_id = $1")
            .bind(job.id)
            .fetch_all(connection)
            .answered()
            .await?;
        let key = |(column, sealed): (String, Vec<u8>)| match sealer.has_key() {
            true => {
                let text = sealer.open(&String::from_utf8_lossy(&sealed), Sealed::DriveKey)?;
                let (drive_id, key) = serde_json::from_str(&text)?;
                Ok(SealedKey { column, drive_id, key: SealedText::Opened(key) })
            }
            false => Ok(SealedKey { drive_id: column.clone(), column, key: SealedText::ByVault(sealed) }),
        };
        rows.into_iter().map(key).collect()
    }

    fn opened(&self, job: &StoredJob, row: SealedKey) -> Result<String, StoreError> {
        match row.key {
            SealedText::Opened(key) => Ok(key),
            SealedText::ByVault(sealed) => Ok(self.vault.open_sealed(&sealed, &place(job, &row.drive_id))?),
        }
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
