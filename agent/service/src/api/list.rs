//! Lists of jobs, a page at a time.

use axum::response::Response;
use protocol::arm::{Filter, JobResponse};
use serde_json::json;

use super::answer::{ApiError, document};
use super::call::Call;
use crate::state::ServiceState;
use crate::store::{Order, Scope, StoredJob};

/// Most jobs of one page (the published limit), and how many there are where none are asked for.
const PAGE_JOBS_MAX: u32 = 100;

pub(super) async fn list(
    state: &ServiceState,
    call: &Call,
    subscription: Option<String>,
    resource_group: Option<String>,
) -> Result<Response, ApiError> {
    let top = page_size(call)?;
    let filter_text = call.parameter("$filter").unwrap_or_default();
    let filter: Filter = filter_text.parse()?;
    let after = place(call)?;
    let is_of_group = resource_group.is_some();
    let scope = Scope { subscriptions: subscription.map(|own| vec![own]), resource_group, search: None };
    let page = state.store.list(&scope, &filter, Order::OldestFirst, top, after).await?;
    let mut body = json!({ "value": page.jobs.iter().map(|job| listed(state, job, is_of_group)).collect::<Vec<_>>() });
    if let Some(next) = page.next {
        body["nextLink"] = next_link(call, top, next, filter_text).into();
    }
    document(200, &body)
}

/// How many jobs a page has at most.
fn page_size(call: &Call) -> Result<u32, ApiError> {
    match call.parameter("$top").map(str::parse::<u32>) {
        None => Ok(PAGE_JOBS_MAX),
        Some(Ok(top)) if (1..=PAGE_JOBS_MAX).contains(&top) => Ok(top),
        Some(_) => {
            let message = format!("`$top` is a number from 1 to {PAGE_JOBS_MAX}");
            Err(ApiError::at(400, "InvalidTop", message, "$top"))
        }
    }
}

/// The place behind which the page begins.
fn place(call: &Call) -> Result<Option<i64>, ApiError> {
    let invalid = |_| ApiError::at(400, "InvalidSkipToken", "`$skiptoken` comes from a `nextLink`".to_owned(), "$skiptoken");
    call.parameter("$skiptoken").map(|text| text.parse().map_err(invalid)).transpose()
}

/// A job as lists show it. As at the real service, the list of a resource group has neither drives nor blobs, and that of a
/// subscription has both.
fn listed(state: &ServiceState, job: &StoredJob, is_of_group: bool) -> JobResponse {
    let mut job = state.jobs.response(job);
    if is_of_group {
        job.properties.drive_list = None;
        job.properties.export = None;
    }
    job
}

fn next_link(call: &Call, top: u32, next: i64, filter: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(version) = call.parameter("api-version") {
        query.append_pair("api-version", version);
    }
    query.append_pair("$top", &top.to_string()).append_pair("$skiptoken", &next.to_string());
    if !filter.is_empty() {
        query.append_pair("$filter", filter);
    }
    format!("{}{}?{}", call.base, call.path, query.finish())
}
