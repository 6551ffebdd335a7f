//! The outbox: effects of decisions that are still to be carried out.

use protocol::job::Effect;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::StoredEffect;
use super::transaction::Transaction;

/// Whether an effect stops a copy, in SQL: the index of stops has the same words.
macro_rules! is_stop {
    () => {
        "(substr(what, 1, 11) = '{\"StopCopy\"')"
    };
}

impl Store {
    /// Stops of copies that are still to be carried out: all of them, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn stops(&self) -> Result<Vec<StoredEffect>, StoreError> {
        let query = sqlx::query_as(concat!("SELECT id, job_uid, what, sealed FROM effect WHERE ", is_stop!(), " ORDER BY id"));
        effects_of(query.fetch_all(&self.pool).answered().await?)
    }

    /// Other effects behind the one of this number, the oldest first: at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn effects(&self, after: i64, limit: u32) -> Result<Vec<StoredEffect>, StoreError> {
        let query =
            concat!("SELECT id, job_uid, what, sealed FROM effect WHERE id > $1 AND NOT ", is_stop!(), " ORDER BY id LIMIT $2");
        effects_of(sqlx::query_as(query).bind(after).bind(i64::from(limit)).fetch_all(&self.pool).answered().await?)
    }

    /// Removes an effect that was carried out.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn effect_done(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM effect WHERE id = $1").bind(id).execute(&self.pool).answered().await?;
        Ok(())
    }
}

type EffectRow = (i64, String, String, Option<Vec<u8>>);

fn effects_of(rows: Vec<EffectRow>) -> Result<Vec<StoredEffect>, StoreError> {
    let effect =
        |(id, job_uid, what, sealed): EffectRow| Ok(StoredEffect { id, job_uid, effect: serde_json::from_str(&what)?, sealed });
    rows.into_iter().map(effect).collect()
}

/// Adds effects. What the job leaves goes with the one that removes it.
pub(super) async fn queue(
    transaction: &mut Transaction,
    job_uid: &str,
    effects: &[Effect],
    left_behind: Option<&[u8]>,
) -> Result<(), StoreError> {
    for effect in effects {
        sqlx::query("INSERT INTO effect (job_uid, what, sealed) VALUES ($1, $2, $3)")
            .bind(job_uid)
            .bind(serde_json::to_string(effect)?)
            .bind(left_behind.filter(|_| *effect == Effect::Remove))
            .execute(&mut **transaction)
            .answered()
            .await?;
    }
    Ok(())
}

/// Removes an effect of a job that must not be carried out any more.
pub(super) async fn drop_effect(transaction: &mut Transaction, job_uid: &str, effect: &Effect) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM effect WHERE job_uid = $1 AND what = $2").bind(job_uid);
    delete.bind(serde_json::to_string(effect)?).execute(&mut **transaction).answered().await?;
    Ok(())
}
