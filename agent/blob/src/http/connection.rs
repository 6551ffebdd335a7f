//! Opening connections to a store, through a proxy where one leads there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use socket2::SockRef;
use tower_service::Service;

use super::causes::innermost;
use super::connect_failure::{ConnectFailure, ProxyProblem};
use super::noted_stream::NotedStream;
use super::proxy::{Proxies, Proxy};
use super::tunnel;

/// A server that does not answer a connection attempt within this is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An idle connection that a firewall has forgotten is noticed after a few of these.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Bytes that the kernel holds of one connection and has not sent yet. Without a limit it takes a whole body, and what it
/// takes says nothing about the link any more; this much keeps the link busy between two writes.
const UNSENT_BYTES_MAX: u32 = 256 << 10;

/// Opens connections, through a proxy where one leads to the host.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
}

impl Connector {
    pub(super) fn new(proxies: Arc<Proxies>) -> Self {
        let mut tcp = HttpConnector::new();
        // TLS is put around it.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(KEEPALIVE_INTERVAL));
        Connector { tcp, proxies }
    }

    /// Opens a connection to a host, or to the proxy in its place.
    fn open(&mut self, target: Uri) -> impl Future<Output = Result<NotedStream, BoxError>> + Send + use<> {
        let connecting = self.tcp.call(target);
        async move {
            let stream = connecting.await?;
            // Where the kernel does not know it, it takes more at once.
            let _ = SockRef::from(stream.inner()).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
            Ok(NotedStream::new(stream))
        }
    }

    /// Opens one through a proxy: a tunnel to what speaks TLS. What does not is asked of the proxy itself.
    fn open_through(&mut self, proxy: Proxy, target: &Uri) -> impl Future<Output = Result<NotedStream, BoxError>> + Send + use<> {
        let is_https = target.scheme_str() == Some("https");
        let authority = authority_of(target);
        let connecting = proxy.uri().parse().map(|uri| self.open(uri));
        async move {
            let unreachable = |why: String| ConnectFailure::Proxy {
                proxy: proxy.to_string(),
                target: authority.clone(),
                problem: ProxyProblem::Unreachable(why),
            };
            let stream = match connecting {
                Ok(connecting) => connecting.await.map_err(|error| unreachable(innermost(&*error)))?,
                Err(error) => return Err(unreachable(error.to_string()).into()),
            };
            match is_https {
                true => Ok(tunnel::open(stream, &proxy, &authority).await?),
                false => Ok(stream.proxied()),
            }
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = NotedStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<NotedStream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let is_https = target.scheme_str() == Some("https");
        let proxies = self.proxies.clone();
        match proxies.proxy_to(is_https, target.host().unwrap_or_default(), port_of(&target)) {
            Ok(None) => Box::pin(self.open(target)),
            Ok(Some(proxy)) => Box::pin(self.open_through(proxy.clone(), &target)),
            Err(error) => Box::pin(std::future::ready(Err(ConnectFailure::from(error).into()))),
        }
    }
}

/// The port of a host, also where the address leaves it out.
pub(super) fn port_of(target: &Uri) -> u16 {
    let known = if target.scheme_str() == Some("https") { 443 } else { 80 };
    target.port_u16().unwrap_or(known)
}

/// HOST:PORT, always with the port.
pub(super) fn authority_of(target: &Uri) -> String {
    format!("{}:{}", target.host().unwrap_or_default(), port_of(target))
}
