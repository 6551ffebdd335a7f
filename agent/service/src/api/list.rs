//! Lists of jobs, a page at a time.

use axum::response::Response;
use protocol::arm::{Filter, JobList, JobResponse};

use super::answer::{ApiError, document};
use super::call::Call;
use crate::state::ServiceState;
use crate::store::{ListPlace, Order, Scope, StoredJob};

/// Most jobs of one page (the published limit), and how many there are where none are asked for.
pub(super) const PAGE_JOBS_MAX: u32 = 100;

pub(super) async fn list(state: &ServiceState, call: &Call, scope: Scope) -> Result<Response, ApiError> {
    let top = page_size(call, PAGE_JOBS_MAX, PAGE_JOBS_MAX)?;
    let filter_text = call.parameter("$filter").unwrap_or_default();
    let filter: Filter = filter_text.parse()?;
    let after = place(call)?.map(ListPlace::behind);
    let is_of_group = scope.resource_group.is_some();
    let page = state.store.list(&scope, &filter, Order::OldestFirst, top, after.as_ref()).await?;
    let value = page.jobs.iter().map(|job| listed(state, job, is_of_group)).collect();
    document(200, &JobList { value, next_link: page.next.map(|next| next_link(call, top, next.id(), &scope, filter_text)) })
}

/// How many entries a page has: `$top`, or as many as there are where none are asked for.
pub(super) fn page_size(call: &Call, usual: u32, most: u32) -> Result<u32, ApiError> {
    match call.parameter("$top").map(str::parse::<u32>) {
        None => Ok(usual),
        Some(Ok(top)) if (1..=most).contains(&top) => Ok(top),
        Some(_) => Err(ApiError::at(400, "InvalidTop", format!("`$top` is a number from 1 to {most}"), "$top")),
    }
}

/// The place behind which the page begins.
pub(super) fn place(call: &Call) -> Result<Option<i64>, ApiError> {
    let Some(text) = call.parameter("$skiptoken") else { return Ok(None) };
    match text.parse() {
        Ok(place) if place >= 0 => Ok(Some(place)),
        _ => Err(ApiError::at(400, "InvalidSkipToken", "`$skiptoken` comes from a `nextLink`".to_owned(), "$skiptoken")),
    }
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

fn next_link(call: &Call, top: u32, next: i64, scope: &Scope, filter: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(version) = call.parameter("api-version") {
        query.append_pair("api-version", version);
    }
    query.append_pair("$top", &top.to_string()).append_pair("$skiptoken", &next.to_string());
    if !filter.is_empty() {
        query.append_pair("$filter", filter);
    }
    if let Some(search) = &scope.search {
        query.append_pair("search", search);
    }
    format!("{}{}?{}", call.base, call.path, query.finish())
}
