//! Jobs by what is known of them: their drives, their timers, their states. Each question is one query for the rows and one
//! for their copies, however many jobs it is about.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::station::AttentionKind;
use sqlx::Row;
use sqlx::any::AnyRow;
use time::OffsetDateTime;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::{JobKey, StoredJob, folded, seconds};
use super::search::Found;
use super::statement::Statement;
use super::write::note_columns;

/// Jobs of one query: SQLite takes so many parameters, and more.
pub(super) const JOBS_PER_QUERY: usize = 500;

/// A place in the list of jobs that wait for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitingPlace {
    /// How urgent the job is.
    pub(crate) rank: u8,
    /// Since when it waits, in seconds since 1970.
    pub(crate) from: i64,
    /// Its number.
    pub(crate) id: i64,
}

impl Store {
    /// Jobs whose timer is due, the one that is overdue longest first: at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn due(&self, now: OffsetDateTime, limit: u32) -> Result<Vec<JobKey>, StoreError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT subscription, resource_group, name FROM job WHERE due_at <= $1 ORDER BY due_at LIMIT $2")
                .bind(seconds(now))
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .answered()
                .await?;
        Ok(rows.into_iter().map(|(subscription, resource_group, name)| JobKey { subscription, resource_group, name }).collect())
    }

    /// Jobs that are not over and have one of these drives, in any case of its letters, by name or by the serial number that
    /// one was bound to.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn jobs_of_drives(&self, drive_ids: &[&str]) -> Result<Vec<Arc<StoredJob>>, StoreError> {
        let mut jobs = Vec::new();
        for some in drive_ids.chunks(JOBS_PER_QUERY) {
            let mut query = Statement::new(format!(
                "SELECT {} FROM job WHERE state NOT IN ('Completed', 'Closed')
                 AND id IN (SELECT job_id FROM job_drive WHERE drive_key IN (",
                self.job_columns()
            ));
            query.bind_list(some.iter().map(|id| self.search_key(Found::Drive, id)))?.push(")) ORDER BY id");
            jobs.extend(self.with_copies(query.query().fetch_all(&self.pool).answered().await?).await?);
        }
        Ok(jobs.into_iter().map(Arc::new).collect())
    }

    /// Jobs that are not over and have this drive.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn jobs_of_drive(&self, drive_id: &str) -> Result<Vec<Arc<StoredJob>>, StoreError> {
        self.jobs_of_drives(&[drive_id]).await
    }

    /// The jobs of these random names that are still there.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn by_uids(&self, uids: &[String]) -> Result<HashMap<String, Arc<StoredJob>>, StoreError> {
        let mut jobs = HashMap::new();
        for some in uids.chunks(JOBS_PER_QUERY) {
            let mut query = Statement::new(format!("SELECT {} FROM job WHERE uid IN (", self.job_columns()));
            query.bind_list(some.iter().cloned())?.push(")");
            let found = self.with_copies(query.query().fetch_all(&self.pool).answered().await?).await?;
            jobs.extend(found.into_iter().map(|job| (job.uid.clone(), Arc::new(job))));
        }
        Ok(jobs)
    }

    /// Jobs that a drive may be checked in to, the oldest first, at most `limit`: of those whose name has `search` in it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn taking_drives(&self, search: &str, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
        let mut query = Statement::new(format!("SELECT {} FROM job WHERE awaits_drives = 1", self.job_columns()));
        self.push_search(&mut query, search)?.push(" ORDER BY kind, id LIMIT ").bind(i64::from(limit))?;
        self.with_copies(query.query().fetch_all(&self.pool).answered().await?).await
    }

    /// The jobs that have this very name, tracking number or drive, in any case of its letters: those that are not over first, the
    /// newest of them first; at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn scanned(&self, code: &str, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
        let mut query = Statement::new(format!("SELECT {} FROM job WHERE name_key = ", self.job_columns()));
        query.bind(folded(code))?.push(" OR ");
        self.push_tracking_number(&mut query, code)?;
        query.push(" OR id IN (SELECT job_id FROM job_drive WHERE drive_key = ").bind(self.search_key(Found::Drive, code))?;
        query
            .push(") ORDER BY CASE WHEN state IN ('Completed', 'Closed') THEN 1 ELSE 0 END, id DESC LIMIT ")
            .bind(i64::from(limit))?;
        self.with_copies(query.query().fetch_all(&self.pool).answered().await?).await
    }

    /// Exports that wait for a drive, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn waiting_exports(&self, limit: u32) -> Result<Vec<StoredJob>, StoreError> {
        let columns = self.job_columns();
        let statement = format!("SELECT {columns} FROM job WHERE awaits_drives = 1 AND kind = 'Export' ORDER BY id LIMIT $1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(i64::from(limit)).fetch_all(&self.pool).answered().await?;
        self.with_copies(rows).await
    }

    /// Jobs that wait for a person at `now`, or do where their drives are in no bay: the most urgent first, those that have
    /// waited longest first among them; at most `limit`, behind the place `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn waiting(
        &self,
        now: OffsetDateTime,
        after: Option<WaitingPlace>,
        limit: u32,
    ) -> Result<Vec<(WaitingPlace, StoredJob)>, StoreError> {
        let mut found = Vec::new();
        // One rank after another, so that no row is read that does not wait yet.
        for kind in AttentionKind::ALL.into_iter().filter(|kind| after.is_none_or(|after| kind.rank() >= after.rank)) {
            let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            let rank = kind.rank();
            let after = after.filter(|after| after.rank == rank).map_or((i64::MIN, 0), |after| (after.from, after.id));
            let columns = self.job_columns();
            let statement = format!(
                "SELECT waits_from, {columns} FROM job WHERE waits_rank = $1 AND waits_from <= $2
                 AND (waits_from, id) > ($3, $4) ORDER BY waits_from, id LIMIT $5"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(i64::from(rank)).bind(seconds(now));
            let rows = query.bind(after.0).bind(after.1).bind(i64::from(left)).fetch_all(&self.pool).answered().await?;
            let from: Vec<i64> = rows.iter().map(|row| row.try_get("waits_from")).collect::<Result<_, _>>()?;
            let jobs = self.with_copies(rows).await?;
            let placed = from.into_iter().zip(jobs).map(|(from, job)| (WaitingPlace { rank, from, id: job.id }, job));
            found.extend(placed);
        }
        Ok(found)
    }

    /// How many jobs wait for a person at `now`, or do where their drives are in no bay, by how urgent that is.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn count_waiting(&self, now: OffsetDateTime) -> Result<Vec<(AttentionKind, i64)>, StoreError> {
        let mut counts = Vec::new();
        for kind in AttentionKind::ALL {
            let count = sqlx::query_scalar("SELECT count(*) FROM job WHERE waits_rank = $1 AND waits_from <= $2");
            counts.push((kind, count.bind(i64::from(kind.rank())).bind(seconds(now)).fetch_one(&self.pool).answered().await?));
        }
        Ok(counts)
    }

    /// Jobs of an earlier layout, of which it is not known whether a person is needed, or which account they are of.
    pub(super) async fn note_unknown(&self) -> Result<(), StoreError> {
        loop {
            let columns = self.job_columns();
            let statement =
                format!("SELECT {columns} FROM job WHERE waits_rank = -1 OR account_key IS NULL LIMIT {JOBS_PER_QUERY}");
            let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(&self.pool).answered().await?;
            if rows.is_empty() {
                return Ok(());
            }
            let jobs = self.with_copies(rows).await?;
            let mut transaction = self.begin().await?;
            for job in &jobs {
                note_columns(&mut transaction, job).await?;
            }
            transaction.commit().await?;
        }
    }

    pub(super) async fn with_copies(&self, rows: Vec<AnyRow>) -> Result<Vec<StoredJob>, StoreError> {
        let mut jobs = rows.iter().map(|row| self.job_of(row)).collect::<Result<Vec<_>, _>>()?;
        for some in jobs.chunks_mut(JOBS_PER_QUERY) {
            self.add_copies(some).await?;
        }
        Ok(jobs)
    }

    /// How many jobs are in each state.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn count_by_state(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as("SELECT state, CAST(sum(count) AS BIGINT) FROM job_count GROUP BY state")
            .fetch_all(&self.pool)
            .answered()
            .await?)
    }
}
