//! Writing the row of a job.

use protocol::job::next_timer;
use sqlx::{Sqlite, Transaction};

use super::error::StoreError;
use super::row::{StoredJob, seconds};

const INSERT: &str =
    "INSERT INTO job (version, kind, state, tracking_number, due_at, modified_at, location, tags, machine, details,
     uid, subscription, resource_group, name, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id";

const UPDATE: &str = "UPDATE job SET version = ?, kind = ?, state = ?, tracking_number = ?, due_at = ?, modified_at = ?,
     location = ?, tags = ?, machine = ?, details = ? WHERE uid = ? RETURNING id";

/// Inserts a new job; it gets its number.
pub(super) async fn insert(transaction: &mut Transaction<'_, Sqlite>, job: &mut StoredJob) -> Result<(), StoreError> {
    write(transaction, job, Row::New).await
}

/// Writes a job that was changed; its version counts up.
pub(super) async fn update(transaction: &mut Transaction<'_, Sqlite>, job: &mut StoredJob) -> Result<(), StoreError> {
    write(transaction, job, Row::Existing).await
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
