//! Jobs, over the published API: read, put, change, delete, keys, receipts.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::response::Response;
use protocol::arm::DriveKey;
use protocol::operator::List;

use super::answer::{ApiError, document};
use super::call::{self, Call};
use crate::jobs::require_names;
use crate::state::ServiceState;
use crate::store::{JobKey, Precondition, StoredJob};

pub(super) async fn get(state: &ServiceState, call: &Call, key: &JobKey) -> Result<Response, ApiError> {
    let job = state.store.get(key).await?;
    let Precondition { matches, matches_none } = call.precondition();
    Precondition { matches, matches_none: None }.require(Some(&job))?;
    match (Precondition { matches: None, matches_none }).holds(Some(job.version)) {
        true => answer(state, 200, &job),
        false => Ok(without_body(answer(state, 304, &job)?)),
    }
}

pub(super) async fn put(state: &ServiceState, call: &Call, body: Body, key: &JobKey) -> Result<Response, ApiError> {
    // Before the body is read: it may be long.
    require_names(key)?;
    let put = state.jobs.put(&call.actor, key, &call::job(body).await?, call.precondition()).await?;
    answer(state, if put.is_new { 201 } else { 200 }, &put.job)
}

pub(super) async fn update(state: &ServiceState, call: &Call, body: Body, key: &JobKey) -> Result<Response, ApiError> {
    let job = state.jobs.update(&call.actor, key, call::update(body).await?, call.precondition()).await?;
    answer(state, 200, &job)
}

pub(super) async fn delete(state: &ServiceState, call: &Call, key: &JobKey) -> Result<Response, ApiError> {
    state.jobs.delete(&call.actor, key, call.precondition()).await?;
    Ok(without_body(document(200, &())?))
}

pub(super) async fn receipts(state: &ServiceState, key: &JobKey) -> Result<Response, ApiError> {
    let job = state.store.get(key).await?;
    document(200, &state.jobs.receipts(&job))
}

pub(super) async fn keys(state: &ServiceState, call: &Call, key: &JobKey) -> Result<Response, ApiError> {
    if !state.access.allows_audited_read(&call.actor) {
        let message = "keys were read too often: the audit log notes each time, wait ten seconds".to_owned();
        return Err(ApiError::new(429, "TooManyRequests", message));
    }
    let keys = state.jobs.keys(&call.actor, key, call.precondition()).await?;
    let key = |(drive_id, bit_locker_key)| DriveKey { drive_id, bit_locker_key };
    document(200, &List { value: keys.into_iter().map(key).collect() })
}

fn without_body(mut response: Response) -> Response {
    *response.body_mut() = Body::empty();
    response.headers_mut().remove("content-type");
    response
}

fn answer(state: &ServiceState, status: u16, job: &StoredJob) -> Result<Response, ApiError> {
    let mut answer = document(status, &state.jobs.response(job))?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", job.version)) {
        answer.headers_mut().insert("etag", tag);
    }
    Ok(answer)
}
