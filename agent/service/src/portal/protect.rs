//! What every answer of the portal is protected by: where forms may come from, the headers, and a limit for clients that are not logged in.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::extract::viewer_of;
use super::page::{self, PageError};
use crate::state::ServiceState;

/// Refuses what another site sends. Answers carry scripts and styles from here alone, no frames, nothing kept in caches.
pub(super) async fn protect(State(state): State<Arc<ServiceState>>, request: Request, next: Next) -> Response {
    let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
    let own_headers = request.headers().clone();
    let mut response = match is_reading || is_from_here(request.headers(), state.public_url.as_deref()) {
        true => next.run(request).await,
        false => {
            let message = "the form was sent by another site: open the portal, and send it from there".to_owned();
            PageError::Message(StatusCode::FORBIDDEN, message).into_response()
        }
    };
    if page::has_failed(&response)
        && let Ok(viewer) = viewer_of(&state, &own_headers).await
    {
        response = page::with_navigation(response, viewer);
    }
    let headers = response.headers_mut();
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'";
    headers.insert("content-security-policy", HeaderValue::from_static(policy));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("same-origin"));
    if state.is_https() {
        headers.insert("strict-transport-security", HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry("cache-control").or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses clients without a login that ask too often.
pub(super) async fn limit_anonymous(State(state): State<Arc<ServiceState>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match state.access.allows_anonymous(&parts) {
        true => next.run(Request::from_parts(parts, body)).await,
        false => {
            let message = "too many requests: wait a moment".to_owned();
            PageError::Message(StatusCode::TOO_MANY_REQUESTS, message).into_response()
        }
    }
}

/// Whether a request that changes something was sent by a page of this site, or by no browser. Browsers say so with
/// `Sec-Fetch-Site` (Fetch Metadata, section 2.3), older ones with `Origin` alone.
fn is_from_here(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_same_site = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let Some(origin) = text(ORIGIN.as_str()) else { return is_same_site };
    // The scheme differs behind a proxy that ends TLS.
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    let own =
        [text(HOST.as_str()), public_url.and_then(|url| Some(url.split_once("://")?.1.split('/').next().unwrap_or_default()))];
    is_same_site && !authority.is_empty() && own.into_iter().flatten().any(|own| own.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn forms_come_from_pages_of_this_site() {
        let is = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().chain(&[("host", "127.0.0.1:7070")]);
            let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_from_here(&headers.collect(), Some("https://jobs.example.com/x"))
        };
        assert!(is(&[]), "a program sent it");
        assert!(is(&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:7070")]));
        assert!(is(&[("origin", "https://127.0.0.1:7070")]), "a proxy ends TLS");
        assert!(is(&[("origin", "https://JOBS.example.com")]));
        for site in ["cross-site", "same-site", "", "x"] {
            assert!(!is(&[("sec-fetch-site", site)]), "{site}");
        }
        for origin in ["null", "", "http://evil.example", "http://127.0.0.1:7071", "https://jobs.example.com.evil.example"] {
            assert!(!is(&[("origin", origin)]), "{origin}");
        }
    }
}
