//! The list of jobs. Filters are links, and so are pages.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use protocol::arm::Filter;
use protocol::job::JobState;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::access::{Viewer, viewer};
use super::{PageError, job_link, render};
use crate::api::{Api, percent_of};
use crate::store::{Role, Scope, StoredJob};

/// Jobs on one page.
const PAGE_JOBS: u32 = 50;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    after: Option<i64>,
    #[serde(default)]
    search: String,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    title: &'static str,
    viewer: Option<Viewer>,
    is_operator: bool,
    search: String,
    state: String,
    filters: Vec<FilterLink>,
    jobs: Vec<Row>,
    next: Option<String>,
}

struct FilterLink {
    name: String,
    link: String,
    is_current: bool,
}

struct Row {
    link: String,
    name: String,
    kind: String,
    state: String,
    is_cancelled: bool,
    percent: String,
    created: String,
    changed: String,
    subscription: String,
    group: String,
}

pub(super) fn text_of(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn row(api: &Api, job: &StoredJob) -> Row {
    Row {
        link: job_link(&job.key),
        name: job.key.name.clone(),
        kind: job.machine.kind.to_string(),
        state: job.machine.state.to_string(),
        is_cancelled: job.machine.cancel_requested,
        percent: percent_of(api, job).map_or_else(String::new, |percent| format!("{percent}%")),
        created: text_of(job.created_at),
        changed: text_of(job.modified_at),
        subscription: job.key.subscription.clone(),
        group: job.key.resource_group.clone(),
    }
}

pub(super) async fn page(
    State(api): State<Arc<Api>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let viewer = viewer(&api, &headers).await?;
    let state = wanted.state.as_deref().and_then(|name| name.parse::<JobState>().ok());
    let filter = Filter { state, ..Filter::default() };
    let mut jobs = Vec::new();
    let mut next = None;
    let scopes: Vec<Option<String>> = match &viewer.actor.role {
        Role::Operator => vec![None],
        Role::Customer(own) => own.iter().cloned().map(Some).collect(),
    };
    for subscription in scopes {
        let search = Some(wanted.search.trim().to_owned()).filter(|search| !search.is_empty());
        let scope = Scope { subscription, resource_group: None, search };
        let page = api.store.list(&scope, &filter, PAGE_JOBS, wanted.after).await?;
        next = next.max(page.next);
        for job in page.jobs {
            jobs.extend(api.store.by_uid(&job.uid).await?);
        }
    }
    let link = |state: Option<JobState>, after: Option<i64>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(state.map(|state| ("state", state.name())));
        query.extend_pairs(Some(("search", wanted.search.trim())).filter(|(_, search)| !search.is_empty()));
        query.extend_pairs(after.map(|after| ("after", after.to_string())));
        match query.finish() {
            query if query.is_empty() => "/portal/jobs".to_owned(),
            query => format!("/portal/jobs?{query}"),
        }
    };
    let filters = std::iter::once(None).chain(JobState::ALL.into_iter().map(Some)).map(|one| FilterLink {
        name: one.map_or_else(|| "All".to_owned(), |state| state.to_string()),
        link: link(one, None),
        is_current: one == state,
    });
    Ok(render(&JobsPage {
        title: "Jobs",
        is_operator: viewer.is_operator,
        viewer: Some(viewer),
        filters: filters.collect(),
        jobs: jobs.iter().map(|job| row(&api, job)).collect(),
        next: next.map(|after| link(state, Some(after))),
        search: wanted.search.trim().to_owned(),
        state: state.map(|state| state.to_string()).unwrap_or_default(),
    }))
}
