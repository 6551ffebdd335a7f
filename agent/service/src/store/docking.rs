//! Which drive of which job the drive in a bay was checked in as.

use std::collections::HashMap;

use protocol::digest::Sha256Digest;
use protocol::job::{CopyRecord, DockedTime, TargetSeen};
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::StoredJob;
use super::transaction::Transaction;

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
    at: OffsetDateTime,
    /// When the drive was docked, as its host told it; absent where that was not known, or an earlier version noted this.
    docked_at: Option<OffsetDateTime>,
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
    /// Whether it is about this drive, as it is attached now, and not about an earlier docking of it. Earlier versions did not note
    /// how it was attached.
    pub(crate) fn is_of(&self, docked: DockedAs<'_>, docked_at: Option<DockedTime>) -> bool {
        let is_earlier = self.drive_mark.is_none() && self.mark == drive_mark(&self.job_uid, docked.serial);
        let is_drive = is_earlier || self.mark == docking_mark(&self.job_uid, docked);
        is_drive && DockedTime::was_there(docked_at, self.docked_at, self.at)
    }

    /// The drive of the job that it was checked in as.
    pub(crate) fn drive_of(&self, job: &StoredJob) -> Option<String> {
        let mark = self.drive_mark.as_ref().unwrap_or(&self.mark);
        let drive = job.machine.drives.iter().find(|drive| drive_mark(&job.uid, &drive.id) == *mark);
        drive.map(|drive| drive.id.clone())
    }
}

/// The drive in a bay, which a change makes a drive of its job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'change> {
    /// The bay.
    pub(crate) bay: &'change str,
    /// The drive in it.
    pub(crate) docked: DockedAs<'change>,
    /// When it was docked; absent where it was there when the service began.
    pub(crate) docked_at: Option<DockedTime>,
    /// The drive of the job.
    pub(crate) drive_id: &'change str,
    /// It may have been checked in for another job, by mistake.
    pub(crate) may_take_over: bool,
}

impl Claim<'_> {
    /// What stands for this docking in a job of this name.
    fn mark(&self, job_uid: &str) -> String {
        docking_mark(job_uid, self.docked)
    }

    /// The docking, as that of a drive that may be written from now on.
    pub(crate) fn seen(&self, job_uid: &str, now: OffsetDateTime) -> TargetSeen {
        TargetSeen { mark: self.mark(job_uid), at: now, docked_at: self.docked_at.map(|docked| docked.told) }
    }

    /// Whether the drive of an export may be written: it was looked at in this docking.
    pub(crate) fn may_be_written(&self, job_uid: &str, record: Option<&CopyRecord>) -> bool {
        let seen = record.and_then(|record| record.target.as_ref());
        seen.is_some_and(|seen| seen.is_of(&self.mark(job_uid), self.docked_at))
    }
}

/// Notes that the drive in a bay was checked in as a drive of a job, and no longer one in another bay.
///
/// # Errors
/// [`StoreError::BayTaken`] where it was checked in for another job that is not over.
pub(super) async fn claim(
    transaction: &mut Transaction,
    claim: Claim<'_>,
    job_uid: &str,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let noted = noted_in(transaction, claim.bay).await?;
    if let Some(noted) = noted.as_ref().filter(|noted| !claim.may_take_over && noted.job_uid != job_uid) {
        require_free(transaction, claim, noted).await?;
    }
    let mark = drive_mark(job_uid, claim.drive_id);
    sqlx::query("DELETE FROM docking WHERE job_uid = $1 AND drive_mark = $2 AND bay <> $3")
        .bind(job_uid)
        .bind(&mark)
        .bind(claim.bay)
        .execute(&mut **transaction)
        .answered()
        .await?;
    let statement = match noted {
        Some(_) => "UPDATE docking SET job_uid = $2, mark = $3, drive_mark = $4, at = $5, docked_at = $6 WHERE bay = $1",
        // Another change may have noted a drive there meanwhile: then it is looked at first.
        None => {
            "INSERT INTO docking (bay, job_uid, mark, drive_mark, at, docked_at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (bay) DO NOTHING"
        }
    };
    let written = sqlx::query(statement)
        .bind(claim.bay)
        .bind(job_uid)
        .bind(claim.mark(job_uid))
        .bind(mark)
        .bind(nanoseconds(now))
        .bind(claim.docked_at.map(|docked| nanoseconds(docked.told)))
        .execute(&mut **transaction)
        .answered()
        .await?;
    match written.rows_affected() {
        0 => Err(StoreError::Contended),
        _ => Ok(()),
    }
}

