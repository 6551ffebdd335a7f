//! The list of jobs, the newest first. Filters are links, and so are pages.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use protocol::arm::Filter;
use protocol::job::{JobKind, JobState};
use serde::Deserialize;

use super::links::job_link;
use super::page::{PageError, render};
use super::time_text::time_text;
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::{Order, Role, Scope, StoredJob};

/// Jobs on one page.
const PAGE_JOBS: u32 = 50;

/// Which jobs are shown: `state` and `search` filter, `after` is where the page begins.
#[derive(Deserialize)]
pub(super) struct JobsQuery {
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
    state: &'static str,
    filters: Vec<FilterLink>,
    jobs: Vec<Row>,
    /// The first page, where this is another.
    newest: Option<String>,
    /// The next page.
    older: Option<String>,
}

struct FilterLink {
    name: &'static str,
    link: String,
    is_current: bool,
}

struct Row {
    link: String,
    name: String,
    kind: JobKind,
    state: JobState,
    is_cancelled: bool,
    percent: String,
    created: String,
    changed: String,
    subscription: String,
    group: String,
}

fn row(state: &ServiceState, job: &StoredJob) -> Row {
    Row {
        link: job_link(&job.key),
        name: job.key.name.clone(),
        kind: job.machine.kind,
        state: job.machine.state,
        is_cancelled: job.machine.cancel_requested,
        percent: state.jobs.percent_of(job).map_or_else(String::new, |percent| format!("{percent}%")),
        created: time_text(job.created_at),
        changed: time_text(job.modified_at),
        subscription: job.key.subscription.clone(),
        group: job.key.resource_group.clone(),
    }
}

impl JobsQuery {
    fn state(&self) -> Option<JobState> {
        self.state.as_deref()?.parse().ok()
    }

    fn search(&self) -> &str {
        self.search.trim()
    }

    /// The address of the list with the same search.
    fn link(&self, state: Option<JobState>, after: Option<i64>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(state.map(|state| ("state", state.name())));
        query.extend_pairs(Some(("search", self.search())).filter(|(_, search)| !search.is_empty()));
        query.extend_pairs(after.map(|after| ("after", after.to_string())));
        match query.finish() {
            query if query.is_empty() => "/portal/jobs".to_owned(),
            query => format!("/portal/jobs?{query}"),
        }
    }

    fn filters(&self) -> Vec<FilterLink> {
        let all = std::iter::once(None).chain(JobState::ALL.into_iter().map(Some));
        let filter = |state: Option<JobState>| FilterLink {
            name: state.map_or("All", JobState::name),
            link: self.link(state, None),
            is_current: state == self.state(),
        };
        all.map(filter).collect()
    }
}

/// The jobs of a page, and where the next page begins.
async fn find(state: &ServiceState, viewer: &Viewer, query: &JobsQuery) -> Result<(Vec<StoredJob>, Option<i64>), PageError> {
    let filter = Filter { state: query.state(), ..Filter::default() };
    let subscriptions = match &viewer.actor.role {
        Role::Operator => None,
        Role::Station => Some(Vec::new()),
        Role::Customer(own) => Some(own.clone()),
    };
    let search = Some(query.search().to_owned()).filter(|search| !search.is_empty());
    let scope = Scope { subscriptions, resource_group: None, search };
    let page = state.store.list(&scope, &filter, Order::NewestFirst, PAGE_JOBS, query.after).await?;
    Ok((page.jobs, page.next))
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    Query(query): Query<JobsQuery>,
) -> Result<Response, PageError> {
    let (jobs, next) = find(&state, &viewer, &query).await?;
    Ok(render(&JobsPage {
        title: "Jobs",
        is_operator: viewer.is_operator,
        viewer: Some(viewer),
        filters: query.filters(),
        jobs: jobs.iter().map(|job| row(&state, job)).collect(),
        newest: query.after.map(|_| query.link(query.state(), None)),
        older: next.map(|after| query.link(query.state(), Some(after))),
        search: query.search().to_owned(),
        state: query.state().map_or("", JobState::name),
    }))
}
