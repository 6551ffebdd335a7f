//! The copies of jobs' drives: reading and writing their rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::job::{CopyRecord, JobDrive};

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::StoredJob;
use super::statement::Statement;
use super::transaction::Transaction;

const UPSERT: &str = "INSERT INTO drive_copy (job_id, drive_id, record) VALUES ($1, $2, $3)
     ON CONFLICT (job_id, drive_id) DO UPDATE SET record = excluded.record";

pub(super) async fn read(transaction: &mut Transaction, job_id: i64) -> Result<BTreeMap<String, CopyRecord>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT drive_id, record FROM drive_copy WHERE job_id = $1")
        .bind(job_id)
        .fetch_all(&mut **transaction)
        .answered()
        .await?;
    rows.into_iter().map(|(drive_id, record)| Ok((drive_id, serde_json::from_str(&record)?))).collect()
}

/// Writes what changed of the copies, and which drives the job has.
pub(super) async fn write(transaction: &mut Transaction, job: &StoredJob, before: Option<&StoredJob>) -> Result<(), StoreError> {
    for (drive_id, record) in &job.copies {
        if before.and_then(|before| before.copies.get(drive_id)) == Some(record) {
            continue;
        }
        sqlx::query(UPSERT)
            .bind(job.id)
            .bind(drive_id)
            .bind(serde_json::to_string(record)?)
            .execute(&mut **transaction)
            .answered()
            .await?;
    }
    let ids = |job: &StoredJob| job.machine.drives.iter().flat_map(JobDrive::serials).collect::<BTreeSet<_>>();
    if before.map(ids) == Some(ids(job)) {
        return Ok(());
    }
    sqlx::query("DELETE FROM job_drive WHERE job_id = $1").bind(job.id).execute(&mut **transaction).answered().await?;
    for id in ids(job) {
        let insert = sqlx::query("INSERT INTO job_drive (job_id, drive_key) VALUES ($1, $2)").bind(job.id).bind(id);
        insert.execute(&mut **transaction).answered().await?;
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
                jobs[*index].copies.insert(drive_id, serde_json::from_str(&record)?);
            }
        }
        Ok(())
    }
}
