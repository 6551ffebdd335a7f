//! Grants: which copies stations may run.

use std::sync::Arc;

use protocol::station::{CopyOrder, station_and_bay};

use super::answered::Answered;
use super::database::Store;
use super::error::{StoreError, is_taken};
use super::row::{GrantStep, StoredJob};
use super::seal::{JobSeal, Sealed, Sealer};
use super::statement::Statement;
use super::transaction::Transaction;

/// Who runs a copy that was granted before this service began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantHolder {
    /// A station.
    Station,
    /// A process of this service that has ended.
    ThisService,
    /// Another service, in a bay of its own.
    OtherService,
}

/// A copy that was granted before this service began.
pub(crate) struct GrantedBefore {
    pub(crate) job: Arc<StoredJob>,
    pub(crate) order: CopyOrder,
    pub(crate) holder: GrantHolder,
}

/// Writes or removes a grant with the change that it belongs to.
pub(super) async fn step(transaction: &mut Transaction, job: &StoredJob, step: GrantStep) -> Result<(), StoreError> {
    match step {
        GrantStep::Begin(order) => {
            let id = order.grant.clone().unwrap_or_default();
            let holder = transaction.holder().filter(|_| station_and_bay(&order.bay).is_none()).map(str::to_owned);
            let store = transaction.store();
            let sealer = store.sealer(&job.uid, &job.seal)?;
            let drive = store.drive_column(&sealer, &order.drive_id);
            sqlx::query("INSERT INTO copy_grant (id, job_id, drive_id, copy_order, holder) VALUES ($1, $2, $3, $4, $5)")
                .bind(id)
                .bind(job.id)
                .bind(drive)
                .bind(sealer.close(&serde_json::to_string(&order)?, Sealed::Grant)?)
                .bind(holder)
                .execute(&mut **transaction)
                .answered()
                .await
                .map_err(|error| match is_taken(&error) {
                    true => StoreError::NotNow(format!("the drive `{}` is being copied at another station", order.drive_id)),
                    false => error.into(),
                })?;
            if let Some((station, _)) = station_and_bay(&order.bay) {
                sqlx::query(
                    "INSERT INTO station_job (station, job_uid, state_id) VALUES ($1, $2, $3)
                     ON CONFLICT (job_uid, station) DO UPDATE SET state_id = excluded.state_id",
                )
                .bind(station)
                .bind(&order.job_uid)
                .bind(&order.state_id)
                .execute(&mut **transaction)
                .answered()
                .await?;
            }
            Ok(())
        }
        GrantStep::End(id) => {
            let removed =
                sqlx::query("DELETE FROM copy_grant WHERE id = $1").bind(id).execute(&mut **transaction).answered().await?;
            if removed.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced) }
        }
    }
}

/// Seals the grants of a job that an earlier version wrote.
pub(super) async fn seal(transaction: &mut Transaction, job: &StoredJob, sealer: &Sealer) -> Result<(), StoreError> {
    let rows: Vec<(String, String, String)> = sqlx::query_as("SELECT id, drive_id, copy_order FROM copy_grant WHERE job_id = $1")
        .bind(job.id)
        .fetch_all(&mut **transaction)
        .answered()
        .await?;
    for (id, drive_id, order) in rows {
        let drive = transaction.store().drive_column(sealer, &drive_id);
        let order = sealer.close(&order, Sealed::Grant)?;
        let update = sqlx::query("UPDATE copy_grant SET drive_id = $1, copy_order = $2 WHERE id = $3");
        update.bind(drive).bind(order).bind(id).execute(&mut **transaction).answered().await?;
    }
    Ok(())
}

/// Removed jobs that stations are asked to forget at a time.
const REMOVED_MAX: i64 = 100;

/// The order, who runs it, and the job with its key.
type GrantRow = (String, Option<String>, String, Option<Vec<u8>>);

