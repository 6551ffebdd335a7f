//! Which of the services that share a database at a server decides: one at a time, for a *term*.
//!
//! The lease says how long the one that decides is waited for; it is renewed every two seconds, and judged by the server's clock
//! alone. The term keeps the database safe whatever a lease says: every change of a service locks its own term until it is
//! committed, and a service that takes over counts the term up. So what the one before had begun is in the database before
//! that, and what it begins later is refused ([`StoreError::TakenOver`]), however long it slept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::AnyConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::answered::Answered;
use super::database::{Store, connect_once};
use super::error::StoreError;
use super::term::Term;
use super::transaction::Transaction;
use crate::moment::Moment;

/// How long a service that decides is waited for.
const LEASE: Duration = Duration::from_secs(10);

/// Time between two renewals.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);

/// How long a renewal may take: another two fit before the lease ends.
const RENEW_TIMEOUT: Duration = Duration::from_millis(2500);

/// Pause before a renewal that failed is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// The server's clock, in milliseconds since 1970: that of a statement, and not of the beginning of its transaction.
const NOW: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";

/// What became of an attempt to decide.
pub enum Taken {
    /// This service decides.
    Ours(ServiceLease),
    /// Another one does: where it is.
    Theirs {
        /// Its address.
        url: String,
    },
}

/// What a service that waits has seen of the lease of another one.
#[derive(Debug, Default)]
pub struct LeaseSeen(Option<(Stand, Moment)>);

/// The lease as it was written last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stand {
    holder: String,
    ends_at: i64,
    term: i64,
}

impl LeaseSeen {
    /// Whether it was not renewed for a whole lease by this machine's clock: then it has ended, also where the server's clock was
    /// set back since it was written.
    fn has_ended(&mut self, stand: Stand, now: Moment) -> bool {
        match &self.0 {
            Some((seen, since)) if *seen == stand => now >= since.after(LEASE),
            _ => {
                self.0 = Some((stand, now));
                false
            }
        }
    }
}

/// The right to decide, until it is released or lost.
pub struct ServiceLease {
    store: Store,
    term: Arc<Term>,
    renewing: JoinHandle<()>,
}

impl ServiceLease {
    /// Takes the right to decide, where no other service has it. `holder` names what only one process at a time can be: one that
    /// was killed does not keep its successor waiting. `url` is where other services reach this one; `seen` is what earlier
    /// attempts saw.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take(store: &Store, holder: &str, url: &str, seen: &mut LeaseSeen) -> Result<Taken, StoreError> {
        let sent = Moment::now();
        let query = format!(
            "SELECT holder, url, ends_at, ends_at - {NOW}, (SELECT number FROM service_term WHERE id = 1)
             FROM service_lease WHERE id = 1"
        );
        // Without a lock at first: it would be in the way of who renews it.
        for lock in ["", " FOR UPDATE OF service_lease"] {
            let mut transaction = store.begin().await?;
            let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("{query}{lock}")));
            let row: (String, String, i64, i64, i64) = query.fetch_one(&mut *transaction).answered().await?;
            let (other, other_url, ends_at, remaining, term) = row;
            let stand = Stand { holder: other.clone(), ends_at, term };
            let has_ended = seen.has_ended(stand, Moment::now()) || remaining <= 0 || other == holder;
            match (has_ended, lock.is_empty()) {
                (false, _) => return Ok(Taken::Theirs { url: other_url }),
                (true, true) => {}
                (true, false) => return Self::take_in(store, transaction, holder, url, sent).await.map(Taken::Ours),
            }
        }
        Err(StoreError::Contended)
    }

    /// Takes it in a transaction that has the row of the lease.
    async fn take_in(
        store: &Store,
        mut transaction: Transaction,
        holder: &str,
        url: &str,
        sent: Moment,
    ) -> Result<Self, StoreError> {
        let update = format!("UPDATE service_lease SET holder = $1, url = $2, ends_at = {NOW} + $3 WHERE id = 1");
        let update = sqlx::query(sqlx::AssertSqlSafe(update)).bind(holder).bind(url).bind(milliseconds(LEASE));
        update.execute(&mut *transaction).answered().await?;
        // Waits for every change that the service before has begun.
        let number = "UPDATE service_term SET number = number + 1 WHERE id = 1 RETURNING number";
        let number: i64 = sqlx::query_scalar(number).fetch_one(&mut *transaction).answered().await?;
        transaction.commit().await?;
        let term =
            Arc::new(Term { number, holder: holder.to_owned(), renewed: Mutex::new(sent), lost: CancellationToken::new() });
        let store = store.clone().of_term(term.clone());
        let renewing = tokio::spawn(renew(store.clone(), term.clone()));
        Ok(ServiceLease { store, term, renewing })
    }

    /// Whether some service decides now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_taken(store: &Store) -> Result<bool, StoreError> {
        let query = format!("SELECT ends_at - {NOW} FROM service_lease WHERE id = 1");
        let remaining: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&store.pool).answered().await?;
        Ok(remaining > 0)
    }

    /// The store of this service: it changes nothing any more when another service decides.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Cancelled when another service decides.
    pub fn lost(&self) -> &CancellationToken {
        &self.term.lost
    }

    /// When the lease was last renewed, for who looks at it.
    pub fn watch(&self) -> LeaseWatch {
        LeaseWatch(self.term.clone())
    }

    /// Lets another service decide at once; where this fails, the others wait for the end of the lease.
    pub async fn release(self) {
        self.renewing.abort();
        let release = "UPDATE service_lease SET ends_at = 0 WHERE id = 1 AND holder = $1 AND (SELECT number FROM service_term WHERE id = 1) = $2";
        let release = sqlx::query(release).bind(&self.term.holder).bind(self.term.number).execute(&self.store.pool);
        let _ = tokio::time::timeout(RENEW_TIMEOUT, release.answered()).await;
    }
}

