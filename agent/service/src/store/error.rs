//! Why a request to the store was not done.

use std::path::PathBuf;
use std::sync::Arc;

use protocol::job::{CopyRefusal, Refusal};

use crate::vault::VaultError;

/// A failure of the store, or a refusal.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such job.
    #[error("there is no job `{0}`")]
    NotFound(String),
    /// It must not be there, and is.
    #[error("there is such a job already: read it, or leave out `If-None-Match: *` to change it")]
    Exists,
    /// It was changed since it was read.
    #[error("the job was changed meanwhile: read it again")]
    Changed,
    /// It cannot be done as things stand: one sentence.
    #[error("{0}")]
    NotNow(String),
    /// The drive in a bay was checked in for another job, which is not over.
    #[error(
        "the drive in `{bay}` was checked in as a drive of `{job}`: dock the right one in another bay, or, if that check-in was a mistake, say so with `--take-over`"
    )]
    BayTaken {
        /// The bay.
        bay: String,
        /// The other job, as commands name it.
        job: String,
    },
    /// The table of jobs does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another job of the same storage account has that name.
    #[error("another job of this storage account is called `{0}`: choose another name")]
    JobNameTaken(String),
    /// The subscription has as many jobs as it may have.
    #[error(
        "the subscription `{subscription}` has {jobs_max} jobs, which is all it may have: delete some that ended, or ask an operator for more"
    )]
    TooManyJobs {
        /// Whose jobs they are.
        subscription: String,
        /// How many there may be.
        jobs_max: u32,
    },
    /// The name of a token is taken.
    #[error("there is a token `{0}` already: choose another name, or take that one back")]
    NameTaken(String),
    /// A field that is written once is to be written again.
    #[error("`{0}` cannot be changed after the job was created")]
    WrittenOnce(&'static str),
    /// The vault failed, or a sealed key cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The key file is not the one of the database.
    #[error("secrets in it are sealed with another key file")]
    OtherVault,
    /// Its jobs are sealed with a key file that is lost.
    #[error("its jobs are sealed with the key file that it had")]
    SealedJobs,
    /// A service of a version that does not seal jobs uses it.
    #[error("a service of an earlier version uses it, and could not read what this one writes: stop all of them first")]
    OlderService,
    /// A copy that ended ran under a grant that was taken back.
    #[error("the copy ran under a grant that was taken back")]
    Fenced,
    /// Another service decides about the jobs of this database now.
    #[error("another service has taken the database over: ask it")]
    TakenOver,
    /// The file of the database cannot be named to the engine.
    #[error("the path `{}` of the database is not UTF-8: choose another state directory", .0.display())]
    PathNotUtf8(PathBuf),
    /// What is stored cannot be understood.
    #[error("the database holds something that this program cannot understand: {0}")]
    Damaged(String),
    /// Other changes were faster, again and again.
    #[error("other changes were in the way: try again in a moment")]
    Contended,
    /// The database went away while a change was being committed, and stayed away.
    #[error("the database went away while the change was being written: look whether it was done before you repeat it")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// A text cannot be kept.
    #[error("a text has a character that cannot be kept: NUL")]
    Unstorable,
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
    /// What several asked for together failed.
    #[error(transparent)]
    Shared(Arc<StoreError>),
    /// A newer version of this program wrote the database.
    #[error(
        "the database was brought up to date by a newer version of this program: start that one, or restore a backup from before"
    )]
    Newer(#[source] sqlx::migrate::MigrateError),
    /// The database's layout cannot be brought up to date.
    #[error("the database cannot be brought up to date: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

/// A database is stopping or starting, or has too many connections.
const AWAY: [&str; 4] = ["57P01", "57P02", "57P03", "53300"];

/// A change is not serializable, or was chosen to end a deadlock.
const IN_THE_WAY: [&str; 2] = ["40001", "40P01"];

/// Whether a row could not be inserted because another one is there.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::VersionMissing(_) => StoreError::Newer(error),
            error => StoreError::Migration(error),
        }
    }
}

impl StoreError {
    /// The error of an insertion: a row that was not there a moment ago is another change's.
    pub(super) fn of_insert(error: sqlx::Error) -> Self {
        match is_taken(&error) {
            true => StoreError::Contended,
            false => error.into(),
        }
    }

    /// Whether nothing was done, for a reason that passes.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            StoreError::Contended | StoreError::Database(sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) => true,
            StoreError::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| AWAY.contains(&&*code) || IN_THE_WAY.contains(&&*code) || code.starts_with("08"))
            }
            StoreError::Shared(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether something failed inside, which is for the log and not for a customer.
    pub(crate) fn is_internal(&self) -> bool {
        match self {
            StoreError::Shared(error) => error.is_internal(),
            StoreError::Contended
            | StoreError::Vault(_)
            | StoreError::Damaged(_)
            | StoreError::Database(_)
            | StoreError::Migration(_)
            | StoreError::Newer(_)
            | StoreError::TakenOver
            | StoreError::Fenced
            | StoreError::OtherVault
            | StoreError::PathNotUtf8(_) => true,
            _ => false,
        }
    }
}

/// A text has a character that PostgreSQL does not keep.
const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.code()) {
            Some(code) if code == CHARACTER_NOT_IN_REPERTOIRE => StoreError::Unstorable,
            _ => StoreError::Database(error),
        }
    }
}

impl From<CopyRefusal> for StoreError {
    fn from(refusal: CopyRefusal) -> Self {
        StoreError::NotNow(refusal.to_string())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        StoreError::Damaged(error.to_string())
    }
}
