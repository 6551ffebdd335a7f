//! Tokens: who has one, making one, taking one back.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{delete, get};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::answer::{ApiError, document};
use super::call::{self, OperatorCall};
use crate::state::ServiceState;
use crate::store::{Actor, Role};

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewToken {
    /// Its name in the audit log.
    pub(crate) name: String,
    /// The subscriptions of a customer; empty for an operator.
    #[serde(default)]
    pub(crate) subscriptions: Vec<String>,
}

pub(super) fn router() -> Router<Arc<ServiceState>> {
    Router::new().route("/tokens", get(tokens).post(new_token)).route("/tokens/{name}", delete(revoke))
}

async fn tokens(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    let token = |actor: Actor| match actor.role {
        Role::Operator => json!({ "name": actor.name, "role": "operator", "subscriptions": [] }),
        Role::Customer(own) => json!({ "name": actor.name, "role": "customer", "subscriptions": own }),
    };
    let actors = state.store.tokens().await?;
    document(200, &json!({ "value": actors.into_iter().map(token).collect::<Vec<_>>() }))
}

async fn new_token(
    State(state): State<Arc<ServiceState>>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let NewToken { name, subscriptions } = call::json(body).await?;
    let is_plain = |text: &str| !text.is_empty() && text.len() <= 128 && text.chars().all(|letter| letter.is_ascii_graphic());
    if !is_plain(&name) || !subscriptions.iter().all(|subscription| is_plain(subscription)) {
        let message = "names have 1 to 128 letters, digits and signs, and no spaces".to_owned();
        return Err(ApiError::at(400, "InvalidField", message, "name"));
    }
    let role = if subscriptions.is_empty() { Role::Operator } else { Role::Customer(subscriptions) };
    let actor = Actor { name, role };
    let token = state.store.create_token(&actor, &call.actor.name, state.scheduler.now()).await?;
    document(201, &json!({ "name": actor.name, "token": token }))
}

async fn revoke(
    State(state): State<Arc<ServiceState>>,
    Path(name): Path<String>,
    OperatorCall(call): OperatorCall,
) -> Result<Response, ApiError> {
    match state.store.revoke_token(&name, &call.actor.name, state.scheduler.now()).await? {
        true => document(200, &json!({})),
        false => Err(ApiError::new(404, "ResourceNotFound", format!("there is no token `{name}`"))),
    }
}
