//! Grants: which copies stations may run.

use std::collections::HashMap;

use protocol::station::CopyOrder;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::{GrantStep, StoredJob};
use super::transaction::Transaction;

/// Writes or removes a grant with the change that it belongs to.
pub(super) async fn step(transaction: &mut Transaction, job: &StoredJob, step: GrantStep) -> Result<(), StoreError> {
    match step {
        GrantStep::Begin(order) => {
            let id = order.grant.clone().unwrap_or_default();
            sqlx::query("INSERT INTO copy_grant (id, job_id, drive_id, copy_order) VALUES ($1, $2, $3, $4)")
                .bind(id)
                .bind(job.id)
                .bind(&order.drive_id)
                .bind(serde_json::to_string(&order)?)
                .execute(&mut **transaction)
                .answered()
                .await
                .map_err(|error| match error.as_database_error().is_some_and(|error| error.is_unique_violation()) {
                    true => StoreError::NotNow(format!("the drive `{}` is being copied at another station", order.drive_id)),
                    false => error.into(),
                })?;
            Ok(())
        }
        GrantStep::End(id) => {
            let removed =
                sqlx::query("DELETE FROM copy_grant WHERE id = $1").bind(id).execute(&mut **transaction).answered().await?;
            if removed.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced) }
        }
    }
}

impl Store {
    /// The grants that were not ended, with their jobs.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn grants(&self) -> Result<Vec<(StoredJob, CopyOrder)>, StoreError> {
        let orders: Vec<(String,)> =
            sqlx::query_as("SELECT copy_order FROM copy_grant ORDER BY id").fetch_all(&self.pool).answered().await?;
        let orders: Vec<CopyOrder> =
            orders.into_iter().map(|(order,)| serde_json::from_str(&order)).collect::<Result<_, serde_json::Error>>()?;
        let uids: Vec<String> = orders.iter().map(|order| order.job_uid.clone()).collect();
        let jobs: HashMap<_, _> = self.by_uids(&uids).await?;
        let with_job = |order: CopyOrder| Some((StoredJob::clone(jobs.get(&order.job_uid)?), order));
        Ok(orders.into_iter().filter_map(with_job).collect())
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
