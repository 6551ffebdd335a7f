//! The copies of jobs' drives: reading and writing their rows.

use std::collections::{BTreeMap, HashMap};

use protocol::job::CopyRecord;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::StoredJob;
use super::seal::{Sealed, Sealer};
use super::statement::Statement;
use super::transaction::Transaction;

const UPSERT: &str = "INSERT INTO drive_copy (job_id, drive_id, record) VALUES ($1, $2, $3)
     ON CONFLICT (job_id, drive_id) DO UPDATE SET record = excluded.record";

/// A copy as it is kept: the column of its drive, and its record. Where the record is sealed, the drive is in it: the column has
/// a digest.
fn row_of(store: &Store, sealer: &Sealer, drive_id: &str, record: &CopyRecord) -> Result<(String, String), StoreError> {
    let text = match sealer.has_key() {
        true => sealer.close(&serde_json::to_string(&(drive_id, record))?, Sealed::Copy)?,
        false => serde_json::to_string(record)?,
    };
    Ok((store.drive_column(sealer, drive_id), text))
}

fn copy_of(sealer: &Sealer, drive_id: String, record: &str) -> Result<(String, CopyRecord), StoreError> {
    match sealer.has_key() {
        true => Ok(serde_json::from_str(&sealer.open(record, Sealed::Copy)?)?),
        false => Ok((drive_id, serde_json::from_str(record)?)),
    }
}

pub(super) async fn read(transaction: &mut Transaction, job: &StoredJob) -> Result<BTreeMap<String, CopyRecord>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT drive_id, record FROM drive_copy WHERE job_id = $1")
        .bind(job.id)
        .fetch_all(&mut **transaction)
        .answered()
        .await?;
    let sealer = transaction.store().sealer(&job.uid, &job.seal)?;
    rows.into_iter().map(|(drive_id, record)| copy_of(&sealer, drive_id, &record)).collect()
}

/// Writes what changed of the copies.
pub(super) async fn write(transaction: &mut Transaction, job: &StoredJob, before: Option<&StoredJob>) -> Result<(), StoreError> {
    let sealer = transaction.store().sealer(&job.uid, &job.seal)?;
    for (drive_id, record) in &job.copies {
        if before.and_then(|before| before.copies.get(drive_id)) == Some(record) {
            continue;
        }
        let (drive, record) = row_of(transaction.store(), &sealer, drive_id, record)?;
        let upsert = sqlx::query(UPSERT).bind(job.id).bind(drive).bind(record);
        upsert.execute(&mut **transaction).answered().await?;
    }
    Ok(())
}

impl Store {
    /// The copies of many jobs at once.
    pub(super) async fn add_copies(&self, jobs: &mut [StoredJob]) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut query = Statement::new("SELECT job_id, drive_id, record FROM drive_copy WHERE job_id IN (");
        query.bind_list(jobs.iter().map(|job| job.id))?.push(")");
        let places: HashMap<i64, usize> = jobs.iter().enumerate().map(|(index, job)| (job.id, index)).collect();
        let rows: Vec<(i64, String, String)> = query.query_as().fetch_all(&self.pool).answered().await?;
        for (job_id, drive_id, record) in rows {
            if let Some(index) = places.get(&job_id) {
                let job = &mut jobs[*index];
                let (drive_id, record) = copy_of(&self.sealer(&job.uid, &job.seal)?, drive_id, &record)?;
                job.copies.insert(drive_id, record);
            }
        }
        Ok(())
    }
}
