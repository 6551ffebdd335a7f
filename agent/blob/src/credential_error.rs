//! Why no credentials were found. Never carries one.

use url::Url;

use crate::http::certificates::TransportError;
use crate::http::hosts::{HostRefusal, NotAHost};
use crate::http::proxy::ProxyError;

/// Why no credentials were found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A text that is not a connection string.
    #[error("AZURE_STORAGE_CONNECTION_STRING cannot be used: {0}")]
    ConnectionString(&'static str),
    /// TLS cannot be set up.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// What should lead there is not a proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A key that is not base64.
    #[error("the account key in {0} is not base64: copy it whole")]
    Key(&'static str),
    /// `az://` without an account.
    #[error("an az:// address needs an account: set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT")]
    NoAccount,
    /// There is no credential at all, and tokens are not sent in the clear.
    #[error(
        "there are no credentials for the account `{0}`, and Entra ID is only for https: set AZURE_STORAGE_CONNECTION_STRING, or \
         AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or put a SAS into the address"
    )]
    None(String),
    /// A credential of another account.
    #[error("{credential} is for the account `{own}`, and the address is of the account `{account}`: correct one of the two")]
    OtherAccount {
        /// What it is, and where it was found.
        credential: &'static str,
        /// The account that it is for.
        own: String,
        /// The account of the address.
        account: String,
    },
    /// A credential is not for the host of the address.
    #[error(
        "{credential} is not sent to `{host}`, which is not known to be its own host: correct the address, or trust the host"
    )]
    OtherHost {
        /// What it is, and where it was found.
        credential: &'static str,
        /// The host, with its port where that is not the scheme's.
        host: String,
    },
    /// A credential would be read by others on the way.
    #[error(
        "{credential} is not sent to `{host}` in the clear, where others could read it on the way: write https in place of http"
    )]
    PlainHttp {
        /// What it is, and where it was found.
        credential: &'static str,
        /// The host, with its port where that is not the scheme's.
        host: String,
    },
    /// A text that is not a host.
    #[error("DRIVE_AGENT_TRUST_HOST cannot be used: {0}")]
    TrustedHost(#[from] NotAHost),
    /// A variable that should name an endpoint of S3 does not.
    #[error("{0} does not name an endpoint: write https://HOST[:PORT], or http://HOST:PORT for a server on this machine")]
    S3Endpoint(&'static str),
    /// A region that cannot be one.
    #[error("AWS_REGION does not name a region, such as eu-west-1")]
    S3Region,
    /// There are no credentials for S3.
    #[error(
        "there are no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`aws configure export-credentials --format env` prints them)"
    )]
    NoS3Credentials,
    /// A credential for S3 is not complete, or has letters that none has.
    #[error("the credentials for S3 in the environment cannot be used: {0}")]
    S3Credentials(&'static str),
    /// A text that should name an endpoint of Google Cloud Storage does not.
    #[error(
        "STORAGE_EMULATOR_HOST, or `--gcs-endpoint`, does not name an endpoint: write https://HOST[:PORT], or http://HOST:PORT for a server on this machine"
    )]
    GcsEndpoint,
    /// There are no credentials for Google Cloud Storage.
    #[error(
        "there are no credentials for Google Cloud Storage: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key, or sign in with `gcloud auth application-default login`"
    )]
    NoGcsCredentials,
    /// A file of credentials for Google Cloud Storage cannot be used.
    #[error("the credentials for Google Cloud Storage cannot be used: {0}")]
    GcsCredentials(&'static str),
    /// The identity library refused.
    #[error("Entra ID cannot be used: {0}")]
    Entra(String),
}

impl CredentialError {
    /// The refusal of a host, as an error.
    pub(crate) fn of_host(refusal: HostRefusal, credential: &'static str, endpoint: &Url) -> Self {
        let host = endpoint.host_str().unwrap_or_default();
        let host = endpoint.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        match refusal {
            HostRefusal::OtherHost => CredentialError::OtherHost { credential, host },
            HostRefusal::PlainHttp => CredentialError::PlainHttp { credential, host },
        }
    }

    /// The host that has to be trusted to be given the credential, where that is what is missing.
    pub fn untrusted_host(&self) -> Option<&str> {
        match self {
            CredentialError::OtherHost { host, .. } => Some(host),
            _ => None,
        }
    }
}
