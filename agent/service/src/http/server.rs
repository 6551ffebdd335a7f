//! From a socket to the router: HTTP/1.1, in the clear or under TLS, with limits on what one connection may take.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::access::Peer;
use super::connections::{Connections, OpenConnection};

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long requests under way may take to finish when the service stops.
const GRACE: Duration = Duration::from_secs(5);

/// Longest head of a request, in bytes: a token of Entra ID has a few thousand.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Pause after an accept failed: there may be no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates cannot be used.
    #[error("the certificates in `{0}` cannot be used: {1}")]
    Certificates(String, String),
    /// The private key cannot be used.
    #[error("the private key in `{0}` cannot be used: {1}")]
    Key(String, String),
    /// Certificates and key do not belong together.
    #[error("certificates and key do not go together: {0}")]
    Together(String),
}

/// TLS with certificates and their key, both in PEM.
///
/// # Errors
/// When a file cannot be used.
pub fn tls(certificates: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let shown = |path: &Path| path.display().to_string();
    let failed = |error: &dyn std::fmt::Display| TlsError::Certificates(shown(certificates), error.to_string());
    let chain = CertificateDer::pem_file_iter(certificates).map_err(|error| failed(&error))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
    if chain.is_empty() {
        return Err(failed(&"there is none in it"));
    }
    // A group of its own (ssl-cert) may read it.
    let mode = std::fs::metadata(key).map_err(|error| TlsError::Key(shown(key), error.to_string()))?.permissions().mode();
    if mode & 0o027 != 0 {
        return Err(TlsError::Key(shown(key), "others may read or change it: take the right away with `chmod 600`".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key(shown(key), error.to_string()))?;
    let together = |error: tokio_rustls::rustls::Error| TlsError::Together(error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(together)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(together)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Connections that wait to be accepted. Where there are more, the next ones try again after a second, then after two.
const BACKLOG: u32 = 4096;

/// Listens on an address.
///
/// # Errors
/// When it is taken, or no address of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A service that was just stopped leaves connections behind, which keep the address for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Where requests through the socket of this machine come from.
const OF_THIS_MACHINE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A connection that was just opened, and where from.
async fn accept(listener: &TcpListener, local: &UnixListener) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
    tokio::select! {
        accepted = listener.accept() => {
            let (stream, peer) = accepted?;
            // Small answers must not wait for the acknowledgement of the one before.
            let _ = stream.set_nodelay(true);
            Ok((Box::new(stream), peer))
        }
        accepted = local.accept() => Ok((Box::new(accepted?.0), OF_THIS_MACHINE)),
    }
}

/// Serves on an address, and on a socket of this machine, until `closing` is cancelled, then lets requests under way end.
/// At most `connections_max` are open at once: `connections` says which one is closed where there are more.
pub async fn serve(
    listener: TcpListener,
    local: UnixListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    connections_max: usize,
    closing: CancellationToken,
) {
    let open = Arc::new(Connections::new(connections_max));
    let (graceful, connections) = (GracefulShutdown::new(), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &local) => accepted,
            () = closing.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
        let connection = tokio::select! {
            connection = open.open(peer.ip()) => connection,
            () = closing.cancelled() => break,
        };
        connections.spawn(async move {
            let served = async {
                match handshake(stream, tls).await {
                    Ok(stream) => serve_connection(stream, peer, &connection, router, watcher).await,
                    Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
                }
            };
            tokio::select! {
                () = served => {}
                () = connection.closing.cancelled() => tracing::debug!(%peer, "a connection was closed to make room"),
            }
        });
    }
    drop((listener, local));
    connections.close();
    let ended = async { tokio::join!(graceful.shutdown(), connections.wait()) };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!(count = connections.len(), "connections were still open when the service stopped");
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn handshake(stream: Box<dyn Stream>, tls: Option<TlsAcceptor>) -> io::Result<Box<dyn Stream>> {
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(WRITE_TIMEOUT));
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await;
    Ok(Box::new(shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??))
}

async fn serve_connection(
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    connection: &OpenConnection,
    router: Router,
    watcher: Watcher,
) {
    let handle = connection.handle();
    let service = tower::service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(handle.clone());
        let router = router.clone();
        async move {
            // One request at a time of each connection: who sends thousands at once waits for all others in between.
            tokio::task::yield_now().await;
            router.oneshot(request.map(axum::body::Body::new)).await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // A client that hangs up is not worth a log line.
    let _ = watcher.watch(connection).await;
}