/// A drive of a job that is not the one in its bay any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unbound<'change> {
    /// The drive of the job.
    pub(crate) drive_id: &'change str,
    /// The drive in the bay holds something of the job: it is not given to another one by itself.
    pub(crate) is_written: bool,
}

/// Notes that the drive in a bay is not the drive of a job that it was checked in as. One that was written stays noted, as
/// no drive of the job.
pub(super) async fn unbind(
    transaction: &mut Transaction,
    Unbound { drive_id, is_written }: Unbound<'_>,
    job_uid: &str,
) -> Result<(), StoreError> {
    let statement = match is_written {
        true => "UPDATE docking SET drive_mark = '' WHERE job_uid = $1 AND drive_mark = $2",
        false => "DELETE FROM docking WHERE job_uid = $1 AND drive_mark = $2",
    };
    sqlx::query(statement).bind(job_uid).bind(drive_mark(job_uid, drive_id)).execute(&mut **transaction).answered().await?;
    Ok(())
}

/// What is noted of a bay, as it stays until the transaction has ended.
async fn noted_in(transaction: &mut Transaction, bay: &str) -> Result<Option<Docking>, StoreError> {
    let lock = transaction.dialect().for_update();
    let noted = format!("SELECT bay, job_uid, mark, drive_mark, at, docked_at FROM docking WHERE bay = $1{lock}");
    let noted: Option<DockingRow> =
        sqlx::query_as(AssertSqlSafe(noted)).bind(bay).fetch_optional(&mut **transaction).answered().await?;
    Ok(noted.map(docking_of).transpose()?.map(|(_, docking)| docking))
}

/// Refuses where the drive in a bay was checked in for the job of this docking, which is not over.
async fn require_free(transaction: &mut Transaction, claim: Claim<'_>, docking: &Docking) -> Result<(), StoreError> {
    if !docking.is_of(claim.docked, claim.docked_at) {
        return Ok(());
    }
    let open = "SELECT subscription, resource_group, name FROM job WHERE uid = $1 AND state NOT IN ('Completed', 'Closed')";
    let open: Option<(String, String, String)> =
        sqlx::query_as(open).bind(&docking.job_uid).fetch_optional(&mut **transaction).answered().await?;
    match open {
        Some((subscription, group, name)) => {
            Err(StoreError::BayTaken { bay: claim.bay.to_owned(), job: format!("{subscription}/{group}/{name}") })
        }
        None => Ok(()),
    }
}

type DockingRow = (String, String, String, Option<String>, i64, Option<i64>);

fn docking_of((bay, job_uid, mark, drive_mark, at, docked_at): DockingRow) -> Result<(String, Docking), StoreError> {
    let time = |nanoseconds: i64| {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanoseconds));
        time.map_err(|error| StoreError::Damaged(error.to_string()))
    };
    Ok((bay, Docking { job_uid, at: time(at)?, docked_at: docked_at.map(time).transpose()?, mark, drive_mark }))
}

/// Since 1970.
fn nanoseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

impl Store {
    /// The last check-in that was noted for each bay.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn dockings(&self) -> Result<HashMap<String, Docking>, StoreError> {
        let rows: Vec<DockingRow> = sqlx::query_as("SELECT bay, job_uid, mark, drive_mark, at, docked_at FROM docking")
            .fetch_all(&self.pool)
            .answered()
            .await?;
        rows.into_iter().map(docking_of).collect()
    }
}
