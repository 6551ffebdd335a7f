//! Paths of the published API: from method and path to a route. Fixed parts of a path match in any case, as at the real
//! service.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use super::answer::ApiError;
use crate::store::JobKey;

/// What a request of the published API is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Operations,
    Locations,
    Location(String),
    List { subscription: String, resource_group: Option<String> },
    GetJob(JobKey),
    PutJob(JobKey),
    UpdateJob(JobKey),
    DeleteJob(JobKey),
    ListKeys(JobKey),
    Receipts(JobKey),
    Events(JobKey),
}

impl Route {
    /// The subscription that the caller must be allowed to use.
    pub(super) fn subscription(&self) -> Option<&str> {
        match self {
            Route::Operations | Route::Locations | Route::Location(_) => None,
            Route::List { subscription, .. } => Some(subscription),
            Route::GetJob(key)
            | Route::PutJob(key)
            | Route::UpdateJob(key)
            | Route::DeleteJob(key)
            | Route::ListKeys(key)
            | Route::Receipts(key)
            | Route::Events(key) => Some(&key.subscription),
        }
    }
}

const PROVIDER: &str = "Microsoft.ImportExport";

/// The route of a method and a path.
///
/// # Errors
/// 404 for an unknown path, 405 where the path takes other methods.
pub(super) fn parse(method: &Method, path: &str) -> Result<Route, ApiError> {
    let nothing = || ApiError::new(404, "InvalidResourcePath", format!("there is nothing at `{path}`"));
    let mut segments = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).trim_end_matches('/').split('/') {
        segments.push(percent_decode_str(segment).decode_utf8().map_err(|_| nothing())?.into_owned());
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let only = |allowed: Method, route: Route| match *method == allowed || (*method == Method::HEAD && allowed == Method::GET) {
        true => Ok(route),
        false => Err(ApiError::not_allowed(method, path, if allowed == Method::GET { "GET, HEAD" } else { "POST" })),
    };
    let is = |text: &str, word: &str| text.eq_ignore_ascii_case(word);
    match segments.as_slice() {
        [providers, provider, rest @ ..] if is(providers, "providers") && is(provider, PROVIDER) => match rest {
            [word] if is(word, "operations") => only(Method::GET, Route::Operations),
            [word] if is(word, "locations") => only(Method::GET, Route::Locations),
            [word, name] if is(word, "locations") => only(Method::GET, Route::Location((*name).to_owned())),
            _ => Err(nothing()),
        },
        [word, subscription, providers, provider, jobs]
            if is(word, "subscriptions") && is(providers, "providers") && is(provider, PROVIDER) && is(jobs, "jobs") =>
        {
            only(Method::GET, Route::List { subscription: (*subscription).to_owned(), resource_group: None })
        }
        [word, subscription, groups, group, providers, provider, jobs, rest @ ..]
            if is(word, "subscriptions")
                && is(groups, "resourceGroups")
                && is(providers, "providers")
                && is(provider, PROVIDER)
                && is(jobs, "jobs") =>
        {
            let (subscription, resource_group) = ((*subscription).to_owned(), (*group).to_owned());
            let key = |name: &str| JobKey {
                subscription: subscription.clone(),
                resource_group: resource_group.clone(),
                name: name.to_owned(),
            };
            match rest {
                [] => only(Method::GET, Route::List { subscription, resource_group: Some(resource_group) }),
                [name] => of_job(method, path, key(name)),
                [name, action] if is(action, "listBitLockerKeys") => only(Method::POST, Route::ListKeys(key(name))),
                [name, word] if is(word, "receipts") => only(Method::GET, Route::Receipts(key(name))),
                [name, word] if is(word, "events") => only(Method::GET, Route::Events(key(name))),
                _ => Err(nothing()),
            }
        }
        _ => Err(nothing()),
    }
}

fn of_job(method: &Method, path: &str, key: JobKey) -> Result<Route, ApiError> {
    match *method {
        Method::GET | Method::HEAD => Ok(Route::GetJob(key)),
        Method::PUT => Ok(Route::PutJob(key)),
        Method::PATCH => Ok(Route::UpdateJob(key)),
        Method::DELETE => Ok(Route::DeleteJob(key)),
        _ => Err(ApiError::not_allowed(method, path, "GET, HEAD, PUT, PATCH, DELETE")),
    }
}
