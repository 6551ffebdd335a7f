//! What the headers of an answer say, whichever store it is of.

use std::time::Duration;

use azure_core::http::headers::{HeaderName, Headers, RETRY_AFTER};

/// What every answer of a store has, and of its emulators; those of others have none of them.
const STORE_HEADERS: [&str; 5] =
    ["x-ms-request-id", "x-ms-version", "x-ms-error-code", "x-amz-request-id", "x-guploader-uploadid"];

/// Whether an answer with these headers is from the store.
pub(crate) fn is_from_store(has_header: impl Fn(&str) -> bool) -> bool {
    STORE_HEADERS.into_iter().any(has_header)
}

/// How long an answer asks to wait.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    headers.get_optional_str(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
}

/// An answer that is an error, in one sentence.
pub(crate) fn answer_text(status: u16, code: &str, text: Option<&str>, request_id: Option<&str>) -> String {
    let code = if code.is_empty() { "no code" } else { code };
    let text = text.map_or(String::new(), |text| format!(" \"{text}\""));
    let request = request_id.map_or(String::new(), |id| format!(" (request {id})"));
    format!("the server answered {status} {code}{text}{request}")
}

/// A header of an answer.
pub(crate) fn header<'headers>(headers: &'headers Headers, name: &'static str) -> Option<&'headers str> {
    headers.get_optional_str(&HeaderName::from_static(name))
}
