//! The connection to one account: transport, credentials, API version.

use std::sync::Arc;

use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{ClientOptions, HttpClient, RetryOptions, Transport};
use azure_storage_blob::{
    BlobClient, BlobClientOptions, BlobContainerClient, BlobContainerClientOptions, BlobServiceClient, BlobServiceClientOptions,
};
use url::Url;

use super::checksums::ChecksumChoice;
use super::credentials::Proof;
use super::error::{Credentials, from_sdk};
use super::foreign_answer::StoreClient;
use super::sas::Sas;
use super::shared_key::SharedKey;
use super::sign_in::TokenTransports;
use crate::address::AzureAddress;
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::error::BlobError;
use crate::http::bounded::{ANSWER_BYTES_MAX, BoundedClient, TOKEN_ANSWER_BYTES_MAX};
use crate::http::network::Network;
use crate::http::transport::transport;

/// REST version sent with every request. It has all that we use; newer ones would shut out emulators
/// and older private clouds for nothing.
const API_VERSION: &str = "2023-11-03";

/// How one account is reached. Shared by all its blobs, so that connections and tokens are too.
pub struct AzureAccount {
    transport: Transport,
    authorization: Option<Arc<dyn Policy>>,
    sas: Option<String>,
    credentials: Credentials,
    pub(super) checksums: ChecksumChoice,
}

impl AzureAccount {
    /// Prepares to reach the account of `address`. Nothing is sent yet.
    pub fn new(address: &AzureAddress, environment: &Environment, network: &Network) -> Result<Arc<Self>, CredentialError> {
        network.tell_proxy(&address.endpoint)?;
        let bounded = |client: &Arc<dyn HttpClient>, limit_bytes| {
            Transport::new(Arc::new(BoundedClient { inner: client.clone(), limit_bytes }))
        };
        let client = transport(network)?;
        let for_tokens = TokenTransports {
            across: bounded(&client, TOKEN_ANSWER_BYTES_MAX),
            of_machine: bounded(&transport(&network.without_proxy())?, TOKEN_ANSWER_BYTES_MAX),
        };
        let mut sign_in_host = None;
        let (authorization, sas) = match environment.proof_for(address, &for_tokens)? {
            Proof::Sas(sas) => (None, Some(sas)),
            Proof::SharedKey { account, key } => (Some(Arc::new(SharedKey::new(account, key)) as Arc<dyn Policy>), None),
            Proof::Entra(credential) => {
                sign_in_host = environment.sign_in_host();
                let scopes = ["https://storage.azure.com/.default"];
                (Some(Arc::new(BearerTokenAuthorizationPolicy::new(credential, scopes)) as Arc<dyn Policy>), None)
            }
        };
        Ok(Arc::new(AzureAccount {
            transport: bounded(&(Arc::new(StoreClient(client)) as Arc<dyn HttpClient>), ANSWER_BYTES_MAX),
            authorization,
            credentials: Credentials { sas: sas.as_deref().map(Sas::parse), sign_in_host },
            sas,
            checksums: ChecksumChoice::default(),
        }))
    }

    /// The shared access signature that it is reached with, where it is one.
    pub(super) fn sas(&self) -> Option<&Sas> {
        self.credentials.sas.as_ref()
    }

    /// Names a failed request by what the caller can do.
    pub(crate) fn error(&self, operation: &'static str, address: &str, error: &azure_core::Error) -> BlobError {
        from_sdk(operation, address, error, &self.credentials)
    }

    /// A client for one blob.
    pub(super) fn client(&self, url: Url) -> azure_core::Result<BlobClient> {
        let options = BlobClientOptions { client_options: self.client_options(), version: API_VERSION.to_owned() };
        BlobClient::new(self.signed(url), None, Some(options))
    }

    /// A client for the container of an address.
    pub(crate) fn container(&self, address: &AzureAddress) -> azure_core::Result<BlobContainerClient> {
        let mut url = address.endpoint.clone();
        url.set_path(&format!("{}/{}", url.path().trim_end_matches('/'), address.container));
        let options = BlobContainerClientOptions { client_options: self.client_options(), version: API_VERSION.to_owned() };
        BlobContainerClient::new(self.signed(url), None, Some(options))
    }

    /// A client for the whole account of an address.
    pub(crate) fn service(&self, address: &AzureAddress) -> azure_core::Result<BlobServiceClient> {
        let options = BlobServiceClientOptions { client_options: self.client_options(), version: API_VERSION.to_owned() };
        BlobServiceClient::new(self.signed(address.endpoint.clone()), None, Some(options))
    }

    fn signed(&self, mut url: Url) -> Url {
        if let Some(sas) = &self.sas {
            let query = url.query().map_or_else(|| sas.clone(), |past| format!("{past}&{sas}"));
            url.set_query(Some(&query));
        }
        url
    }

    fn client_options(&self) -> ClientOptions {
        ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(self.transport.clone()),
            per_try_policies: self.authorization.iter().cloned().collect(),
            ..Default::default()
        }
    }
}
