//! Sessions of the portal. They are in the database, so that a restart does not end them.

use protocol::digest::Sha256Digest;
use protocol::operator::OpenSession;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use time::{Duration, OffsetDateTime};

use super::answered::Answered;
use super::audit::write_audit;
use super::database::Store;
use super::error::StoreError;
use super::retry::retried;
use super::token::{Actor, Role, TokenOrigin, actor_of_row};

/// How long a session lasts: a shift.
pub(crate) const SESSION_LASTS: Duration = Duration::hours(12);

/// Sessions of one actor. Where there are more, the oldest ends.
const SESSIONS_PER_ACTOR_MAX: i64 = 20;

/// Sessions that are listed.
const LISTED_SESSIONS_MAX: i64 = 1000;

/// Letters of a session's name: the beginning of its digest, which tells nothing about its secret.
const NAME_LETTERS: usize = 16;

/// A session of the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Who is logged in.
    pub(crate) actor: Actor,
    /// The secret that every form of theirs must carry.
    pub(crate) csrf: String,
}

fn digest(secret: &str) -> String {
    Sha256Digest::of(secret.as_bytes()).to_string()
}

impl Store {
    /// Opens a session for an actor whose token was just validated, and returns the secret of its cookie.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn open_session(
        &self,
        actor: &Actor,
        origin: TokenOrigin,
        now: OffsetDateTime,
    ) -> Result<String, StoreError> {
        retried!(self.open_session_once(actor, origin, now))
    }

    async fn open_session_once(&self, actor: &Actor, origin: TokenOrigin, now: OffsetDateTime) -> Result<String, StoreError> {
        let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let subscriptions = match &actor.role {
            Role::Operator => None,
            Role::Customer(own) => Some(own.clone()),
            // It has no business in the portal.
            Role::Station => Some(Vec::new()),
        };
        let shift = now + SESSION_LASTS;
        let (token_name, stored, ends) = match origin {
            TokenOrigin::Stored => (Some(actor.name.clone()), None, shift),
            TokenOrigin::Entra { expires_at } => {
                (None, Some(serde_json::to_string(&(&actor.name, subscriptions))?), shift.min(expires_at))
            }
        };
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM session WHERE expires_at < $1")
            .bind(now.unix_timestamp())
            .execute(&mut *transaction)
            .answered()
            .await?;
        let insert = "INSERT INTO session (digest, token_name, actor, csrf, expires_at, name, opened_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(insert)
            .bind(digest(&secret))
            .bind(token_name)
            .bind(stored)
            .bind(format!("{:032x}", rand::random::<u128>()))
            .bind(ends.unix_timestamp())
            .bind(&actor.name)
            .bind(now.unix_timestamp())
            .execute(&mut *transaction)
            .answered()
            .await?;
        let older = format!(
            "DELETE FROM session WHERE name = $1 AND digest NOT IN
             (SELECT digest FROM session WHERE name = $1 ORDER BY opened_at DESC, {} DESC LIMIT $2)",
            self.dialect.order_of_insertion()
        );
        let query = sqlx::query(AssertSqlSafe(older)).bind(&actor.name).bind(SESSIONS_PER_ACTOR_MAX);
        query.execute(&mut *transaction).answered().await?;
        transaction.commit().await?;
        Ok(secret)
    }

    /// The session of a cookie; `None` where it has ended, or its token was revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn session(&self, secret: &str, now: OffsetDateTime) -> Result<Option<Session>, StoreError> {
        let row = self.sessions.find(&self.pool, digest(secret)).await?;
        let Some(row) = row else { return Ok(None) };
        let expires_at: i64 = row.try_get("expires_at")?;
        if expires_at < now.unix_timestamp() {
            return Ok(None);
        }
        let stored: Option<String> = row.try_get("actor")?;
        let actor = match stored {
            Some(text) => {
                let (name, own): (String, Option<Vec<String>>) = serde_json::from_str(&text)?;
                Actor { name, role: own.map_or(Role::Operator, Role::Customer) }
            }
            None => actor_of_row(&row)?,
        };
        Ok(Some(Session { actor, csrf: row.try_get("csrf")? }))
    }

    /// The sessions that are open, by owner.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn sessions(&self, now: OffsetDateTime) -> Result<Vec<OpenSession>, StoreError> {
        let open = format!(
            "SELECT substr(digest, 1, {NAME_LETTERS}) AS id, name, opened_at, expires_at FROM session WHERE expires_at >= $1
             ORDER BY name, opened_at LIMIT $2"
        );
        let query = sqlx::query(AssertSqlSafe(open)).bind(now.unix_timestamp()).bind(LISTED_SESSIONS_MAX);
        let rows = query.fetch_all(&self.pool).answered().await?;
        let time =
            |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| StoreError::Damaged(error.to_string()));
        let session = |row: &AnyRow| {
            Ok(OpenSession {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                opened_at: time(row.try_get("opened_at")?)?,
                expires_at: time(row.try_get("expires_at")?)?,
            })
        };
        rows.iter().map(session).collect()
    }

    /// Ends a session for its owner; false where there is none of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn end_session(&self, id: &str, by: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        retried!(self.end_session_once(id, by, now))
    }

    async fn end_session_once(&self, id: &str, by: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let delete = format!("DELETE FROM session WHERE substr(digest, 1, {NAME_LETTERS}) = $1 RETURNING name");
        let ended: Option<(String,)> =
            sqlx::query_as(AssertSqlSafe(delete)).bind(id).fetch_optional(&mut *transaction).answered().await?;
        let Some((name,)) = ended else { return Ok(false) };
        write_audit(&mut transaction, now, by, &format!("ended a session of {name}"), None).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn close_session(&self, secret: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM session WHERE digest = $1").bind(digest(secret)).execute(&self.pool).answered().await?;
        Ok(())
    }
}
