//! Whose certificates are trusted: the system's issuers, or those that SSL_CERT_FILE and SSL_CERT_DIR name in their place,
//! and those that were given beside them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longest file of certificates, in bytes: those of a system have 250 kB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Variables that name other issuers than the system's.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Why requests cannot be sent at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TransportError(String);

impl TransportError {
    fn new(text: &str) -> Self {
        TransportError(text.to_owned())
    }
}

/// Why a file of certificates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificates in `{}` cannot be used: {why}", .path.display())]
pub struct CertificatesError {
    path: PathBuf,
    why: String,
}

/// Issuers that are trusted beside the system's. The default has none.
#[derive(Debug, Clone, Default)]
pub struct Issuers(Vec<CertificateDer<'static>>);

impl Issuers {
    /// Reads the certificates of a file in PEM.
    ///
    /// # Errors
    /// When it cannot be read, has no certificate in it, or one that cannot be an issuer.
    pub fn read(path: &Path) -> Result<Self, CertificatesError> {
        let wrong = |why: String| CertificatesError { path: path.to_owned(), why };
        let mut bytes = Vec::new();
        let read = std::fs::metadata(path).and_then(|metadata| match metadata.is_file() {
            true => File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes),
            // A pipe would be waited for.
            false => Err(std::io::Error::other("it is not a file")),
        });
        read.map_err(|error| wrong(error.to_string()))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(wrong(format!("it is longer than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        let all = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|error| wrong(format!("it is damaged: {error}")))?;
        if all.is_empty() {
            return Err(wrong("there is no certificate in it (PEM, between BEGIN CERTIFICATE and END CERTIFICATE)".to_owned()));
        }
        let mut store = RootCertStore::empty();
        for (index, certificate) in all.iter().enumerate() {
            let added = store.add(certificate.clone());
            added.map_err(|error| wrong(format!("number {} of them is not a certificate: {error}", index + 1)))?;
        }
        Ok(Issuers(all))
    }

    /// TLS that trusts the system's issuers and these.
    pub(super) fn client_config(&self) -> Result<ClientConfig, TransportError> {
        let provider = Arc::new(default_provider());
        let verifier = Verifier::new_with_extra_roots(self.0.iter().cloned(), provider.clone());
        let verifier = verifier.map_err(|error| TransportError::new(&with_variables(&error.to_string())))?;
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| TransportError::new(&error.to_string()))?;
        // It is the system's verifier with more issuers.
        Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
    }
}

/// What is said where no issuer is known, with the variables that replace the system's.
fn with_variables(error: &str) -> String {
    let set = VARIABLES.iter().filter_map(|name| Some(format!("{name} is `{}`", std::env::var(name).ok()?)));
    let set = set.collect::<Vec<_>>();
    match set.is_empty() {
        true => format!("{error}: install the system's (ca-certificates), or give some with `--ca FILE`"),
        false => format!("{error}: {}, in place of the system's, and nothing can be read there", set.join(", ")),
    }
}
