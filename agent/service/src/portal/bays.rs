//! The page of the bays, with what needs a person first: one card each, or a table where there are many; by hall and station.

use std::collections::BTreeSet;
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

/// How the bays are shown: `cards` or `table`, and of one hall alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct BaysQuery {
    view: Option<String>,
    hall: Option<String>,
}

impl BaysQuery {
    /// The address of a page that is shown so.
    fn address(&self, path: &str) -> String {
        let mut words = form_urlencoded::Serializer::new(String::new());
        let pairs = [("view", &self.view), ("hall", &self.hall)];
        words.extend_pairs(pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
        let words = words.finish();
        if words.is_empty() { path.to_owned() } else { format!("{path}?{words}") }
    }

    fn of_view(&self, view: &str) -> String {
        BaysQuery { view: Some(view.to_owned()), ..self.clone() }.address("/portal/bays")
    }

    fn of_hall(&self, hall: Option<&str>) -> String {
        BaysQuery { hall: hall.map(str::to_owned), ..self.clone() }.address("/portal/bays")
    }
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
    cards_link: String,
    table_link: String,
    /// Links to the halls, where there are several.
    halls: Vec<HallLink>,
    stations: Vec<Station>,
}

/// A link to the bays of one hall, or of all.
struct HallLink {
    name: String,
    link: String,
    is_shown: bool,
}

/// The bays of a station.
struct Station {
    /// Where it stands.
    hall: Option<String>,
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
    let (title, events) = ("Bays".to_owned(), query.address("/portal/events/bays"));
    Ok(render(&LivePage { title, viewer: Some(viewer), above: None, events, content }))
}

/// The part of the page that changes, as HTML.
pub(super) async fn live(state: &ServiceState, viewer: &Viewer, query: &BaysQuery) -> Result<String, PageError> {
    let mut bays = state.scheduler.bays().await?;
    let halls = halls(&bays, query);
    bays.retain(|bay| query.hall.is_none() || bay.hall == query.hall);
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
        cards_link: query.of_view("cards"),
        table_link: query.of_view("table"),
        halls,
        stations: by_station(state, bays),
    })
}

/// The halls that stations name, by name; nothing where there are not two, and all bays are shown.
fn halls(bays: &[Bay], query: &BaysQuery) -> Vec<HallLink> {
    let names: BTreeSet<&str> = bays.iter().filter_map(|bay| bay.hall.as_deref()).chain(query.hall.as_deref()).collect();
    if names.len() < 2 && query.hall.is_none() {
        return Vec::new();
    }
    let all = HallLink { name: "All halls".to_owned(), link: query.of_hall(None), is_shown: query.hall.is_none() };
    let one = |name: &str| HallLink {
        name: name.to_owned(),
        link: query.of_hall(Some(name)),
        is_shown: query.hall.as_deref() == Some(name),
    };
    std::iter::once(all).chain(names.into_iter().map(one)).collect()
}

/// The bays by station: those of one hall beside each other, the service's own first.
fn by_station(state: &ServiceState, bays: Vec<Bay>) -> Vec<Station> {
    let mut stations: Vec<Station> = Vec::new();
    for bay in bays {
        let name = bay.name.split_once('/').map(|(station, _)| station.to_owned());
        let hall = bay.hall.clone();
        let card = card(state, bay);
        match stations.iter_mut().find(|station| station.name == name) {
            Some(station) => station.bays.push(card),
            None => stations.push(Station { hall, name, bays: vec![card] }),
        }
    }
    stations.sort_by(|one, other| (&one.hall, &one.name).cmp(&(&other.hall, &other.name)));
    stations
}
