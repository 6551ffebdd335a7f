//! Which job the drive in a bay was checked in to.

use protocol::digest::Sha256Digest;
use time::OffsetDateTime;

use super::database::Store;
use super::error::StoreError;

/// A drive that was checked in where it is docked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Docking {
    /// The random name of the job, which may be gone.
    pub(crate) job_uid: String,
    /// When.
    pub(crate) at: OffsetDateTime,
    mark: String,
}

fn mark_of(job_uid: &str, drive_id: &str) -> String {
    Sha256Digest::of(format!("{job_uid}/{}", drive_id.to_ascii_lowercase()).as_bytes()).to_string()
}

impl Docking {
    /// Whether it is about this drive.
    pub(crate) fn is_of(&self, drive_id: &str) -> bool {
        self.mark == mark_of(&self.job_uid, drive_id)
    }
}

impl Store {
    /// Notes that the drive in this bay was checked in to that job.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn note_docking(
        &self,
        bay: &str,
        job_uid: &str,
        drive_id: &str,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT OR REPLACE INTO docking (bay, job_uid, mark, at) VALUES (?, ?, ?, ?)")
            .bind(bay)
            .bind(job_uid)
            .bind(mark_of(job_uid, drive_id))
            .bind(i64::try_from(now.unix_timestamp_nanos()).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The last check-in that was noted for this bay.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn docking(&self, bay: &str) -> Result<Option<Docking>, StoreError> {
        let row: Option<(String, String, i64)> =
            sqlx::query_as("SELECT job_uid, mark, at FROM docking WHERE bay = ?").bind(bay).fetch_optional(&self.pool).await?;
        let docking = |(job_uid, mark, at)| {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at))
                .map_err(|error| StoreError::Damaged(error.to_string()))?;
            Ok(Docking { job_uid, mark, at })
        };
        row.map(docking).transpose()
    }
}
