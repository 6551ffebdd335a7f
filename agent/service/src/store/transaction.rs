//! A change under way: all of it is written, or nothing.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::{Any, AnyConnection};
use tokio::time::Instant;

use super::answered::Answered;
use super::database::Store;
use super::dialect::Dialect;
use super::error::StoreError;
use super::proof::Proof;

/// How long the outcome of a commit is looked for.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(30);

/// Time between two looks.
const OUTCOME_INTERVAL: Duration = Duration::from_millis(100);

/// A transaction. Dropped before [`Transaction::commit`], it has done nothing.
pub(super) struct Transaction {
    inner: sqlx::Transaction<'static, Any>,
    store: Store,
    /// The last entry of the audit log that it writes: whether that is there tells whether it was committed.
    pub(super) proof: Option<Proof>,
}

impl Deref for Transaction {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.inner
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

impl Transaction {
    /// The service that makes the change, where several share the database.
    pub(super) fn holder(&self) -> Option<&str> {
        self.store.holder()
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.store.dialect
    }

    /// The database that it changes.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Makes what was done durable. Where the answer of the database is lost, it is asked again what became of the change.
    ///
    /// # Errors
    /// When it was not done; or [`StoreError::OutcomeUnknown`].
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let Transaction { inner, store, proof } = self;
        let Err(error) = inner.commit().answered().await else { return Ok(()) };
        if store.dialect == Dialect::Sqlite || is_refusal(&error) {
            return Err(error.into());
        }
        // What writes no entry may be repeated without harm.
        let Some(proof) = proof else { return Err(error.into()) };
        tracing::warn!(%error, "the answer to a commit was lost: asking what became of it");
        match store.outcome_of(&proof).await {
            Some(true) => Ok(()),
            Some(false) => Err(error.into()),
            None => Err(StoreError::OutcomeUnknown(error)),
        }
    }
}

/// Whether the database said that it did not commit.
fn is_refusal(error: &sqlx::Error) -> bool {
    let Some(code) = error.as_database_error().and_then(|error| error.code()) else { return false };
    // An administrator's stop, or a statement that took too long, may come when the commit was done already.
    !code.starts_with("57") && !code.starts_with("08")
}

impl Store {
    /// Begins a change.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut transaction = self.begin_with(self.dialect.begin_change()).await?;
        if let Some(term) = &self.term {
            term.require(&mut transaction).await?;
        }
        Ok(transaction)
    }

    /// Begins reading what belongs together, as it was at one moment.
    pub(super) async fn begin_reading(&self) -> Result<Transaction, StoreError> {
        self.begin_with(self.dialect.begin_reading()).await
    }

    async fn begin_with(&self, statement: &'static str) -> Result<Transaction, StoreError> {
        let inner = self.pool.begin_with(statement).answered().await?;
        Ok(Transaction { inner, store: self.clone(), proof: None })
    }

    /// Whether the change with this proof was committed; `None` where the database does not answer for long.
    async fn outcome_of(&self, proof: &Proof) -> Option<bool> {
        let begin = Instant::now();
        while begin.elapsed() < OUTCOME_TIMEOUT {
            match self.look_for(proof).await {
                Ok(Some(is_committed)) => return Some(is_committed),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the database does not answer yet"),
            }
            tokio::time::sleep(OUTCOME_INTERVAL).await;
        }
        None
    }

    /// The same, asked once; `None` while the transaction has not ended.
    async fn look_for(&self, proof: &Proof) -> Result<Option<bool>, StoreError> {
        let status = "SELECT pg_xact_status(CAST($1 AS xid8))";
        let status: Result<Option<String>, sqlx::Error> =
            sqlx::query_scalar(status).bind(&proof.number).fetch_one(&self.pool).answered().await;
        match status {
            Ok(Some(status)) if status == "in progress" => return Ok(None),
            Ok(_) => {}
            // A server that took over, or recovered, may not know the number: the transaction has ended there.
            Err(error) if error.as_database_error().is_some() && is_refusal(&error) => {}
            Err(error) => return Err(error.into()),
        }
        self.has_entry(proof).await.map(Some)
    }
}
