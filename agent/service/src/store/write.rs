//! Writing the row of a job.

use protocol::job::next_timer;
use protocol::station::waits_from;
use sqlx::{Sqlite, Transaction};

use super::error::StoreError;
use super::row::{StoredJob, seconds};

const INSERT: &str =
    "INSERT INTO job (version, kind, state, tracking_number, due_at, modified_at, location, tags, machine, details,
     waits_rank, waits_from, awaits_drives, uid, subscription, resource_group, name, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id";

const UPDATE: &str = "UPDATE job SET version = ?, kind = ?, state = ?, tracking_number = ?, due_at = ?, modified_at = ?,
     location = ?, tags = ?, machine = ?, details = ?, waits_rank = ?, waits_from = ?, awaits_drives = ?
     WHERE uid = ? RETURNING id";

/// Inserts a new job; it gets its number.
pub(super) async fn insert(transaction: &mut Transaction<'_, Sqlite>, job: &mut StoredJob) -> Result<(), StoreError> {
    write(transaction, job, Row::New).await
}

/// Writes a job that was changed; its version counts up.
pub(super) async fn update(transaction: &mut Transaction<'_, Sqlite>, job: &mut StoredJob) -> Result<(), StoreError> {
    write(transaction, job, Row::Existing).await
}

/// Notes again how urgently a person is needed about a job; its version stays.
pub(super) async fn note_waits(transaction: &mut Transaction<'_, Sqlite>, job: &StoredJob) -> Result<(), StoreError> {
    let waits = waits_from(&job.in_hand());
    sqlx::query("UPDATE job SET waits_rank = ?, waits_from = ?, awaits_drives = ? WHERE id = ?")
        .bind(waits.map(|(kind, _)| kind.rank()))
        .bind(waits.map(|(_, from)| seconds(from)))
        .bind(job.machine.takes_drives())
        .bind(job.id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Row {
    New,
    Existing,
}

async fn write(transaction: &mut Transaction<'_, Sqlite>, job: &mut StoredJob, row: Row) -> Result<(), StoreError> {
    let statement = match row {
        Row::New => INSERT,
        Row::Existing => UPDATE,
    };
    job.version += 1;
    let waits = waits_from(&job.in_hand());
    let delivery = job.details.delivery_package.as_ref();
    let query = sqlx::query_scalar(statement)
        .bind(job.version)
        .bind(job.machine.kind.name())
        .bind(job.machine.state.name())
        .bind(delivery.map(|package| package.tracking_number.clone()))
        .bind(next_timer(&job.machine).map(|(at, _)| seconds(at)))
        .bind(seconds(job.modified_at))
        .bind(job.location.clone())
        .bind(job.tags.as_ref().map(serde_json::to_string).transpose()?)
        .bind(serde_json::to_string(&job.machine)?)
        .bind(serde_json::to_string(&job.details)?)
        .bind(waits.map(|(kind, _)| kind.rank()))
        .bind(waits.map(|(_, from)| seconds(from)))
        .bind(job.machine.takes_drives())
        .bind(job.uid.clone());
    let query = match row {
        Row::New => query
            .bind(job.key.subscription.clone())
            .bind(job.key.resource_group.clone())
            .bind(job.key.name.clone())
            .bind(seconds(job.created_at)),
        Row::Existing => query,
    };
    job.id = query.fetch_one(&mut **transaction).await?;
    Ok(())
}
