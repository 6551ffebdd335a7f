//! Rows that are found by the digest of a secret. Whoever guesses secrets asks for them as often as they can: all that wait are
//! asked for with one query at a time, so that guesses, however many, take one connection to the database, and nobody waits
//! longer than two queries take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, Row};
use tokio::sync::oneshot;

use super::answered::Answered;
use super::error::StoreError;

/// Tokens by their digests.
const TOKENS: &str = "SELECT digest, name, role, subscriptions, is_station FROM token WHERE digest IN";

/// Sessions by the digests of their secrets, each with its token where it is of one.
const SESSIONS: &str = "SELECT session.digest, session.csrf, session.actor, session.expires_at,
    token.name, token.role, token.subscriptions, token.is_station
    FROM session LEFT JOIN token ON token.name = session.token_name WHERE session.digest IN";

/// Digests that one query asks for, at most.
const DIGESTS_MAX: usize = 256;

/// A row that several may have asked for.
type Found = Result<Option<Arc<AnyRow>>, Arc<StoreError>>;

/// Lookups in one table.
pub(super) struct Lookups {
    /// The query up to the list of digests. It gives each row its `digest`.
    select: &'static str,
    waiting: Mutex<Vec<Waiting>>,
    /// Held by the query that runs.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Waiting {
    digest: String,
    found: oneshot::Sender<Found>,
}

impl Lookups {
    /// In the API tokens.
    pub(super) fn of_tokens() -> Arc<Self> {
        Self::new(TOKENS)
    }

    /// In the sessions of the portal.
    pub(super) fn of_sessions() -> Arc<Self> {
        Self::new(SESSIONS)
    }

    fn new(select: &'static str) -> Arc<Self> {
        Arc::new(Lookups { select, waiting: Mutex::default(), turn: Arc::default() })
    }

    /// The row with this digest, as it is after this call began; `None` where there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn find(self: &Arc<Self>, pool: &AnyPool, digest: String) -> Result<Option<Arc<AnyRow>>, StoreError> {
        let (found, mut row) = oneshot::channel();
        self.lock().push(Waiting { digest, found });
        let found = loop {
            tokio::select! {
                biased;
                found = &mut row => break found,
                // It is this one's turn to ask for all that wait.
                turn = self.turn.clone().lock_owned() => {
                    let (lookups, pool) = (self.clone(), pool.clone());
                    // It goes on where this request ends: others wait for it.
                    tokio::spawn(async move {
                        lookups.answer(&pool).await;
                        drop(turn);
                    });
                }
            }
        };
        match found {
            Ok(found) => Ok(found.map_err(StoreError::Shared)?),
            Err(_) => Err(StoreError::Contended),
        }
    }

    /// Asks for those that have waited longest.
    async fn answer(&self, pool: &AnyPool) {
        let waiting: Vec<Waiting> = {
            let mut waiting = self.lock();
            waiting.retain(|waiting| !waiting.found.is_closed());
            let count = waiting.len().min(DIGESTS_MAX);
            waiting.drain(..count).collect()
        };
        let found = self.ask(pool, &waiting).await;
        for Waiting { digest, found: answer } in waiting {
            let row = found.as_ref().map(|rows| rows.get(&digest).cloned()).map_err(Arc::clone);
            // The receiver is gone where its request has ended.
            let _ = answer.send(row);
        }
    }

    async fn ask(&self, pool: &AnyPool, waiting: &[Waiting]) -> Result<HashMap<String, Arc<AnyRow>>, Arc<StoreError>> {
        let Some(first) = waiting.first() else { return Ok(HashMap::new()) };
        // A few lengths of the list alone, so that few statements have to be prepared.
        let places = waiting.len().next_power_of_two();
        let list = (1..=places).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let text = format!("{} ({list})", self.select);
        let digests = waiting.iter().chain(std::iter::repeat(first)).take(places);
        let query = digests.fold(sqlx::query(AssertSqlSafe(text)), |query, waiting| query.bind(waiting.digest.clone()));
        let rows = query.fetch_all(pool).answered().await.map_err(|error| Arc::new(error.into()))?;
        let row = |row: AnyRow| Ok((row.try_get("digest").map_err(|error| Arc::new(StoreError::from(error)))?, Arc::new(row)));
        rows.into_iter().map(row).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
