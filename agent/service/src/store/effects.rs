//! The outbox: effects of decisions that are still to be carried out.

use protocol::job::Effect;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::{StoredEffect, StoredJob};
use super::seal::{JobSeal, Sealed, Sealer};
use super::statement::Statement;
use super::transaction::Transaction;

/// Whether an effect stops a copy, in SQL: the index of stops has the same words.
const IS_STOP: &str = "(substr(what, 1, 11) = '{\"StopCopy\"')";

impl Store {
    /// Stops of copies that are still to be carried out: all of them, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn stops(&self) -> Result<Vec<StoredEffect>, StoreError> {
        let mut query = self.effects_where(IS_STOP);
        query.push(" ORDER BY id");
        self.effects_of(query.query_as().fetch_all(&self.pool).answered().await?)
    }

    /// Other effects behind the one of this number, the oldest first: at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn effects(&self, after: i64, limit: u32) -> Result<Vec<StoredEffect>, StoreError> {
        let mut query = self.effects_where("NOT ");
        query.push(IS_STOP).push(" AND id > ").bind(after)?.push(" ORDER BY id LIMIT ").bind(i64::from(limit))?;
        self.effects_of(query.query_as().fetch_all(&self.pool).answered().await?)
    }

    /// Removes an effect that was carried out.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn effect_done(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM effect WHERE id = $1").bind(id).execute(&self.pool).answered().await?;
        Ok(())
    }

    fn effects_where(&self, condition: &str) -> Statement {
        let seal = self.dialect.seal_of("effect.job_uid");
        Statement::new(format!("SELECT id, job_uid, what, sealed, {seal} FROM effect WHERE {condition}"))
    }

    fn effects_of(&self, rows: Vec<EffectRow>) -> Result<Vec<StoredEffect>, StoreError> {
        let effect = |(id, job_uid, what, sealed, seal): EffectRow| {
            let seal = JobSeal(seal);
            let sealer = self.sealer(&job_uid, &seal)?;
            let effect = effect_of(&what, &sealer)?;
            Ok(StoredEffect { id, job_uid, effect, sealed, seal })
        };
        rows.into_iter().map(effect).collect()
    }
}

type EffectRow = (i64, String, String, Option<Vec<u8>>, Option<Vec<u8>>);

/// The effect with another text for its drive, where it is about one.
fn map_drive(effect: &Effect, map: impl Fn(&str) -> Result<String, StoreError>) -> Result<Effect, StoreError> {
    Ok(match effect {
        Effect::StopCopy(drive_id) => Effect::StopCopy(map(drive_id)?),
        Effect::PublishLogs(drive_id) => Effect::PublishLogs(map(drive_id)?),
        Effect::PublishReceipts | Effect::AlertOperators | Effect::Notify(_) | Effect::Remove => effect.clone(),
    })
}

/// An effect as it is kept: the drive that it is about is sealed.
fn text_of(effect: &Effect, sealer: &Sealer) -> Result<String, StoreError> {
    Ok(serde_json::to_string(&map_drive(effect, |drive| sealer.close(drive, Sealed::Effect))?)?)
}

/// The effect that is kept so.
fn effect_of(what: &str, sealer: &Sealer) -> Result<Effect, StoreError> {
    map_drive(&serde_json::from_str(what)?, |drive| sealer.open(drive, Sealed::Effect))
}

/// Adds effects of a job.
pub(super) async fn queue(transaction: &mut Transaction, job: &StoredJob, effects: &[Effect]) -> Result<(), StoreError> {
    let sealer = transaction.store().sealer(&job.uid, &job.seal)?;
    for effect in effects {
        insert(transaction, &job.uid, text_of(effect, &sealer)?, None).await?;
    }
    Ok(())
}

/// Adds effects of a job that is removed. What it leaves, sealed, goes with the one that removes it.
pub(super) async fn queue_of_removed(
    transaction: &mut Transaction,
    job_uid: &str,
    effects: &[Effect],
    left_behind: Option<&[u8]>,
) -> Result<(), StoreError> {
    // It has no copies any more that could stop or be told of.
    for effect in effects.iter().filter(|effect| !matches!(effect, Effect::StopCopy(_) | Effect::PublishLogs(_))) {
        let left_behind = left_behind.filter(|_| *effect == Effect::Remove);
        insert(transaction, job_uid, serde_json::to_string(effect)?, left_behind).await?;
    }
    Ok(())
}

async fn insert(transaction: &mut Transaction, job_uid: &str, what: String, sealed: Option<&[u8]>) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO effect (job_uid, what, sealed) VALUES ($1, $2, $3)")
        .bind(job_uid)
        .bind(what)
        .bind(sealed)
        .execute(&mut **transaction)
        .answered()
        .await?;
    Ok(())
}

/// The effects of a job, as they are kept.
async fn rows_of(transaction: &mut Transaction, job_uid: &str) -> Result<Vec<(i64, String)>, StoreError> {
    let query = sqlx::query_as("SELECT id, what FROM effect WHERE job_uid = $1").bind(job_uid);
    Ok(query.fetch_all(&mut **transaction).answered().await?)
}

/// Seals the effects of a job that an earlier version wrote.
pub(super) async fn seal(transaction: &mut Transaction, job: &StoredJob, sealer: &Sealer) -> Result<(), StoreError> {
    for (id, what) in rows_of(transaction, &job.uid).await? {
        let what = text_of(&serde_json::from_str(&what)?, sealer)?;
        let update = sqlx::query("UPDATE effect SET what = $1 WHERE id = $2").bind(what).bind(id);
        update.execute(&mut **transaction).answered().await?;
    }
    Ok(())
}

/// Removes an effect of a job that must not be carried out any more.
pub(super) async fn drop_effect(transaction: &mut Transaction, job: &StoredJob, effect: &Effect) -> Result<(), StoreError> {
    let sealer = transaction.store().sealer(&job.uid, &job.seal)?;
    for (id, what) in rows_of(transaction, &job.uid).await? {
        if effect_of(&what, &sealer)? == *effect {
            sqlx::query("DELETE FROM effect WHERE id = $1").bind(id).execute(&mut **transaction).answered().await?;
        }
    }
    Ok(())
}