impl Store {
    /// The grants that were not ended, with their jobs.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn grants(&self) -> Result<Vec<GrantedBefore>, StoreError> {
        let query = Statement::new(format!(
            "SELECT copy_order, holder, uid, {} FROM copy_grant JOIN job ON job.id = job_id ORDER BY copy_grant.id",
            self.dialect.seal_of("job.uid")
        ));
        let rows: Vec<GrantRow> = query.query_as().fetch_all(&self.pool).answered().await?;
        let mut orders = Vec::new();
        for (order, holder, job_uid, seal) in rows {
            let order = self.sealer(&job_uid, &JobSeal(seal))?.open(&order, Sealed::Grant)?;
            let order: CopyOrder = serde_json::from_str(&order)?;
            let holder = match holder {
                None => GrantHolder::Station,
                Some(holder) if self.holder() == Some(&holder) => GrantHolder::ThisService,
                Some(_) => GrantHolder::OtherService,
            };
            orders.push((order, holder));
        }
        let uids: Vec<String> = orders.iter().map(|(order, _)| order.job_uid.clone()).collect();
        let jobs = self.by_uids(&uids).await?;
        let with_job = |(order, holder): (CopyOrder, GrantHolder)| {
            Some(GrantedBefore { job: jobs.get(&order.job_uid)?.clone(), order, holder })
        };
        Ok(orders.into_iter().filter_map(with_job).collect())
    }

    /// The stations that may keep something of a job, and whether each may still call.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn stations_of(&self, job_uid: &str) -> Result<Vec<(String, bool)>, StoreError> {
        let query = "SELECT station, (SELECT count(*) FROM token WHERE token.name = station AND is_station = 1) FROM station_job
                     WHERE job_uid = $1 ORDER BY station";
        let rows: Vec<(String, i64)> = sqlx::query_as(query).bind(job_uid).fetch_all(&self.pool).answered().await?;
        Ok(rows.into_iter().map(|(station, tokens)| (station, tokens > 0)).collect())
    }

    /// Notes that a station keeps something of a job, in this state directory.
    #[cfg(test)]
    pub(crate) async fn note_kept(&self, job_uid: &str, station: &str, state_id: Option<&str>) {
        let insert = sqlx::query("INSERT INTO station_job (station, job_uid, state_id) VALUES ($1, $2, $3)");
        insert.bind(station).bind(job_uid).bind(state_id).execute(&self.pool).await.unwrap();
    }

    /// Jobs that were removed, with the stations that may keep something of them and have a token: one that had none at that time
    /// was not asked.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn removed_at_stations(&self) -> Result<Vec<(String, String)>, StoreError> {
        let query = "SELECT station, job_uid FROM station_job
                     WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.uid = job_uid)
                     AND NOT EXISTS (SELECT 1 FROM effect WHERE effect.job_uid = station_job.job_uid)
                     AND EXISTS (SELECT 1 FROM token WHERE token.name = station AND is_station = 1)
                     ORDER BY station, job_uid LIMIT $1";
        Ok(sqlx::query_as(query).bind(REMOVED_MAX).fetch_all(&self.pool).answered().await?)
    }

    /// The state directory of a station that has the journal of a job's last copy there; `None` where it never had one.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn journal_of(&self, job_uid: &str, station: &str) -> Result<Option<String>, StoreError> {
        let query = "SELECT state_id FROM station_job WHERE job_uid = $1 AND station = $2";
        let row: Option<(Option<String>,)> =
            sqlx::query_as(query).bind(job_uid).bind(station).fetch_optional(&self.pool).answered().await?;
        Ok(row.and_then(|(state_id,)| state_id))
    }

    /// Notes that a station keeps nothing of a job any more.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forgot(&self, job_uid: &str, station: &str) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let delete = sqlx::query("DELETE FROM station_job WHERE job_uid = $1 AND station = $2").bind(job_uid).bind(station);
        delete.execute(&mut *transaction).answered().await?;
        transaction.commit().await
    }

    /// Ends a grant whose copy was cut off; nothing where it has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn end_grant(&self, id: &str) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM copy_grant WHERE id = $1").bind(id).execute(&mut *transaction).answered().await?;
        transaction.commit().await
    }
}
