//! Tokens and the sessions of the portal: listing them, making a token, ending one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use protocol::arm::ErrorResponse;
use protocol::operator::{Done, List, MadeToken, NewToken, OpenSession, Token, TokenRole};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{ApiError, document};
use super::call::{self, OperatorCall};
use crate::state::ServiceState;
use crate::store::{Actor, Role};
use crate::tokens::{self, TokenError};

pub(super) fn router() -> OpenApiRouter<Arc<ServiceState>> {
    OpenApiRouter::new()
        .routes(routes!(list, new_token))
        .routes(routes!(revoke))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
}

#[utoipa::path(
    get, path = "/tokens", operation_id = "Tokens_List", summary = "The tokens and their owners",
    responses((status = 200, description = "done", body = List<Token>), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn list(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    let token = |actor: Actor| match actor.role {
        Role::Operator => Token { name: actor.name, role: TokenRole::Operator, subscriptions: Vec::new() },
        Role::Station => Token { name: actor.name, role: TokenRole::Station, subscriptions: Vec::new() },
        Role::Customer(subscriptions) => Token { name: actor.name, role: TokenRole::Customer, subscriptions },
    };
    document(200, &List { value: state.store.tokens().await?.into_iter().map(token).collect() })
}

#[utoipa::path(
    post, path = "/tokens", operation_id = "Tokens_Create", summary = "Make a token",
    request_body = NewToken,
    responses((status = 201, description = "done", body = MadeToken), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn new_token(
    State(state): State<Arc<ServiceState>>,
    OperatorCall(call): OperatorCall,
    body: Body,
) -> Result<Response, ApiError> {
    let new: NewToken = call::json(body).await?;
    let made = tokens::make(&state, &call.actor, new).await.map_err(|error| match error {
        TokenError::Role(problem) => ApiError::at(400, "InvalidField", problem.to_string(), "role"),
        error @ TokenError::Name => ApiError::at(400, "InvalidField", error.to_string(), "name"),
        TokenError::Store(error) => error.into(),
    })?;
    document(201, &made)
}

#[utoipa::path(
    delete, path = "/tokens/{name}", operation_id = "Tokens_Revoke", summary = "Revoke a token",
    params(("name" = String, Path)),
    responses((status = 200, description = "done", body = Done), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn revoke(
    State(state): State<Arc<ServiceState>>,
    Path(name): Path<String>,
    OperatorCall(call): OperatorCall,
) -> Result<Response, ApiError> {
    match tokens::revoke(&state, &call.actor, &name).await? {
        true => document(200, &Done {}),
        false => Err(ApiError::new(404, "ResourceNotFound", format!("there is no token `{name}`"))),
    }
}

#[utoipa::path(
    get, path = "/sessions", operation_id = "Sessions_List", summary = "The open sessions of the portal",
    responses((status = 200, description = "done", body = List<OpenSession>), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn sessions(State(state): State<Arc<ServiceState>>, _: OperatorCall) -> Result<Response, ApiError> {
    document(200, &List { value: state.store.sessions(state.scheduler.now()).await? })
}

#[utoipa::path(
    delete, path = "/sessions/{id}", operation_id = "Sessions_End", summary = "End a session of the portal",
    params(("id" = String, Path)),
    responses((status = 200, description = "done", body = Done), (status = "default", description = "an error", body = ErrorResponse)),
    security(("token" = []))
)]
async fn end_session(
    State(state): State<Arc<ServiceState>>,
    Path(id): Path<String>,
    OperatorCall(call): OperatorCall,
) -> Result<Response, ApiError> {
    match state.store.end_session(&id, &call.actor.name, state.scheduler.now()).await? {
        true => document(200, &Done {}),
        false => Err(ApiError::new(404, "ResourceNotFound", "there is no such session: it has ended already".to_owned())),
    }
}
