//! The page of the bays, with what needs a person first: one card each, or a table where there are many.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::station::Bay;
use serde::Deserialize;

use super::attention::{self, AttentionLine};
use super::bay_card::{BayCard, card};
use super::bay_totals::totals;
use super::extract::{Operator, PageQuery};
use super::page::{LivePage, PageError, live_part, render};
use super::viewer::Viewer;
use crate::state::ServiceState;

/// More bays than this are shown as a table, where nothing else is asked for: cards of more take several screens.
const CARDS_MAX: usize = 12;

/// How the bays are shown: `cards` or `table`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct BaysQuery {
    view: Option<String>,
}

#[derive(Template)]
#[template(path = "bays_live.html")]
struct BaysLive {
    csrf: String,
    attention: Vec<AttentionLine>,
    next: Option<String>,
    rate: String,
    totals: Vec<(&'static str, String)>,
    is_table: bool,
    stations: Vec<Station>,
}

/// The bays of a station.
struct Station {
    /// Its name; `None` for the service's own bays.
    name: Option<String>,
    bays: Vec<BayCard>,
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    PageQuery(query): PageQuery<BaysQuery>,
) -> Result<Response, PageError> {
    let content = live(&state, &viewer, &query).await?;
    let events = match query.view.as_deref() {
        Some("table") => "/portal/events/bays?view=table",
        Some("cards") => "/portal/events/bays?view=cards",
        _ => "/portal/events/bays",
    };
    let (title, events) = ("Bays".to_owned(), events.to_owned());
    Ok(render(&LivePage { title, viewer: Some(viewer), above: None, events, content }))
}

/// The part of the page that changes, as HTML.
pub(super) async fn live(state: &ServiceState, viewer: &Viewer, query: &BaysQuery) -> Result<String, PageError> {
    let bays = state.scheduler.bays().await?;
    let (attention, next) = attention::first_page(state).await?;
    live_part(&BaysLive {
        csrf: viewer.csrf.clone(),
        attention,
        next,
        rate: state.jobs.rate().text(),
        totals: totals(&bays),
        is_table: match query.view.as_deref() {
            Some("table") => true,
            Some("cards") => false,
            _ => bays.len() > CARDS_MAX,
        },
        stations: by_station(state, bays),
    })
}

/// The bays by station, in the order in which they come.
fn by_station(state: &ServiceState, bays: Vec<Bay>) -> Vec<Station> {
    let mut stations: Vec<Station> = Vec::new();
    for bay in bays {
        let name = bay.name.split_once('/').map(|(station, _)| station.to_owned());
        let card = card(state, bay);
        match stations.iter_mut().find(|station| station.name == name) {
            Some(station) => station.bays.push(card),
            None => stations.push(Station { name, bays: vec![card] }),
        }
    }
    stations
}
