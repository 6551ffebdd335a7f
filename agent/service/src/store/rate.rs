//! The rate that an operator ordered: whichever service decides next finds it.

use protocol::station_rate::{RateCap, RateOrder};
use time::OffsetDateTime;

use super::answered::Answered;
use super::audit::write_audit;
use super::database::Store;
use super::error::StoreError;
use super::retry::retried;

impl Store {
    /// What an operator ordered; `None` where the configuration says it.
    ///
    /// # Errors
    /// When the database fails, or has what is no rate.
    pub async fn operator_rate(&self) -> Result<Option<RateCap>, StoreError> {
        let query = sqlx::query_scalar("SELECT cap FROM operator_rate WHERE id = 1");
        let cap: Option<String> = query.fetch_optional(&self.pool).answered().await?;
        cap.map(|cap| cap.parse().map_err(StoreError::Damaged)).transpose()
    }

    /// Keeps an order about the rate, with its entry in the audit log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_operator_rate(&self, actor: &str, order: RateOrder, now: OffsetDateTime) -> Result<(), StoreError> {
        retried!(self.set_operator_rate_once(actor, order, now))
    }

    async fn set_operator_rate_once(&self, actor: &str, order: RateOrder, now: OffsetDateTime) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let change = match order {
            RateOrder::Cap(cap) => {
                let insert =
                    "INSERT INTO operator_rate (id, cap) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET cap = excluded.cap";
                sqlx::query(insert).bind(cap.to_string())
            }
            RateOrder::Schedule => sqlx::query("DELETE FROM operator_rate WHERE id = 1"),
        };
        change.execute(&mut *transaction).answered().await?;
        write_audit(&mut transaction, now, actor, &format!("set the rate of all copies to {order}"), None).await?;
        transaction.commit().await
    }
}
