//! TLS in front of a server on loopback, with certificates of an issuer of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use time::{Duration, OffsetDateTime};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An issuer of certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A front whose certificate is good now.
    pub fn front(&self, name: &str, server_port: u16) -> TlsFront {
        self.front_of(name, server_port, [Duration::days(-1), Duration::days(1)])
    }

    /// A front with the certificate of the authority itself, as people make them in one step.
    pub fn front_of_itself(server_port: u16) -> TlsFront {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        TlsFront::with(certificate.der().clone(), &key, server_port)
    }

    /// A front whose certificate is good between these times from now.
    pub fn front_of(&self, name: &str, server_port: u16, [begins, ends]: [Duration; 2]) -> TlsFront {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now + begins, now + ends);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        TlsFront::with(certificate.der().clone(), &key, server_port)
    }
}

/// It runs until the test ends.
pub struct TlsFront {
    pub port: u16,
    handshakes: Arc<AtomicUsize>,
}

impl TlsFront {
    fn with(certificate: CertificateDer<'static>, key: &KeyPair, server_port: u16) -> Self {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        TlsFront::start(Arc::new(config), server_port)
    }

    fn start(config: Arc<ServerConfig>, server_port: u16) -> Self {
        let handshakes = Arc::<AtomicUsize>::default();
        let (sender, receiver) = std::sync::mpsc::channel();
        let begun = handshakes.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap().port()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let acceptor = TlsAcceptor::from(config.clone());
                    tokio::spawn(async move {
                        let Ok(mut client) = acceptor.accept(stream).await else { return };
                        let mut server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    });
                }
            });
        });
        TlsFront { port: receiver.recv().unwrap(), handshakes }
    }

    /// How many connections were begun.
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::SeqCst)
    }
}
