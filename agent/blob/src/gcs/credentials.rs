//! Who we are at Google Cloud Storage: the file that GOOGLE_APPLICATION_CREDENTIALS names, the user who is signed in to
//! `gcloud`, or the machine. `object_store` obtains tokens; what it asks for goes over the transport of this crate, once and
//! without retries of its own.
//!
//! | endpoint | what is used |
//! |---|---|
//! | Google's | the file; else the user; else the machine |
//! | another one, which was given | the file; else nothing, as emulators take it |

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::RetryConfig;
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};

use super::error::GcsFailure;
use super::place::Place;
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::http::causes::innermost;
use crate::http::server_text::plain;
use crate::http::token_client::{TokenConnector, Ways};

/// Where `gcloud auth application-default login` puts what it obtained, below the home of the user.
const SIGNED_IN: &str = ".config/gcloud/application_default_credentials.json";

/// A file of credentials is a few thousand bytes long.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where tokens come from.
#[derive(Debug)]
pub(super) struct Credentials {
    /// `None` where requests are anonymous.
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    builder: GoogleCloudStorageBuilder,
    provider: Mutex<GcpCredentialProvider>,
    /// There were some: what fails later may pass.
    were_obtained: AtomicBool,
}

impl Credentials {
    /// As the environment says. Nothing is asked yet.
    ///
    /// # Errors
    /// When there are none, or what there is cannot be used.
    pub(super) fn of(environment: &Environment, place: &Place, ways: Ways) -> Result<Self, CredentialError> {
        let named = environment.get("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
        let has_machine = !environment.get("NO_GCE_CHECK").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let file = match named {
            Some(file) => Some(file),
            None if !place.is_google() => return Ok(Credentials { source: None }),
            None => std::env::home_dir().map(|home| home.join(SIGNED_IN)).filter(|file| file.exists()),
        };
        if file.is_none() && !has_machine {
            return Err(CredentialError::NoGcsCredentials);
        }
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        // The bucket is not used by what obtains tokens.
        let mut builder =
            GoogleCloudStorageBuilder::new().with_bucket_name("any").with_retry(retry).with_http_connector(TokenConnector(ways));
        if let Some(file) = &file {
            require_known(file)?;
            builder = builder.with_application_credentials(file.to_string_lossy());
        }
        let provider = provider(&builder).ok_or(CredentialError::GcsCredentials("the key in the file is not one"))?;
        let source = Source { builder, provider: Mutex::new(provider), were_obtained: AtomicBool::new(false) };
        Ok(Credentials { source: Some(source) })
    }

    /// The token for the next request; `None` where requests are anonymous.
    pub(super) async fn get(&self) -> Result<Option<Arc<GcpCredential>>, GcsFailure> {
        let Some(source) = &self.source else { return Ok(None) };
        let is_transient = source.were_obtained.load(Ordering::Relaxed);
        let failed = |text: String| GcsFailure::NoCredentials { text, is_transient };
        let provider = source.provider.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let obtained = provider.get_credential().await.map_err(|error| {
            failed(plain(&innermost(&error)).unwrap_or_else(|| "what gives tokens did not answer as expected".to_owned()))
        })?;
        if obtained.bearer.is_empty() || !obtained.bearer.bytes().all(|letter| letter.is_ascii_graphic()) {
            return Err(failed("what gives tokens answered with letters that no token has".to_owned()));
        }
        source.were_obtained.store(true, Ordering::Relaxed);
        Ok(Some(obtained))
    }

    /// Forgets the token that was refused, so that the next one is a new one. False where there is no other.
    pub(super) async fn renew(&self, refused: Option<&GcpCredential>) -> bool {
        let (Some(source), Some(refused)) = (&self.source, refused) else { return false };
        let current = source.provider.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Another request may have been refused just before, and renewed it.
        if current.get_credential().await.is_ok_and(|current| *current != *refused) {
            return true;
        }
        let Some(new) = provider(&source.builder) else { return false };
        *source.provider.lock().unwrap_or_else(PoisonError::into_inner) = new;
        true
    }
}

fn provider(builder: &GoogleCloudStorageBuilder) -> Option<GcpCredentialProvider> {
    builder.clone().build().ok().map(|built| built.credentials().clone())
}

/// Says what is wrong with a file better than the library does.
fn require_known(file: &Path) -> Result<(), CredentialError> {
    let refused = |why| Err(CredentialError::GcsCredentials(why));
    let text = match std::fs::metadata(file) {
        Ok(found) if found.len() > FILE_BYTES_MAX => return refused("the file is too long for credentials"),
        Ok(found) if found.is_file() => std::fs::read_to_string(file),
        _ => return refused("the file that GOOGLE_APPLICATION_CREDENTIALS names is not there, or is not a file"),
    };
    let Ok(text) = text else { return refused("the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be read") };
    match ["\"service_account\"", "\"authorized_user\""].iter().any(|kind| text.contains(kind)) {
        true => Ok(()),
        false => refused(
            "the file is neither the key of a service account nor what `gcloud auth application-default login` wrote: others are not supported",
        ),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use azure_core::http::{HttpClient as Transport, Request};

    use super::*;
    use crate::address::GcsAddress;

    #[derive(Debug)]
    struct Never;

    #[async_trait]
    impl Transport for Never {
        async fn execute_request(&self, _: &Request) -> azure_core::Result<azure_core::http::AsyncRawResponse> {
            Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Io, "nothing is asked here"))
        }
    }

    fn credentials(variables: &str) -> Result<Credentials, CredentialError> {
        let environment = Environment::from_text(variables).unwrap();
        let address = GcsAddress { endpoint: None, bucket: "b".to_owned(), name: "n".to_owned() };
        let place = Place::of(&address, &environment).unwrap();
        Credentials::of(&environment, &place, Ways { across: Arc::new(Never), of_machine: Arc::new(Never) })
    }

    #[tokio::test]
    async fn an_endpoint_that_was_given_is_asked_without_a_token_where_there_is_none() {
        let emulator = credentials("STORAGE_EMULATOR_HOST=127.0.0.1:9").unwrap();
        assert!(emulator.get().await.unwrap().is_none() && !emulator.renew(None).await);
    }

    #[test]
    fn a_file_that_holds_no_credentials_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        let refused = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            credentials(&format!("GOOGLE_APPLICATION_CREDENTIALS={}", file.display())).unwrap_err().to_string()
        };
        assert!(refused(None).contains("is not there"));
        assert!(refused(Some("{\"type\": \"external_account\", \"x\": \"SECRET\"}")).contains("others are not supported"));
        let broken =
            "{\"type\": \"service_account\", \"private_key\": \"SECRET\", \"private_key_id\": \"1\", \"client_email\": \"a\"}";
        let error = refused(Some(broken));
        assert!(error.contains("the key in the file") && !error.contains("SECRET"), "{error}");
        assert!(refused(Some(&"x".repeat(100_000))).contains("too long"));
    }
}
