//! The copies of a job's drives, and which job a drive belongs to.

use std::collections::BTreeMap;

use protocol::job::{CopyRecord, JobState};
use sqlx::{Sqlite, Transaction};

use super::Store;
use super::error::StoreError;
use super::row::{JOB_COLUMNS, StoredJob, job_of};

pub(super) async fn read(
    transaction: &mut Transaction<'_, Sqlite>,
    job_id: i64,
) -> Result<BTreeMap<String, CopyRecord>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT drive_id, record FROM drive_copy WHERE job_id = ?")
        .bind(job_id)
        .fetch_all(&mut **transaction)
        .await?;
    rows.into_iter().map(|(drive_id, record)| Ok((drive_id, serde_json::from_str(&record)?))).collect()
}

/// Writes what changed of the copies, and which drives the job has.
pub(super) async fn write(
    transaction: &mut Transaction<'_, Sqlite>,
    job: &StoredJob,
    before: Option<&StoredJob>,
) -> Result<(), StoreError> {
    for (drive_id, record) in &job.copies {
        if before.and_then(|before| before.copies.get(drive_id)) == Some(record) {
            continue;
        }
        sqlx::query("INSERT OR REPLACE INTO drive_copy (job_id, drive_id, record) VALUES (?, ?, ?)")
            .bind(job.id)
            .bind(drive_id)
            .bind(serde_json::to_string(record)?)
            .execute(&mut **transaction)
            .await?;
    }
    let ids = |job: &StoredJob| job.machine.drives.iter().map(|drive| drive.id.clone()).collect::<Vec<_>>();
    if before.map(ids) == Some(ids(job)) {
        return Ok(());
    }
    sqlx::query("DELETE FROM job_drive WHERE job_id = ?").bind(job.id).execute(&mut **transaction).await?;
    for id in ids(job) {
        let insert = sqlx::query("INSERT INTO job_drive (job_id, drive_id) VALUES (?, ?)").bind(job.id).bind(id);
        insert.execute(&mut **transaction).await?;
    }
    Ok(())
}

impl Store {
    /// Jobs that are not over and name this drive, in any case of its letters.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn jobs_of_drive(&self, drive_id: &str) -> Result<Vec<StoredJob>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT job.uid FROM job_drive JOIN job ON job.id = job_drive.job_id
             WHERE job_drive.drive_id = ? AND job.state NOT IN ('Completed', 'Closed') ORDER BY job.id",
        )
        .bind(drive_id)
        .fetch_all(&self.pool)
        .await?;
        let mut jobs = Vec::new();
        for (uid,) in rows {
            jobs.extend(self.by_uid(&uid).await?);
        }
        Ok(jobs)
    }

    /// The jobs in any of these states, with their copies: the oldest, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn with_copies_in(&self, states: &[JobState], limit: u32) -> Result<Vec<StoredJob>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut query = sqlx::QueryBuilder::new(format!("SELECT {JOB_COLUMNS} FROM job WHERE state IN ("));
        let mut list = query.separated(", ");
        for state in states {
            list.push_bind(serde_json::to_value(state)?.as_str().map(str::to_owned));
        }
        query.push(") ORDER BY id LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&mut *transaction).await?;
        let mut jobs = rows.iter().map(job_of).collect::<Result<Vec<_>, _>>()?;
        for job in &mut jobs {
            job.copies = read(&mut transaction, job.id).await?;
        }
        Ok(jobs)
    }

    /// How many jobs are in each state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_by_state(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as("SELECT state, count(*) FROM job GROUP BY state").fetch_all(&self.pool).await?)
    }
}
