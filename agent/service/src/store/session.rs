//! Sessions of the portal. They are in the database, so that a restart does not end them.

use protocol::digest::Sha256Digest;
use sqlx::Row;
use time::{Duration, OffsetDateTime};

use super::database::Store;
use super::error::StoreError;
use super::token::{Actor, Role, TokenOrigin, actor_of_row};

/// How long a session lasts: a shift.
pub(crate) const SESSION_LASTS: Duration = Duration::hours(12);

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
        let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let subscriptions = match &actor.role {
            Role::Operator => None,
            Role::Customer(own) => Some(own.clone()),
        };
        let (token_name, stored) = match origin {
            TokenOrigin::Stored => (Some(actor.name.clone()), None),
            TokenOrigin::Entra => (None, Some(serde_json::to_string(&(&actor.name, subscriptions))?)),
        };
        sqlx::query("DELETE FROM session WHERE expires_at < ?").bind(now.unix_timestamp()).execute(&self.pool).await?;
        sqlx::query("INSERT INTO session (digest, token_name, actor, csrf, expires_at) VALUES (?, ?, ?, ?, ?)")
            .bind(digest(&secret))
            .bind(token_name)
            .bind(stored)
            .bind(format!("{:032x}", rand::random::<u128>()))
            .bind((now + SESSION_LASTS).unix_timestamp())
            .execute(&self.pool)
            .await?;
        Ok(secret)
    }

    /// The session of a cookie; `None` where it has ended, or its token was revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn session(&self, secret: &str, now: OffsetDateTime) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query(
            "SELECT session.csrf, session.actor, token.name, token.role, token.subscriptions
             FROM session LEFT JOIN token ON token.name = session.token_name WHERE session.digest = ? AND expires_at >= ?",
        )
        .bind(digest(secret))
        .bind(now.unix_timestamp())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
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

    /// Ends a session.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn close_session(&self, secret: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM session WHERE digest = ?").bind(digest(secret)).execute(&self.pool).await?;
        Ok(())
    }
}
