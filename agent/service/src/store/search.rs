//! What jobs are found by: serial numbers, and the numbers of parcels.
//!
//! In a file they are in lower case in columns. At a server columns have digests that only the service's key makes: the same text
//! has the same digest, and nobody else can tell the text. What is looked for in the middle of a text is found by each three letters
//! in a row.

use std::collections::BTreeSet;

use protocol::arm::DeliveryPackage;
use protocol::job::JobDrive;

use super::answered::Answered;
use super::database::Store;
use super::dialect::Dialect;
use super::error::StoreError;
use super::row::{StoredJob, folded};
use super::seal::Sealer;
use super::statement::Statement;
use super::transaction::Transaction;

/// What a text is that jobs are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A serial number.
    Drive,
    /// How a serial number begins.
    Head,
    /// How a serial number ends.
    Tail,
    /// The number of a parcel.
    Parcel,
    /// Some letters of either.
    Letters,
    /// A storage account.
    Account,
}

/// Letters of a beginning and of an end of a serial number.
const END_LETTERS: usize = 4;

/// Letters in a row that are looked for.
const ROW_LETTERS: usize = 3;

/// Digits of the digest of letters in a row: there are many of them, and one that is like another by chance does no harm.
const ROW_DIGITS: usize = 12;

/// How a serial number begins, in lower case.
pub(super) fn head(drive_id: &str) -> String {
    folded(drive_id).chars().take(END_LETTERS).collect()
}

/// How a serial number ends, in lower case.
pub(super) fn tail(drive_id: &str) -> String {
    let letters: Vec<char> = folded(drive_id).chars().collect();
    letters[letters.len().saturating_sub(END_LETTERS)..].iter().collect()
}

/// Each three letters in a row of a text; the text itself, where it is shorter.
fn rows_of_letters(text: &str) -> BTreeSet<String> {
    let letters: Vec<char> = text.chars().collect();
    match letters.len() {
        0..ROW_LETTERS => BTreeSet::from([text.to_owned()]),
        _ => letters.windows(ROW_LETTERS).map(|row| row.iter().collect()).collect(),
    }
}

fn parcel(job: &StoredJob) -> Option<&str> {
    job.details.delivery_package.as_ref().map(|package: &DeliveryPackage| package.tracking_number.as_str())
}

fn serials(job: &StoredJob) -> BTreeSet<String> {
    job.machine.drives.iter().flat_map(JobDrive::serials).collect()
}

/// The part of a table that a job is in: the last digit of its random name.
pub(super) fn part(job_uid: &str) -> &str {
    &job_uid[job_uid.len().saturating_sub(1)..]
}

impl Store {
    /// What a text is found by.
    pub(super) fn search_key(&self, found: Found, text: &str) -> String {
        let folded = folded(text);
        match self.dialect {
            Dialect::Sqlite => folded,
            Dialect::Postgres => self.vault.search_digest(&format!("{found:?}/{folded}")),
        }
    }

    /// What the row of a job's drive has in the column of the drive: a digest where the job is sealed.
    pub(super) fn drive_column(&self, sealer: &Sealer, drive_id: &str) -> String {
        match sealer.has_key() {
            true => self.search_key(Found::Drive, drive_id),
            false => drive_id.to_owned(),
        }
    }

    fn letters_key(&self, row: &str) -> String {
        let mut digest = self.search_key(Found::Letters, row);
        digest.truncate(ROW_DIGITS);
        digest
    }

    /// The number of a job's parcel, as its own row has it: nothing at a server.
    pub(super) fn tracking_number_of_row(&self, job: &StoredJob) -> Option<String> {
        parcel(job).filter(|_| self.dialect == Dialect::Sqlite).map(str::to_owned)
    }

