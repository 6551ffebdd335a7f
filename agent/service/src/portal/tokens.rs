//! Tokens: who has one, making one, and taking one back.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::arm::FieldProblem;
use protocol::operator::{MadeToken, NewToken, TokenRole};

use super::confirm::AskPage;
use super::extract::{Operator, PageName, form};
use super::forms::{FormField, FormPage, value, with_problems};
use super::links::revoke_link;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::{Actor, Role, StoreError};
use crate::tokens::{self, TokenError};

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    title: &'static str,
    viewer: Option<Viewer>,
    tokens: Vec<Token>,
}

struct Token {
    name: String,
    role: &'static str,
    subscriptions: String,
    /// Where it is taken back.
    revoke: String,
}

#[derive(Template)]
#[template(path = "made.html")]
struct MadePage {
    title: &'static str,
    viewer: Option<Viewer>,
    made: MadeToken,
}

fn token(actor: Actor) -> Token {
    let (role, subscriptions) = match actor.role {
        Role::Operator => ("operator", String::new()),
        Role::Station => ("station", String::new()),
        Role::Customer(subscriptions) => ("customer", subscriptions.join(", ")),
    };
    let revoke = revoke_link(&actor.name);
    Token { name: actor.name, role, subscriptions, revoke }
}

pub(super) async fn show(State(state): State<Arc<ServiceState>>, Operator(viewer): Operator) -> Result<Response, PageError> {
    let tokens = state.store.tokens().await?.into_iter().map(token).collect();
    Ok(render(&TokensPage { title: "Tokens", viewer: Some(viewer), tokens }))
}

fn fields() -> Vec<FormField> {
    let roles = [
        ("customer", "a customer: the jobs of their subscriptions"),
        ("operator", "an operator: everything"),
        ("station", "a station: the bays of one host"),
    ];
    vec![
        FormField {
            hint: "What the audit log calls its owner; of a station, the name of its host".into(),
            ..FormField::line("name", "Name", "")
        },
        FormField::choice("role", "What it allows", roles.map(|(value, label)| (value.to_owned(), label.to_owned())).to_vec()),
        FormField::line("subscriptions", "Subscriptions of a customer, with spaces between them", ""),
    ]
}

fn page(viewer: &Viewer, fields: Vec<FormField>) -> FormPage {
    FormPage::new(viewer, "New token", "/portal/tokens/new".to_owned(), fields, "Make the token")
}

pub(super) async fn show_new(Operator(viewer): Operator) -> Response {
    render(&page(&viewer, fields()))
}

/// Makes a token and shows it, once; or the form again with what is wrong beside its fields.
pub(super) async fn make(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    request: Request,
) -> Result<Response, PageError> {
    let form = form(&viewer, request.into_body()).await?;
    let role = match value(&form, "role") {
        "operator" => TokenRole::Operator,
        "station" => TokenRole::Station,
        _ => TokenRole::Customer,
    };
    let subscriptions = value(&form, "subscriptions").split_whitespace().map(str::to_owned).collect();
    let new = NewToken { name: value(&form, "name").trim().to_owned(), role: Some(role), subscriptions };
    let (target, message) = match tokens::make(&state, &viewer.actor, new).await {
        Ok(made) => return Ok(render(&MadePage { title: "New token", viewer: Some(viewer), made })),
        Err(TokenError::Role(_)) if role == TokenRole::Customer => ("subscriptions", "name at least one".to_owned()),
        Err(TokenError::Role(_)) => ("subscriptions", "only a customer has subscriptions: leave this empty".to_owned()),
        Err(error @ TokenError::Name) => ("name", error.to_string()),
        Err(TokenError::Store(error @ StoreError::NameTaken(_))) => ("name", error.to_string()),
        Err(TokenError::Store(error)) => return Err(error.into()),
    };
    let problem = [FieldProblem { target: target.to_owned(), message }];
    let page = page(&viewer, with_problems(fields(), &form, &problem));
    Ok(render(&FormPage { error: Some("The token was not made.".to_owned()), ..page }))
}

/// Asks before a token is taken back.
pub(super) async fn ask(Operator(viewer): Operator, PageName(name): PageName) -> Response {
    let ends = "Whoever uses this token is refused from now on, and its sessions in the portal end. A station of this name is \
                asked for nothing any more, and the copies in its bays end with its grants. It is never taken back.";
    let own = (viewer.actor.name == name).then_some("It is the token that you are logged in with.");
    let (title, target) = (format!("Revoke the token of {name}?"), revoke_link(&name));
    let mut ask = AskPage::of(viewer, title, target, "Revoke it", "/portal/tokens".to_owned());
    ask.sentences = [ends].into_iter().chain(own).collect();
    render(&ask)
}

/// Takes a token back.
pub(super) async fn revoke(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    PageName(name): PageName,
    request: Request,
) -> Result<Response, PageError> {
    form(&viewer, request.into_body()).await?;
    match tokens::revoke(&state, &viewer.actor, &name).await? {
        true => Ok(Redirect::to("/portal/tokens").into_response()),
        false => {
            Err(PageError::Message(StatusCode::NOT_FOUND, format!("there is no token of {name}: it was taken back already")))
        }
    }
}
