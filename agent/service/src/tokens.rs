//! Making tokens and taking them back, for the API and for the portal.

use protocol::operator::{MadeToken, NewToken, RoleProblem, TokenRole};
use protocol::text::is_word;

use crate::state::ServiceState;
use crate::store::{Actor, Role, StoreError};

/// Why a token is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// What it allows is not said, or said twice.
    #[error(transparent)]
    Role(#[from] RoleProblem),
    /// Its name or one of its subscriptions cannot be one.
    #[error("names have 1 to 128 letters, digits and signs, without spaces and what parts a path")]
    Name,
    /// The name is taken, or the database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a token.
///
/// # Errors
/// When what it allows is not clear, or its name cannot be one or is taken.
pub(crate) async fn make(state: &ServiceState, by: &Actor, new: NewToken) -> Result<MadeToken, TokenError> {
    let role = new.role()?;
    let NewToken { name, subscriptions, .. } = new;
    if !is_word(&name) || !subscriptions.iter().all(|subscription| is_word(subscription)) {
        return Err(TokenError::Name);
    }
    let role = match role {
        TokenRole::Operator => Role::Operator,
        TokenRole::Station => Role::Station,
        TokenRole::Customer => Role::Customer(subscriptions),
    };
    let actor = Actor { name, role };
    let token = state.store.create_token(&actor, &by.name, state.scheduler.now()).await?;
    if actor.role == Role::Station {
        look_at_stations(state).await;
    }
    Ok(MadeToken { name: actor.name, token })
}

/// What was done about a token was done: where the stations cannot be looked at now, that is done later.
async fn look_at_stations(state: &ServiceState) {
    if let Err(error) = state.fleet.know_stations().await {
        tracing::warn!(%error, "the tokens of stations cannot be read: they are looked at again later");
    }
}

/// Takes a token back, with its sessions and its station; false where there is none of that name.
///
/// # Errors
/// When the database fails.
pub(crate) async fn revoke(state: &ServiceState, by: &Actor, name: &str) -> Result<bool, StoreError> {
    let was_there = state.store.revoke_token(name, &by.name, state.scheduler.now()).await?;
    if was_there {
        look_at_stations(state).await;
    }
    Ok(was_there)
}
