//! Counting requests and the time that they took.

use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

/// Calls of stations are held open until there is something to do: the time that they take says nothing of how fast answers are.
/// (Of a stream of events, only the time to its beginning counts.)
const HELD: &str = "/stations/v1/";

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
    let is_held = request.uri().path().starts_with(HELD);
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    metrics::counter!("drive_agent_http_requests_total", "method" => method, "status" => status).increment(1);
    if !is_held {
        metrics::histogram!("drive_agent_http_request_seconds", "method" => method).record(started.elapsed().as_secs_f64());
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_time_that_a_station_was_held_does_not_count_as_that_of_an_answer() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        for (method, path) in [("POST", "/stations/v1/hall-a/call"), ("GET", "/operator/v1/stations")] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let router = Router::new().fallback(async || ()).layer(from_fn(count));
            assert_eq!(router.oneshot(request).await.unwrap().status(), 200);
        }
        let rendered = recorder.handle().render();
        for counted in ["requests_total{method=\"POST\"", "requests_total{method=\"GET\"", "request_seconds_count{method=\"GET\""]
        {
            assert!(rendered.contains(counted), "{counted}: {rendered}");
        }
        assert!(!rendered.contains("request_seconds_count{method=\"POST\""), "{rendered}");
    }
}
