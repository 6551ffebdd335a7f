//! The list of jobs, kept up to date. Filters, orders and pages are links.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::arm::Filter;
use protocol::job::JobState;
use serde::Deserialize;

use super::attention::waiting_jobs;
use super::extract::PageQuery;
use super::job_rows::{JobRow, row};
use super::page::{PageError, live_part, render};
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::{Order, Role, Scope};

/// Jobs on one page.
const PAGE_JOBS: u32 = 50;

/// Which jobs are shown: `state`, `waits` and `search` filter, `sort` says in which order, and `after` where the page begins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct JobsQuery {
    state: Option<String>,
    /// Those that wait for a person, where there is anything.
    waits: Option<String>,
    sort: Option<String>,
    after: Option<String>,
    search: String,
}

/// Which jobs a link of the filters shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    InState(JobState),
    /// What operators look for first.
    Waiting,
}

/// The orders that people choose from: what they are called in addresses, and on the page.
const ORDERS: [(Order, &str, &str); 3] = [
    (Order::NewestFirst, "created", "newest first"),
    (Order::LastChangedFirst, "changed", "changed last first"),
    (Order::ByName, "name", "by name"),
];

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    title: &'static str,
    viewer: Option<Viewer>,
    search: String,
    /// What the search keeps of the address.
    hidden: Vec<(&'static str, String)>,
    events: String,
    content: String,
}

#[derive(Template)]
#[template(path = "jobs_live.html")]
struct JobsLive {
    is_operator: bool,
    is_waiting: bool,
    /// A customer who has no job at all.
    is_first_visit: bool,
    filters: Vec<Choice>,
    orders: Vec<Choice>,
    jobs: Vec<JobRow>,
    /// The first page, where this is another.
    first: Option<String>,
    /// The next page.
    next: Option<String>,
}

/// A link of several, of which one is where the viewer is.
struct Choice {
    name: String,
    link: String,
    is_current: bool,
}

impl JobsQuery {
    fn shown(&self, viewer: &Viewer) -> Shown {
        match (&self.waits, self.state.as_deref().and_then(|state| state.parse().ok())) {
            (Some(_), _) if viewer.is_operator => Shown::Waiting,
            (_, Some(state)) => Shown::InState(state),
            _ => Shown::All,
        }
    }

    fn order(&self) -> Order {
        let named = ORDERS.into_iter().find(|(_, name, _)| Some(*name) == self.sort.as_deref());
        named.map_or(Order::NewestFirst, |(order, ..)| order)
    }

    fn search(&self) -> &str {
        self.search.trim()
    }

    /// What an address says of a list with the same search.
    fn pairs(&self, shown: Shown, order: Order, after: Option<String>) -> Vec<(&'static str, String)> {
        let mut pairs = match shown {
            Shown::All => Vec::new(),
            Shown::InState(state) => vec![("state", state.name().to_owned())],
            Shown::Waiting => vec![("waits", "yes".to_owned())],
        };
        let named = ORDERS.into_iter().filter(|(one, ..)| *one == order && order != Order::NewestFirst);
        pairs.extend(named.map(|(_, name, _)| ("sort", name.to_owned())));
        pairs.extend(Some(("search", self.search().to_owned())).filter(|(_, search)| !search.is_empty()));
        pairs.extend(after.map(|after| ("after", after)));
        pairs
    }

    fn link(&self, path: &str, shown: Shown, order: Order, after: Option<String>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs(shown, order, after));
        match query.finish() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }

    fn scope(&self, viewer: &Viewer) -> Scope {
        let subscriptions = match &viewer.actor.role {
            Role::Operator => None,
            Role::Station => Some(Vec::new()),
            Role::Customer(own) => Some(own.clone()),
        };
        let search = Some(self.search().to_owned()).filter(|search| !search.is_empty());
        Scope { subscriptions, resource_group: None, search }
    }

    fn filters(&self, viewer: &Viewer, counts: &[(String, i64)]) -> Vec<Choice> {
        let current = self.shown(viewer);
        let choice = |shown: Shown, name: String| Choice {
            link: self.link("/portal/jobs", shown, self.order(), None),
            is_current: shown == current,
            name,
        };
        let all = choice(Shown::All, format!("All ({})", counts.iter().map(|(_, count)| count).sum::<i64>()));
        let of_state = |state: JobState| {
            let count = counts.iter().find(|(name, _)| name == state.name()).map_or(0, |(_, count)| *count);
            choice(Shown::InState(state), if count == 0 { state.name().to_owned() } else { format!("{state} ({count})") })
        };
        let waiting = viewer.is_operator.then(|| choice(Shown::Waiting, "Waits for a person".to_owned()));
        [all].into_iter().chain(waiting).chain(JobState::ALL.into_iter().map(of_state)).collect()
    }

    fn orders(&self, viewer: &Viewer) -> Vec<Choice> {
        let shown = self.shown(viewer);
        let choice = |(order, _, name): (Order, &str, &str)| Choice {
            name: name.to_owned(),
            link: self.link("/portal/jobs", shown, order, None),
            is_current: order == self.order(),
        };
        // What waits is sorted by how urgent it is.
        if shown == Shown::Waiting { Vec::new() } else { ORDERS.into_iter().map(choice).collect() }
    }
}

/// The jobs of a page, and where the next page begins.
async fn find(state: &ServiceState, viewer: &Viewer, query: &JobsQuery) -> Result<(Vec<JobRow>, Option<String>), PageError> {
    let job_state = match query.shown(viewer) {
        Shown::Waiting => return waiting_jobs(state, query.after.as_deref(), query.search()).await,
        Shown::InState(job_state) => Some(job_state),
        Shown::All => None,
    };
    let filter = Filter { state: job_state, ..Filter::default() };
    let after = query.after.as_deref().map(str::parse).transpose().map_err(|()| PageError::incomplete_address())?;
    let page = state.store.list(&query.scope(viewer), &filter, query.order(), PAGE_JOBS, after.as_ref()).await?;
    Ok((page.jobs.iter().map(|job| row(state, job)).collect(), page.next.map(|next| next.to_string())))
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    viewer: Viewer,
    PageQuery(query): PageQuery<JobsQuery>,
) -> Result<Response, PageError> {
    let content = live(&state, &viewer, &query).await?;
    let (shown, order) = (query.shown(&viewer), query.order());
    let hidden = query.pairs(shown, order, None).into_iter().filter(|(name, _)| *name != "search").collect();
    let events = query.link("/portal/events/jobs", shown, order, query.after.clone());
    let search = query.search().to_owned();
    Ok(render(&JobsPage { title: "Jobs", viewer: Some(viewer), search, hidden, events, content }))
}

/// The part of the page that changes, as HTML.
pub(super) async fn live(state: &ServiceState, viewer: &Viewer, query: &JobsQuery) -> Result<String, PageError> {
    let (jobs, next) = find(state, viewer, query).await?;
    let counts = state.store.count_in(&query.scope(viewer)).await?;
    let (shown, order) = (query.shown(viewer), query.order());
    live_part(&JobsLive {
        is_operator: viewer.is_operator,
        is_waiting: shown == Shown::Waiting,
        is_first_visit: !viewer.is_operator && query.search().is_empty() && counts.iter().all(|(_, count)| *count == 0),
        filters: query.filters(viewer, &counts),
        orders: query.orders(viewer),
        jobs,
        first: query.after.as_ref().map(|_| query.link("/portal/jobs", shown, order, None)),
        next: next.map(|after| query.link("/portal/jobs", shown, order, Some(after))),
    })
}
