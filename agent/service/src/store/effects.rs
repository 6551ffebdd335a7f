//! The outbox: effects of decisions that are still to be carried out.

use protocol::job::Effect;
use sqlx::{Sqlite, Transaction};

use super::database::Store;
use super::error::StoreError;
use super::row::StoredEffect;

impl Store {
    /// All effects, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn effects(&self) -> Result<Vec<StoredEffect>, StoreError> {
        let rows: Vec<(i64, String, String)> =
            sqlx::query_as("SELECT id, job_uid, what FROM effect ORDER BY id").fetch_all(&self.pool).await?;
        rows.into_iter()
            .map(|(id, job_uid, what)| Ok(StoredEffect { id, job_uid, effect: serde_json::from_str(&what)? }))
            .collect()
    }

    /// Removes an effect that was carried out.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn effect_done(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM effect WHERE id = ?").bind(id).execute(&self.pool).await?;
        Ok(())
    }
}

/// Adds effects.
pub(super) async fn queue(
    transaction: &mut Transaction<'_, Sqlite>,
    job_uid: &str,
    effects: &[Effect],
) -> Result<(), StoreError> {
    for effect in effects {
        sqlx::query("INSERT INTO effect (job_uid, what) VALUES (?, ?)")
            .bind(job_uid)
            .bind(serde_json::to_string(effect)?)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Removes an effect of a job that must not be carried out any more.
pub(super) async fn drop_effect(
    transaction: &mut Transaction<'_, Sqlite>,
    job_uid: &str,
    effect: &Effect,
) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM effect WHERE job_uid = ? AND what = ?").bind(job_uid);
    delete.bind(serde_json::to_string(effect)?).execute(&mut **transaction).await?;
    Ok(())
}
