//! Answers.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

/// The name of every request.
pub const REQUEST_ID: &str = "AHmUCY0_fake-1";

/// An error.
pub(super) fn refuse(status: u16, code: &str) -> Response {
    let body = format!(
        "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>The fake says {code}. More.</Message></Error>"
    );
    answer(status, &[("content-type", "application/xml; charset=UTF-8")], Body::from(body))
}

/// A success with a document.
pub(super) fn document(body: String) -> Response {
    answer(200, &[("content-type", "application/xml; charset=UTF-8")], Body::from(body))
}

/// An answer with what every one of Google's has. A header that comes twice is sent twice.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: Body) -> Response {
    let mut response = Response::builder().status(status).header("x-guploader-uploadid", REQUEST_ID).body(body).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    response
}
