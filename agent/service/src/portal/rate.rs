//! The rate of all copies together: what it is, and an order for another one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::extract::{Operator, form};
use super::forms::{FormField, FormPage, value};
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::state::ServiceState;

const BAYS: &str = "/portal/bays";
const RATE: &str = "/portal/rate";

fn page(state: &ServiceState, viewer: &Viewer) -> FormPage {
    let rate = FormField {
        hint: "Such as 50MB/s; unlimited; or schedule, for what the configuration says".into(),
        ..FormField::line("rate", "At most", "")
    };
    let page = FormPage::new(viewer, "Rate of all copies", RATE.to_owned(), vec![rate], "Set it");
    FormPage { about: Some(format!("Now {}.", state.jobs.rate().text())), ..page }
}

pub(super) async fn show(State(state): State<Arc<ServiceState>>, Operator(viewer): Operator) -> Response {
    render(&page(&state, &viewer))
}

/// Sets the rate, or shows the form again with what is wrong.
pub(super) async fn set(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    request: Request,
) -> Result<Response, PageError> {
    let form = form(&viewer, request.into_body()).await?;
    match state.jobs.set_rate(&viewer.actor, value(&form, "rate")).await {
        Ok(_) => Ok(Redirect::to(BAYS).into_response()),
        Err(error) => page(&state, &viewer).again(&form, error, "rate"),
    }
}
