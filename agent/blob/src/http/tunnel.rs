//! A tunnel through an HTTP proxy: CONNECT, and from its answer on the bytes of the connection are the target's.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, PROXY_AUTHORIZATION};
use hyper::http::Request;

use super::connect_failure::{ConnectFailure, ProxyProblem};
use super::noted_stream::NotedStream;
use super::proxy::Proxy;

/// Longest answer to CONNECT, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Has the proxy at the other end of a connection lead to `target`, as HOST:PORT.
pub(super) async fn open(stream: NotedStream, proxy: &Proxy, target: &str) -> Result<NotedStream, ConnectFailure> {
    let failed = |problem| ConnectFailure::Proxy { proxy: proxy.to_string(), target: target.to_owned(), problem };
    let broken = |error: hyper::Error| failed(ProxyProblem::Broken(error.to_string()));
    let handshake = http1::Builder::new().max_buf_size(ANSWER_BYTES_MAX).handshake(stream).await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    // It ends with the answer, or when `sender` is dropped.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::connect(target).header(HOST, target);
    if let Some(authorization) = &proxy.authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let unwritten = || failed(ProxyProblem::Broken("the request cannot be written".to_owned()));
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| unwritten())?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    if !answer.status().is_success() {
        let (status, had_password) = (answer.status().as_u16(), proxy.authorization.is_some());
        return Err(failed(ProxyProblem::Answered { status, had_password }));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(broken)?;
    let parts = upgraded.downcast::<NotedStream>().map_err(|_| unwritten())?;
    if !parts.read_buf.is_empty() {
        // A TLS server says nothing before it is asked.
        return Err(failed(ProxyProblem::Broken("it said more than that there is a tunnel".to_owned())));
    }
    Ok(parts.io)
}
