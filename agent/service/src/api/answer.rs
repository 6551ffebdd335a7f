//! Answers: documents, and errors with their body.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::arm::{BodyError, ErrorResponse, FieldProblem, FilterError};
use serde::Serialize;

use crate::http::body::BodyReadError;
use crate::jobs::JobError;
use crate::store::StoreError;
use crate::vault::VaultError;

/// An error as the client gets it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: u16,
    code: &'static str,
    message: String,
    target: Option<String>,
    problems: Vec<FieldProblem>,
    /// The methods that the path takes, where the one that came is not among them.
    allowed: Option<&'static str>,
}

impl ApiError {
    pub(super) fn new(status: u16, code: &'static str, message: String) -> Self {
        ApiError { status, code, message, target: None, problems: Vec::new(), allowed: None }
    }

    /// A path that does not take this method.
    pub(super) fn not_allowed(method: &Method, path: &str, allowed: &'static str) -> Self {
        let message = format!("`{path}` takes {allowed}, not {method}");
        ApiError { allowed: Some(allowed), ..Self::new(405, "MethodNotAllowed", message) }
    }

    pub(super) fn too_many_requests() -> Self {
        let message = "too many requests or connections: wait a second, and ask less often".to_owned();
        Self::new(429, "TooManyRequests", message)
    }

    /// An error about one field or parameter.
    pub(super) fn at(status: u16, code: &'static str, message: String, target: &str) -> Self {
        ApiError { target: Some(target.to_owned()), ..Self::new(status, code, message) }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        if let StoreError::Vault(VaultError::Sealed) = error {
            tracing::error!(error = message, "a key of a drive cannot be opened");
            // Another attempt would not help.
            let message =
                "the keys of this job cannot be opened: they were sealed with another key file than the `vault.key` that the \
                           service has now; an operator has to bring back the one that belongs to its database"
                    .to_owned();
            return ApiError::new(500, "KeyNotAvailable", message);
        }
        // What failed inside is for the log, not for a customer.
        if error.is_internal() {
            tracing::error!(error = message, "the store failed");
            let message = "the job service cannot reach its jobs: try again in a while".to_owned();
            return ApiError::new(503, "ServiceUnavailable", message);
        }
        match error {
            StoreError::NotFound(_) => ApiError::new(404, "ResourceNotFound", message),
            StoreError::Changed | StoreError::Exists => ApiError::new(412, "PreconditionFailed", message),
            StoreError::Refused(refusal) => ApiError::new(refusal.status(), refusal.code(), message),
            StoreError::BayTaken { .. } => ApiError::new(409, "BayTaken", message),
            StoreError::NotNow(_) => ApiError::new(409, "OrderRefused", message),
            StoreError::JobNameTaken(_) => ApiError::at(409, "JobNameTaken", message, "jobName"),
            StoreError::TooManyJobs { .. } => ApiError::new(409, "QuotaExceeded", message),
            StoreError::Unstorable => ApiError::new(400, "InvalidText", message),
            StoreError::NameTaken(_) => ApiError::new(409, "NameTaken", message),
            StoreError::WrittenOnce(field) => ApiError::at(409, "PropertyChangeNotAllowed", message, field),
            _ => ApiError::new(503, "ServiceUnavailable", message),
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        let message = error.to_string();
        match error {
            JobError::Fields(problems) => ApiError { problems, ..Self::new(400, "InvalidField", message) },
            JobError::InvalidName(_) => ApiError::at(400, "InvalidJobName", message, "jobName"),
            JobError::UnknownLocation { .. } => ApiError::at(400, "LocationNotFound", message, "location"),
            JobError::UnreachableAccount(_) => {
                ApiError::at(400, "StorageAccountNotFound", message, "properties.storageAccountId")
            }
            JobError::Refused(_) => ApiError::new(409, "OrderRefused", message),
            JobError::Failed(_) | JobError::Unavailable => ApiError::new(502, "OrderFailed", message),
            JobError::Store(error) => error.into(),
        }
    }
}

impl From<BodyReadError> for ApiError {
    fn from(error: BodyReadError) -> Self {
        let (status, code) = match error {
            BodyReadError::Timeout => (408, "RequestTimeout"),
            BodyReadError::TooLarge(_) => (413, "RequestTooLarge"),
            BodyReadError::Broken => (400, "BodyBroken"),
        };
        ApiError::new(status, code, error.to_string())
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            BodyError::NoJson(_) => ApiError::new(400, code, message),
            BodyError::WrongField { target, .. } => ApiError::at(400, code, message, &target),
        }
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        ApiError::at(400, "InvalidFilter", error.to_string(), "$filter")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorResponse::of_problems(&self.problems)
            .unwrap_or_else(|| ErrorResponse::new(self.code, self.message, self.target.as_deref()));
        let mut response = document(self.status, &body).unwrap_or_else(|_| Response::new(Body::empty()));
        match self.status {
            401 => drop(response.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer"))),
            429 | 503 => drop(response.headers_mut().insert("retry-after", HeaderValue::from_static("1"))),
            _ => {}
        }
        if let Some(allowed) = self.allowed {
            response.headers_mut().insert("allow", HeaderValue::from_static(allowed));
        }
        response
    }
}

/// A JSON document, never cached.
pub(super) fn document(status: u16, value: &impl Serialize) -> Result<Response, ApiError> {
    let failed = |error: String| ApiError::new(500, "InternalError", error);
    let bytes = serde_json::to_vec(value).map_err(|error| failed(error.to_string()))?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::from_u16(status).map_err(|error| failed(error.to_string()))?;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&format!("{:032x}", rand::random::<u128>())) {
        headers.insert("x-ms-request-id", id);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_cannot_be_opened_is_not_asked_for_again() {
        let error = ApiError::from(StoreError::Vault(VaultError::Sealed));
        assert_eq!((error.status, error.code), (500, "KeyNotAvailable"));
        assert!(error.message.contains("`vault.key`") && !error.message.contains("try again"), "{}", error.message);
        assert_eq!(ApiError::from(StoreError::Contended).status, 503);
    }
}
