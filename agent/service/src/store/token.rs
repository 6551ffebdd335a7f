//! API tokens, stored as their digest.

use protocol::digest::Sha256Digest;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use time::OffsetDateTime;

use super::answered::Answered;
use super::audit::write_audit;
use super::database::Store;
use super::error::{StoreError, is_taken};
use super::retry::retried;

/// What an actor may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A customer, with the subscriptions that are theirs.
    Customer(Vec<String>),
    /// Staff: every subscription, and the operator API.
    Operator,
    /// The host of that name: it gets orders about its own bays, and nothing else.
    Station,
}

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenOrigin {
    /// It is one of the service's own: a session of it ends when the token is taken back.
    Stored,
    /// Entra ID issued it: a session of it ends when the token does.
    Entra {
        /// When the token ends.
        expires_at: OffsetDateTime,
    },
}

/// A caller of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The token's name, for the audit log.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Actor {
    /// Whether it may see and change the jobs of a subscription.
    pub(crate) fn may_use(&self, subscription: &str) -> bool {
        match &self.role {
            Role::Operator => true,
            Role::Station => false,
            Role::Customer(own) => own.iter().any(|other| other.eq_ignore_ascii_case(subscription)),
        }
    }
}

/// The prefix of tokens, by which scanners find leaked ones.
const PREFIX: &str = "dat_";

/// A new token.
pub fn new_secret() -> String {
    format!("{PREFIX}{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

impl Store {
    /// Makes a token. Only its digest is stored: it cannot be shown again.
    ///
    /// # Errors
    /// When the name is taken, or the database fails.
    pub(crate) async fn create_token(&self, actor: &Actor, by: &str, now: OffsetDateTime) -> Result<String, StoreError> {
        let secret = new_secret();
        self.accept_token(&secret, actor, by, now).await?;
        Ok(secret)
    }

    /// Makes a token of this secret.
    ///
    /// # Errors
    /// When the name is taken, or the database fails.
    pub async fn accept_token(&self, secret: &str, actor: &Actor, by: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        retried!(self.accept_token_once(secret, actor, by, now))
    }

    async fn accept_token_once(&self, secret: &str, actor: &Actor, by: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        let (role, subscriptions) = match &actor.role {
            Role::Operator => ("operator", String::new()),
            // See the migration: to a program that knows no stations it is a customer without subscriptions.
            Role::Station => ("customer", "[]".to_owned()),
            Role::Customer(own) => ("customer", serde_json::to_string(own)?),
        };
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO token (digest, name, role, subscriptions, created_at, is_station) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(Sha256Digest::of(secret.as_bytes()).to_string())
        .bind(&actor.name)
        .bind(role)
        .bind(subscriptions)
        .bind(now.unix_timestamp())
        .bind(i64::from(actor.role == Role::Station))
        .execute(&mut *transaction)
        .answered()
        .await
        .map_err(|error| match is_taken(&error) {
            true => StoreError::NameTaken(actor.name.clone()),
            false => error.into(),
        })?;
        write_audit(&mut transaction, now, by, &format!("made the token {}", actor.name), None).await?;
        transaction.commit().await
    }

    /// Revokes a token; false where there is none of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn revoke_token(&self, name: &str, by: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        retried!(self.revoke_token_once(name, by, now))
    }

    async fn revoke_token_once(&self, name: &str, by: &str, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        // All of them stay until this is done: two operators who take back each other's token must not leave none.
        let lock = transaction.dialect().for_update();
        let operators = format!("SELECT name FROM token WHERE role = 'operator' ORDER BY name{lock}");
        let operators: Vec<String> = sqlx::query_scalar(AssertSqlSafe(operators)).fetch_all(&mut *transaction).answered().await?;
        if operators == [name] {
            let message =
                format!("`{name}` is the last operator's token: make another first, or no operator can log in any more");
            return Err(StoreError::NotNow(message));
        }
        let deleted = sqlx::query("DELETE FROM token WHERE name = $1").bind(name).execute(&mut *transaction).answered().await?;
        let was_there = deleted.rows_affected() > 0;
        if was_there {
            write_audit(&mut transaction, now, by, &format!("took the token {name} back"), None).await?;
        }
        transaction.commit().await?;
        Ok(was_there)
    }

    /// The actors of all tokens, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tokens(&self) -> Result<Vec<Actor>, StoreError> {
        let rows = sqlx::query("SELECT name, role, subscriptions, is_station FROM token ORDER BY name")
            .fetch_all(&self.pool)
            .answered()
            .await?;
        rows.iter().map(actor_of_row).collect()
    }

    /// The actor of a token; `None` if it is unknown or was revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn actor_of(&self, token: &str) -> Result<Option<Actor>, StoreError> {
        let row = self.tokens.find(&self.pool, Sha256Digest::of(token.as_bytes()).to_string()).await?;
        row.map(|row| actor_of_row(&row)).transpose()
    }
}

pub(super) fn actor_of_row(row: &AnyRow) -> Result<Actor, StoreError> {
    let role: String = row.try_get("role")?;
    let is_station: i64 = row.try_get("is_station")?;
    let role = match role.as_str() {
        _ if is_station == 1 => Role::Station,
        "operator" => Role::Operator,
        _ => Role::Customer(serde_json::from_str(row.try_get("subscriptions")?)?),
    };
    Ok(Actor { name: row.try_get("name")?, role })
}
