//! Counting requests and the time that they took.

use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

/// A layer that counts each request, by method and status.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    metrics::counter!("drive_agent_http_requests_total", "method" => method, "status" => status).increment(1);
    metrics::histogram!("drive_agent_http_request_seconds", "method" => method).record(started.elapsed().as_secs_f64());
    response
}
