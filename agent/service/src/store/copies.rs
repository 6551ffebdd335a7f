//! The copies of a job's drives, and which job a drive belongs to.

use std::collections::BTreeMap;

use protocol::job::CopyRecord;
use sqlx::{Sqlite, Transaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Store;
use super::error::StoreError;
use super::row::StoredJob;

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
        self.by_uids(rows).await
    }

    /// Jobs whose drives are on their way or here, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn in_hand(&self, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT uid FROM job WHERE state IN ('Shipping', 'Received', 'Transferring') ORDER BY id LIMIT ?")
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
        self.by_uids(rows).await
    }

    async fn by_uids(&self, rows: Vec<(String,)>) -> Result<Vec<StoredJob>, StoreError> {
        let mut jobs = Vec::new();
        for (uid,) in rows {
            jobs.extend(self.by_uid(&uid).await?);
        }
        Ok(jobs)
    }

    /// Jobs that wait for a person, or may: those in Packaging, exports that wait for drives, jobs whose drives did
    /// not come by `missing_since`, and jobs with a copy that failed or a drive that is to be copied. At most `limit`, the
    /// oldest first, with their copies.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting(&self, missing_since: OffsetDateTime, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT uid FROM job WHERE state IN ('Received', 'Transferring', 'Packaging')
             OR (state = 'Shipping' AND (kind = 'Export' OR (machine ->> 'cancel_requested') OR (machine ->> 'entered_at') <= ?)) ORDER BY id LIMIT ?",
        )
        .bind(missing_since.format(&Rfc3339).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        self.by_uids(rows).await
    }

    /// The copies of many jobs at once.
    pub(super) async fn add_copies(&self, jobs: &mut [StoredJob]) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut query = sqlx::QueryBuilder::new("SELECT job_id, drive_id, record FROM drive_copy WHERE job_id IN (");
        let mut list = query.separated(", ");
        for job in jobs.iter() {
            list.push_bind(job.id);
        }
        query.push(")");
        let rows: Vec<(i64, String, String)> = query.build_query_as().fetch_all(&self.pool).await?;
        for (job_id, drive_id, record) in rows {
            if let Some(job) = jobs.iter_mut().find(|job| job.id == job_id) {
                job.copies.insert(drive_id, serde_json::from_str(&record)?);
            }
        }
        Ok(())
    }

    /// How many jobs are in each state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_by_state(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as("SELECT state, count(*) FROM job GROUP BY state").fetch_all(&self.pool).await?)
    }
}
