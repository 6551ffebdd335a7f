//! What this service is: its version and health, its datacenters, and where programs find the API.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::arm::API_VERSIONS;

use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::state::ServiceState;

#[derive(Template)]
#[template(path = "about.html")]
struct AboutPage {
    title: &'static str,
    viewer: Option<Viewer>,
    is_operator: bool,
    version: &'static str,
    api_versions: String,
    is_ready: bool,
    locations: Vec<Place>,
    accounts: Vec<String>,
    jobs: Vec<(String, i64)>,
    stations: Vec<Station>,
    settings: Vec<(&'static str, String)>,
}

struct Place {
    name: String,
    address: Vec<String>,
    carriers: String,
}

struct Station {
    name: String,
    state: &'static str,
    copies: u64,
}

pub(super) async fn show(State(state): State<Arc<ServiceState>>, viewer: Viewer) -> Result<Response, PageError> {
    let place = |location: &crate::jobs::Location| Place {
        name: location.name.clone(),
        address: location.address.lines(),
        carriers: location.carriers.join(", "),
    };
    let (mut jobs, mut stations) = (Vec::new(), Vec::new());
    if viewer.is_operator {
        jobs = state.store.count_by_state().await?.into_iter().collect();
        let station = |one: protocol::operator::StationState| Station {
            state: if one.away.is_some() { "away" } else { "calls" },
            name: one.name,
            copies: one.copies,
        };
        stations = state.fleet.list().into_iter().map(station).collect();
    }
    Ok(render(&AboutPage {
        title: "About",
        is_operator: viewer.is_operator,
        settings: if viewer.is_operator { state.settings.clone() } else { Vec::new() },
        version: env!("CARGO_PKG_VERSION"),
        api_versions: API_VERSIONS.join(", "),
        is_ready: !state.closing.is_cancelled() && state.store.probe().await.is_ok(),
        locations: state.jobs.locations.iter().map(place).collect(),
        accounts: state.jobs.accounts_of(&viewer.actor),
        viewer: Some(viewer),
        jobs,
        stations,
    }))
}