/// A look at a lease.
pub struct LeaseWatch(Arc<Term>);

impl LeaseWatch {
    /// When the database was last known to wait for this service.
    pub fn renewed(&self) -> Moment {
        self.0.renewed()
    }
}

impl Drop for ServiceLease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Store {
    /// Whether the database is known to wait for this service: what it grants now is known to the one that decides next.
    pub(crate) fn is_held(&self) -> bool {
        self.term.as_ref().is_none_or(|term| !term.lost.is_cancelled() && Moment::now() < term.renewed().after(LEASE))
    }

    /// What this service is called in the lease.
    pub(super) fn holder(&self) -> Option<&str> {
        self.term.as_ref().map(|term| term.holder.as_str())
    }

    /// Whether another service may decide after this one.
    pub(crate) fn has_successors(&self) -> bool {
        self.term.is_some()
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Renews a lease until another service has taken it; on a connection of its own, since those of the pool may all be waiting for
/// something.
async fn renew(store: Store, term: Arc<Term>) {
    let mut connection = None;
    let mut pause = RENEW_INTERVAL;
    loop {
        tokio::time::sleep(pause).await;
        let sent = Moment::now();
        // Where it fails, the next attempt has another connection.
        let taken = connection.take();
        match tokio::time::timeout(RENEW_TIMEOUT, renew_once(&store, &term, taken)).await {
            Ok(Ok((true, kept))) => {
                *term.renewed.lock().unwrap_or_else(PoisonError::into_inner) = sent;
                (connection, pause) = (Some(kept), RENEW_INTERVAL);
                continue;
            }
            Ok(Ok((false, _))) => {
                term.lost.cancel();
                return;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the database does not answer"),
            Err(_) => tracing::warn!("the database does not answer"),
        }
        pause = RETRY_INTERVAL;
    }
}

/// Renews a lease; false where it is another service's.
async fn renew_once(store: &Store, term: &Term, connection: Option<AnyConnection>) -> Result<(bool, AnyConnection), sqlx::Error> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => connect_once(store.dialect, &store.pool.connect_options()).await?,
    };
    let update = format!(
        "UPDATE service_lease SET ends_at = {NOW} + $1 WHERE id = 1 AND holder = $2
         AND (SELECT number FROM service_term WHERE id = 1) = $3"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(update)).bind(milliseconds(LEASE)).bind(&term.holder).bind(term.number);
    let done = query.execute(&mut connection).answered().await?;
    Ok((done.rows_affected() == 1, connection))
}