    /// Adds that the name of a job, its customer, the number of its parcel or one of its drives has `search` in it, in any case
    /// of its letters: what staff have in their hands. At a server a job may be found that has all letters of `search`, but not in
    /// one row; and fewer than three letters are looked for in names alone.
    pub(super) fn push_search<'query>(
        &self,
        query: &'query mut Statement,
        search: &str,
    ) -> Result<&'query mut Statement, sqlx::Error> {
        if search.is_empty() {
            return Ok(query);
        }
        let search = folded(search);
        query.push(" AND (").push_contains("name_key", search.clone())?;
        query.push(" OR ").push_contains("subscription_key", search.clone())?;
        match self.dialect {
            Dialect::Sqlite => {
                query.push(" OR ").push_contains("lower(tracking_number)", search.clone())?;
                query.push(" OR id IN (SELECT job_id FROM job_drive WHERE ").push_contains("drive_key", search)?;
            }
            Dialect::Postgres => {
                query.push(" OR uid IN (SELECT job_uid FROM job_seal WHERE TRUE");
                for row in rows_of_letters(&search) {
                    query.push(" AND ").push_contains("letters", self.letters_key(&row))?;
                }
            }
        }
        Ok(query.push("))"))
    }

    /// Adds that a job's parcel has this very number, in any case of its letters.
    pub(super) fn push_tracking_number(&self, query: &mut Statement, number: &str) -> Result<(), sqlx::Error> {
        let key = self.search_key(Found::Parcel, number);
        match self.dialect {
            Dialect::Sqlite => query.push("lower(tracking_number) = ").bind(key)?,
            Dialect::Postgres => query.push("uid IN (SELECT job_uid FROM job_seal WHERE tracking_key = ").bind(key)?.push(")"),
        };
        Ok(())
    }
}

/// Writes what a job is found by, where that changed.
pub(super) async fn write(transaction: &mut Transaction, job: &StoredJob, before: Option<&StoredJob>) -> Result<(), StoreError> {
    let all = |job: &StoredJob| (parcel(job).map(str::to_owned), serials(job));
    if before.map(all) == Some(all(job)) {
        return Ok(());
    }
    if let Some(sealed) = &job.seal.0 {
        write_seal(transaction, job, sealed).await?;
    }
    sqlx::query("DELETE FROM job_drive WHERE job_id = $1").bind(job.id).execute(&mut **transaction).answered().await?;
    for serial in serials(job) {
        let store = transaction.store();
        let key = store.search_key(Found::Drive, &serial);
        let (head, tail) = (store.search_key(Found::Head, &head(&serial)), store.search_key(Found::Tail, &tail(&serial)));
        let insert = match store.dialect {
            // The engine makes the columns of both ends.
            Dialect::Sqlite => sqlx::query("INSERT INTO job_drive (job_id, drive_key) VALUES ($1, $2)").bind(job.id).bind(key),
            Dialect::Postgres => {
                sqlx::query("INSERT INTO job_drive (job_id, drive_key, part, head, tail) VALUES ($1, $2, $3, $4, $5)")
                    .bind(job.id)
                    .bind(key)
                    .bind(part(&job.uid))
                    .bind(head)
                    .bind(tail)
            }
        };
        insert.execute(&mut **transaction).answered().await?;
    }
    Ok(())
}

const UPSERT_SEAL: &str = "INSERT INTO job_seal (part, job_uid, sealed, tracking_key, letters) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (job_uid, part) DO UPDATE SET tracking_key = excluded.tracking_key, letters = excluded.letters";

/// Writes the key of a job, with what the job is found by.
async fn write_seal(transaction: &mut Transaction, job: &StoredJob, sealed: &[u8]) -> Result<(), StoreError> {
    let store = transaction.store();
    let parcel = parcel(job).map(folded);
    let rows: BTreeSet<String> = serials(job).iter().chain(&parcel).flat_map(|text| rows_of_letters(text)).collect();
    let letters: Vec<String> = rows.iter().map(|row| store.letters_key(row)).collect();
    let upsert = sqlx::query(UPSERT_SEAL)
        .bind(part(&job.uid))
        .bind(&job.uid)
        .bind(sealed)
        .bind(parcel.map(|number| store.search_key(Found::Parcel, &number)))
        .bind(letters.join(" "));
    upsert.execute(&mut **transaction).answered().await?;
    Ok(())
}
