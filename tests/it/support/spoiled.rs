//! Bodies that a fake spoils, and what it reads of a request, whichever store it is.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;

/// A body that ends before its first byte.
pub fn broken() -> Body {
    Body::from_stream(futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]))
}

/// The same bytes with another first one.
pub fn flipped(bytes: &Bytes) -> Bytes {
    let mut changed = bytes.to_vec();
    if let Some(first) = changed.first_mut() {
        *first ^= 1;
    }
    changed.into()
}

/// An answer with another first byte.
pub async fn flipped_answer(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Response::from_parts(head, Body::from(flipped(&bytes)))
}

/// An answer that ends in its middle.
pub async fn short_answer(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let pieces = [Ok(bytes.slice(..bytes.len() / 2)), Err(std::io::Error::other("reset"))];
    Response::from_parts(head, Body::from_stream(futures::stream::iter(pieces)))
}

/// A page of something else than a store.
pub fn page_of_another(status: u16) -> Response {
    let page = Response::builder().status(status).header("content-type", "text/html");
    page.body(Body::from("<html>sign in</html>")).unwrap()
}

/// The parameters of a query.
pub fn parameters(uri: &Uri) -> HashMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').map_or((decode(pair), String::new()), |(name, value)| (decode(name), decode(value))))
        .collect()
}
