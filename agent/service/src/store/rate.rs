//! The rate that an operator ordered: whichever service decides next finds it.

use protocol::station_rate::RateOrder;
use time::OffsetDateTime;

use super::answered::Answered;
use super::audit::write_audit;
use super::database::Store;
use super::error::StoreError;
use super::retry::retried;

impl Store {
    /// The last order of an operator; `None` where there never was one.
    ///
    /// # Errors
    /// When the database fails, or the order in it cannot be understood.
    pub async fn operator_rate(&self) -> Result<Option<RateOrder>, StoreError> {
        let query = sqlx::query_scalar("SELECT rate_order FROM operator_rate WHERE id = 1");
        let order: Option<String> = query.fetch_optional(&self.pool).answered().await?;
        order.map(|order| order.parse().map_err(StoreError::Damaged)).transpose()
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
        let upsert = "INSERT INTO operator_rate (id, rate_order) VALUES (1, $1)
                      ON CONFLICT (id) DO UPDATE SET rate_order = excluded.rate_order";
        sqlx::query(upsert).bind(order.to_string()).execute(&mut *transaction).answered().await?;
        write_audit(&mut transaction, now, actor, &format!("set the rate of all copies to {order}"), None).await?;
        transaction.commit().await
    }
}
