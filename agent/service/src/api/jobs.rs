//! Jobs: create, read, list, change, delete, and their keys.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use protocol::arm::{Filter, PutJob, UpdateJob, UpdateProperties, is_job_name, read_body, validate_put, validate_update};
use protocol::job::{Event, Field, Job, JobKind, JobState};
use serde_json::json;

use super::answer::{ApiError, document};
use super::places::is_location;
use super::response::response;
use super::{Api, Call, bytes_of};
use crate::station::receipts;
use crate::store::{Change, JobKey, Scope, StoredJob};

/// Jobs of one page, where nobody says how many (the published limit).
const PAGE_JOBS_MAX: u32 = 100;

pub(super) async fn get(api: &Api, key: &JobKey) -> Result<Response, ApiError> {
    answer(api, 200, &api.store.get(key).await?)
}

pub(super) async fn put(api: &Api, call: &Call, body: Body, key: &JobKey) -> Result<Response, ApiError> {
    if !is_job_name(&key.name) {
        let message = format!("`{}` is no name for a job: 2 to 64 letters, digits, hyphens and underscores", key.name);
        return Err(ApiError::at(400, "InvalidJobName", message, "jobName"));
    }
    let body: PutJob = read_body(&bytes_of(body).await?)?;
    ApiError::of_problems(validate_put(&body))?;
    require_reachable(api, call, &body, &key.subscription)?;
    let put = api.store.put(key, &body, &change(api, call, "put a job")?).await?;
    api.station.wake();
    answer(api, if put.is_new { 201 } else { 200 }, &put.job)
}

/// The location and the account must be ones of this station.
fn require_reachable(api: &Api, call: &Call, body: &PutJob, subscription: &str) -> Result<(), ApiError> {
    let location = body.location.as_deref().unwrap_or_default();
    if !api.locations.iter().any(|known| is_location(known, location)) {
        let names: Vec<&str> = api.locations.iter().map(|location| location.name.as_str()).collect();
        let message = format!("there is no location `{location}`: it is one of `{}`", names.join("`, `"));
        return Err(ApiError::at(400, "LocationNotFound", message, "location"));
    }
    let id = body.properties.as_ref().and_then(|details| details.storage_account_id.as_deref()).unwrap_or_default();
    let account = id.rsplit('/').next().unwrap_or_default();
    // An account that the id puts into a subscription belongs to who may use that.
    let named = id.strip_prefix("/subscriptions/").and_then(|rest| rest.split('/').next()).unwrap_or(subscription);
    if !call.actor.may_use(named) || !api.accounts.iter().any(|known| known.may_be_used(account, subscription)) {
        // Whether it exists is nobody's business who may not use it.
        let message = format!("this station cannot reach a storage account `{account}` for this subscription");
        return Err(ApiError::at(400, "StorageAccountNotFound", message, "properties.storageAccountId"));
    }
    Ok(())
}

pub(super) async fn update(api: &Api, call: &Call, body: Body, key: &JobKey) -> Result<Response, ApiError> {
    let body: UpdateJob = read_body(&bytes_of(body).await?)?;
    ApiError::of_problems(validate_update(&body))?;
    let properties = body.properties.as_ref();
    let action = match (properties.and_then(|own| own.cancel_requested), properties.and_then(|own| own.state)) {
        (Some(true), _) => "asked for a cancel",
        (_, Some(JobState::Shipping)) => "shipped a job",
        _ => "changed a job",
    };
    let job = api.store.change(key, &change(api, call, action)?, |job| Ok(apply(job, body))).await?;
    api.station.wake();
    answer(api, 200, &job)
}

/// Writes what a PATCH has into a job, and gives the events that it means: changes first, so that what shipping
/// needs may come with it.
fn apply(job: &mut StoredJob, body: UpdateJob) -> Vec<Event> {
    let mut fields = Vec::new();
    if let Some(tags) = body.tags {
        job.tags = Some(tags);
        fields.push(Field::Tags);
    }
    let properties = body.properties.unwrap_or_default();
    let UpdateProperties { cancel_requested, state, return_address, return_shipping, delivery_package, .. } = properties;
    let details = &mut job.details;
    set(&mut details.return_address, return_address, Field::ReturnAddress, &mut fields);
    set(&mut details.return_shipping, return_shipping, Field::ReturnShipping, &mut fields);
    if let Some(count) = delivery_package.as_ref().and_then(|package| package.drive_count) {
        job.machine.expected_drives = usize::try_from(count).unwrap_or(1);
    }
    set(&mut details.delivery_package, delivery_package, Field::DeliveryPackage, &mut fields);
    set(&mut details.log_level, properties.log_level, Field::LogLevel, &mut fields);
    set(&mut details.backup_drive_manifest, properties.backup_drive_manifest, Field::BackupDriveManifest, &mut fields);
    if let Some(drives) = &properties.drive_list
        && job.machine.kind == JobKind::Import
    {
        let ids = drives.iter().filter_map(|drive| drive.drive_id.clone());
        job.machine.drives = Job::new(JobKind::Import, ids, job.modified_at).drives;
    }
    // The drives of an export are known when they come.
    let drives = properties.drive_list.filter(|_| job.machine.kind == JobKind::Import);
    let drives = drives.map(|drives| drives.iter().map(protocol::arm::DriveStatus::of_customer).collect());
    set(&mut details.drive_list, drives, Field::DriveList, &mut fields);
    let mut events = Vec::new();
    if !fields.is_empty() {
        events.push(Event::Change(fields));
    }
    if state == Some(JobState::Shipping) {
        events.push(Event::Ship);
    }
    if cancel_requested == Some(true) {
        events.push(Event::Cancel);
    }
    events
}

