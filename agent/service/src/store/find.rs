//! Jobs by what is known of them: their drives, their timers, their states.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::database::Store;
use super::error::StoreError;
use super::row::{JobKey, StoredJob, seconds};

impl Store {
    /// Jobs whose timer is due, the one that is overdue longest first: at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn due(&self, now: OffsetDateTime, limit: u32) -> Result<Vec<JobKey>, StoreError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT subscription, resource_group, name FROM job WHERE due_at <= ? ORDER BY due_at LIMIT ?")
                .bind(seconds(now))
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|(subscription, resource_group, name)| JobKey { subscription, resource_group, name }).collect())
    }

    /// Jobs that are not over and name this drive, in any case of its letters.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn jobs_of_drive(&self, drive_id: &str) -> Result<Vec<StoredJob>, StoreError> {
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
    pub(crate) async fn in_hand(&self, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
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
    pub(crate) async fn waiting(&self, missing_since: OffsetDateTime, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
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

    /// How many jobs are in each state.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn count_by_state(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as("SELECT state, count(*) FROM job GROUP BY state").fetch_all(&self.pool).await?)
    }
}
