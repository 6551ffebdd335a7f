//! Answers.

use axum::body::Body;
use axum::response::Response;

pub(super) use crate::support::xml_text::{between, encoded, escaped, unescaped};

/// The name of every request.
pub const REQUEST_ID: &str = "4442587FB7D0A2F9";

/// An error.
pub(super) fn refuse(status: u16, code: &str) -> Response {
    refuse_with(status, code, "")
}

/// An error with more in it.
pub(super) fn refuse_with(status: u16, code: &str, more: &str) -> Response {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>The fake says {code}. More.</Message>{more}</Error>");
    answer(status, &[("content-type", "application/xml")], Body::from(body))
}

/// A success with a document.
pub(super) fn document(body: String) -> Response {
    answer(200, &[("content-type", "application/xml")], Body::from(body))
}

/// An answer with what every one of S3 has.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: Body) -> Response {
    let mut response = Response::builder().status(status).header("x-amz-request-id", REQUEST_ID);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}