fn set<T>(slot: &mut Option<T>, value: Option<T>, field: Field, fields: &mut Vec<Field>) {
    if value.is_some() {
        *slot = value;
        fields.push(field);
    }
}

pub(super) async fn delete(api: &Api, call: &Call, key: &JobKey) -> Result<Response, ApiError> {
    api.store.change(key, &change(api, call, "deleted a job")?, |_| Ok(vec![Event::Delete])).await?;
    api.station.wake();
    let mut response = document(200, &())?;
    *response.body_mut() = Body::empty();
    response.headers_mut().remove("content-type");
    Ok(response)
}

/// What moved of every drive.
pub(super) async fn receipts_of(api: &Api, key: &JobKey) -> Result<Response, ApiError> {
    let job = api.store.get(key).await?;
    document(200, &receipts(&job, |drive| api.station.progress(&job.uid, drive).is_some()))
}

pub(super) async fn keys(api: &Api, call: &Call, key: &JobKey) -> Result<Response, ApiError> {
    let keys = api.store.keys(key).await?;
    // Who looked at keys is written down.
    api.store.change(key, &change(api, call, "read the keys of a job")?, |_| Ok(Vec::new())).await?;
    let key = |(drive_id, key): (String, String)| json!({ "driveId": drive_id, "bitLockerKey": key });
    document(200, &json!({ "value": keys.into_iter().map(key).collect::<Vec<_>>() }))
}

pub(super) async fn list(
    api: &Api,
    call: &Call,
    subscription: Option<String>,
    resource_group: Option<String>,
) -> Result<Response, ApiError> {
    let top = match call.parameter("$top").map(str::parse::<u32>) {
        None => PAGE_JOBS_MAX,
        Some(Ok(top)) if (1..=PAGE_JOBS_MAX).contains(&top) => top,
        Some(_) => {
            let message = format!("`$top` is a number from 1 to {PAGE_JOBS_MAX}");
            return Err(ApiError::at(400, "InvalidTop", message, "$top"));
        }
    };
    let filter_text = call.parameter("$filter").unwrap_or_default();
    let filter: Filter = filter_text.parse()?;
    let after = match call.parameter("$skiptoken").map(str::parse::<i64>) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(_)) => {
            return Err(ApiError::at(400, "InvalidSkipToken", "`$skiptoken` comes from a `nextLink`".to_owned(), "$skiptoken"));
        }
    };
    let page = api.store.list(&Scope { subscription, resource_group, search: None }, &filter, top, after).await?;
    let summary = |job: &StoredJob| {
        let mut job = response(api, job);
        // A list has summaries, as the real service's has.
        job.properties.drive_list = None;
        job.properties.export = None;
        job
    };
    let mut body = json!({ "value": page.jobs.iter().map(summary).collect::<Vec<_>>() });
    if let Some(next) = page.next {
        let mut link = form_urlencoded::Serializer::new(String::new());
        if let Some(version) = call.parameter("api-version") {
            link.append_pair("api-version", version);
        }
        link.append_pair("$top", &top.to_string()).append_pair("$skiptoken", &next.to_string());
        if !filter_text.is_empty() {
            link.append_pair("$filter", filter_text);
        }
        body["nextLink"] = format!("{}{}?{}", call.base, call.path, link.finish()).into();
    }
    document(200, &body)
}

fn change<'call>(api: &Api, call: &'call Call, action: &'static str) -> Result<Change<'call>, ApiError> {
    Ok(Change { actor: &call.actor.name, action, version: if_match(&call.headers)?, now: api.station.now() })
}

/// The version that `If-Match` names; any, where it is absent or `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(header) = headers.get("if-match") else { return Ok(None) };
    let text = header.to_str().unwrap_or_default().trim();
    match text.trim_matches('"').parse() {
        _ if text == "*" => Ok(None),
        Ok(version) => Ok(Some(version)),
        // Not one of ours, so not this one.
        Err(_) => Err(ApiError::new(412, "PreconditionFailed", "the job has another ETag: read it again".to_owned())),
    }
}

fn answer(api: &Api, status: u16, job: &StoredJob) -> Result<Response, ApiError> {
    let mut answer = document(status, &response(api, job))?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", job.version)) {
        answer.headers_mut().insert("etag", tag);
    }
    Ok(answer)
}
