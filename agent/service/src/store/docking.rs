//! Which drive of which job the drive in a bay was checked in as.

use std::collections::HashMap;

use protocol::digest::Sha256Digest;
use time::OffsetDateTime;

use super::database::Store;
use super::error::StoreError;
use super::row::StoredJob;

/// A drive in a bay, and how it is attached there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DockedAs<'drive> {
    /// What it tells; empty where it tells nothing.
    pub(crate) serial: &'drive str,
    /// The same as long as it is not taken out.
    pub(crate) attachment: &'drive str,
}

/// A drive that was checked in where it is docked. Its marks are digests that tell nothing without the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Docking {
    /// The random name of the job, which may be gone.
    pub(crate) job_uid: String,
    /// When.
    pub(crate) at: OffsetDateTime,
    mark: String,
    drive_mark: Option<String>,
}

fn drive_mark(job_uid: &str, drive_id: &str) -> String {
    Sha256Digest::of(format!("{job_uid}/{}", drive_id.to_ascii_lowercase()).as_bytes()).to_string()
}

fn docking_mark(job_uid: &str, docked: DockedAs<'_>) -> String {
    let DockedAs { serial, attachment } = docked;
    Sha256Digest::of(format!("{job_uid}/{attachment}/{}", serial.to_ascii_lowercase()).as_bytes()).to_string()
}

impl Docking {
    /// Whether it is about this drive, as it is attached now. Earlier versions did not note how it was attached.
    pub(crate) fn is_of(&self, docked: DockedAs<'_>) -> bool {
        let is_earlier = self.drive_mark.is_none() && self.mark == drive_mark(&self.job_uid, docked.serial);
        is_earlier || self.mark == docking_mark(&self.job_uid, docked)
    }

    /// The drive of the job that it was checked in as.
    pub(crate) fn drive_of(&self, job: &StoredJob) -> Option<String> {
        let mark = self.drive_mark.as_ref().unwrap_or(&self.mark);
        let drive = job.machine.drives.iter().find(|drive| drive_mark(&job.uid, &drive.id) == *mark);
        drive.map(|drive| drive.id.clone())
    }
}

impl Store {
    /// Notes that the drive in this bay was checked in as that drive of a job, and no longer one in another bay.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn note_docking(
        &self,
        bay: &str,
        docked: DockedAs<'_>,
        job_uid: &str,
        drive_id: &str,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let mark = drive_mark(job_uid, drive_id);
        sqlx::query("DELETE FROM docking WHERE job_uid = ? AND drive_mark = ? AND bay <> ?")
            .bind(job_uid)
            .bind(&mark)
            .bind(bay)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT OR REPLACE INTO docking (bay, job_uid, mark, drive_mark, at) VALUES (?, ?, ?, ?, ?)")
            .bind(bay)
            .bind(job_uid)
            .bind(docking_mark(job_uid, docked))
            .bind(mark)
            .bind(i64::try_from(now.unix_timestamp_nanos()).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The last check-in that was noted for each bay.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn dockings(&self) -> Result<HashMap<String, Docking>, StoreError> {
        let rows: Vec<(String, String, String, Option<String>, i64)> =
            sqlx::query_as("SELECT bay, job_uid, mark, drive_mark, at FROM docking").fetch_all(&self.pool).await?;
        let docking = |(bay, job_uid, mark, drive_mark, at)| {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at))
                .map_err(|error| StoreError::Damaged(error.to_string()))?;
            Ok((bay, Docking { job_uid, at, mark, drive_mark }))
        };
        rows.into_iter().map(docking).collect()
    }
}
