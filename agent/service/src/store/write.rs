//! Writing the row of a job.

use protocol::job::next_timer;
use protocol::station::waits_from;

use super::answered::Answered;
use super::error::StoreError;
use super::row::{StoredJob, folded, seconds, whole_seconds};
use super::seal::Sealed;
use super::search::Found;
use super::transaction::Transaction;

const INSERT: &str =
    "INSERT INTO job (version, kind, state, tracking_number, due_at, modified_at, location, tags, machine, details,
     waits_rank, waits_from, awaits_drives, account_key, uid, subscription, resource_group, name, created_at,
     subscription_key, resource_group_key, name_key)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) RETURNING id";

const UPDATE: &str = "UPDATE job SET version = $1, kind = $2, state = $3, tracking_number = $4, due_at = $5, modified_at = $6,
     location = $7, tags = $8, machine = $9, details = $10, waits_rank = $11, waits_from = $12, awaits_drives = $13,
     account_key = $14 WHERE uid = $15 RETURNING id";

/// Inserts a new job; it gets its number.
pub(super) async fn insert(transaction: &mut Transaction, job: &mut StoredJob) -> Result<(), StoreError> {
    job.version += 1;
    write(transaction, job, Row::New).await
}

/// Writes a job that was changed; its version counts up.
pub(super) async fn update(transaction: &mut Transaction, job: &mut StoredJob) -> Result<(), StoreError> {
    job.version += 1;
    write(transaction, job, Row::Existing).await
}

/// Writes a job as it is, in the form that is used now.
pub(super) async fn rewrite(transaction: &mut Transaction, job: &mut StoredJob) -> Result<(), StoreError> {
    write(transaction, job, Row::Existing).await
}

/// Notes again what is found of a job in columns of its own; its version stays. Nothing where it was changed meanwhile: then it
/// was noted with that.
pub(super) async fn note_columns(transaction: &mut Transaction, job: &StoredJob) -> Result<(), StoreError> {
    let waits = waits_from(&job.in_hand());
    let account = transaction.store().search_key(Found::Account, job.details.account_name());
    sqlx::query(
        "UPDATE job SET waits_rank = $1, waits_from = $2, awaits_drives = $3, account_key = $4 WHERE id = $5 AND version = $6",
    )
    .bind(waits.map(|(kind, _)| i64::from(kind.rank())))
    .bind(waits.map(|(_, from)| seconds(from)))
    .bind(i64::from(job.machine.takes_drives()))
    .bind(account)
    .bind(job.id)
    .bind(job.version)
    .execute(&mut **transaction)
    .answered()
    .await?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Row {
    New,
    Existing,
}

async fn write(transaction: &mut Transaction, job: &mut StoredJob, row: Row) -> Result<(), StoreError> {
    let statement = match row {
        Row::New => INSERT,
        Row::Existing => UPDATE,
    };
    // As they are read again.
    (job.created_at, job.modified_at) = (whole_seconds(job.created_at), whole_seconds(job.modified_at));
    let waits = waits_from(&job.in_hand());
    let store = transaction.store();
    let sealer = store.sealer(&job.uid, &job.seal)?;
    let tags = job.tags.as_ref().map(|tags| sealer.close(&serde_json::to_string(tags)?, Sealed::Tags)).transpose()?;
    let query = sqlx::query_scalar(statement)
        .bind(job.version)
        .bind(job.machine.kind.name())
        .bind(job.machine.state.name())
        .bind(store.tracking_number_of_row(job))
        .bind(next_timer(&job.machine).map(|(at, _)| seconds(at)))
        .bind(seconds(job.modified_at))
        .bind(job.location.clone())
        .bind(tags)
        .bind(sealer.close(&serde_json::to_string(&job.machine)?, Sealed::Machine)?)
        .bind(sealer.close(&serde_json::to_string(&job.details)?, Sealed::Details)?)
        .bind(waits.map(|(kind, _)| i64::from(kind.rank())))
        .bind(waits.map(|(_, from)| seconds(from)))
        .bind(i64::from(job.machine.takes_drives()))
        .bind(store.search_key(Found::Account, job.details.account_name()))
        .bind(job.uid.clone());
    let query = match row {
        Row::New => query
            .bind(job.key.subscription.clone())
            .bind(job.key.resource_group.clone())
            .bind(job.key.name.clone())
            .bind(seconds(job.created_at))
            .bind(folded(&job.key.subscription))
            .bind(folded(&job.key.resource_group))
            .bind(folded(&job.key.name)),
        Row::Existing => query,
    };
    job.id = query.fetch_one(&mut **transaction).answered().await.map_err(StoreError::of_insert)?;
    Ok(())
}
