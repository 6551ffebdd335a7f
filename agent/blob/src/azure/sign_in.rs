//! Signing in to Entra ID: a client secret or a workload's token file from the environment, a managed identity, or the
//! user who is logged in to `az`.

use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use url::Url;

use crate::credential_error::CredentialError;

/// What carries the requests for tokens of Entra ID.
pub(super) struct TokenTransports {
    /// To the authority.
    pub(super) across: Transport,
    /// To the managed identity of this machine, which no proxy leads to.
    pub(super) of_machine: Transport,
}

/// Where tokens are asked for.
pub(super) fn host<'variable>(get: impl Fn(&str) -> Option<&'variable str>) -> Option<String> {
    let is_of_entra = get("AZURE_CLIENT_SECRET").is_some() || get("AZURE_FEDERATED_TOKEN_FILE").is_some();
    let is_managed = get("IDENTITY_ENDPOINT").is_some() || get("AZURE_CLIENT_ID").is_some();
    match () {
        // The library that asks reads the variable as well.
        () if is_of_entra => {
            let authority = std::env::var("AZURE_AUTHORITY_HOST").ok().and_then(|text| Url::parse(&text).ok());
            let host = authority.as_ref().and_then(Url::host_str).unwrap_or("login.microsoftonline.com");
            Some(format!("{host} (Entra ID)"))
        }
        () if is_managed => Some("this machine's managed identity".to_owned()),
        () => Some("the command `az`".to_owned()),
    }
}

/// What gets tokens, by the variables of the environment.
pub(super) fn credential<'variable>(
    get: impl Fn(&str) -> Option<&'variable str>,
    transports: &TokenTransports,
) -> Result<Arc<dyn TokenCredential>, CredentialError> {
    let refused = |error: azure_core::Error| CredentialError::Entra(error.to_string());
    // The one budget of the copy engine counts the tries of a sign-in as well.
    let options = |transport: &Transport| ClientOptions {
        transport: Some(transport.clone()),
        retry: RetryOptions::none(),
        ..Default::default()
    };
    let client_options = options(&transports.across);
    let (tenant, client) = (get("AZURE_TENANT_ID"), get("AZURE_CLIENT_ID"));
    if let (Some(tenant), Some(client), Some(secret)) = (tenant, client, get("AZURE_CLIENT_SECRET")) {
        let options = ClientSecretCredentialOptions { client_options };
        let secret = Secret::new(secret.to_owned());
        let credential = ClientSecretCredential::new(tenant, client.to_owned(), secret, Some(options)).map_err(refused)?;
        return Ok(credential);
    }
    if let Some(file) = get("AZURE_FEDERATED_TOKEN_FILE") {
        let options = WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions { client_options },
            client_id: client.map(str::to_owned),
            tenant_id: tenant.map(str::to_owned),
            token_file_path: Some(file.into()),
        };
        let credential = WorkloadIdentityCredential::new(Some(options)).map_err(refused)?;
        return Ok(credential);
    }
    if get("IDENTITY_ENDPOINT").is_some() || client.is_some() {
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: client.map(|client| UserAssignedId::ClientId(client.to_owned())),
            client_options: options(&transports.of_machine),
        };
        let credential = ManagedIdentityCredential::new(Some(options)).map_err(refused)?;
        return Ok(credential);
    }
    let credential = AzureCliCredential::new(None).map_err(refused)?;
    Ok(credential)
}
