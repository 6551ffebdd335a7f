//! Who we are at S3: keys of the environment, a web identity, the role of a container or of a machine. `object_store` obtains
//! them; what it asks for goes over the transport of this crate, once and without retries of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};

use super::error::S3Failure;
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::http::causes::innermost;
use crate::http::server_text::plain;
use crate::http::token_client::{TokenConnector, Ways};

/// What names credentials, and how `object_store` calls it.
const VARIABLES: [(&str, &str); 11] = [
    ("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
    ("AWS_SESSION_TOKEN", "aws_session_token"),
    ("AWS_ROLE_ARN", "aws_role_arn"),
    ("AWS_ROLE_SESSION_NAME", "aws_role_session_name"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "aws_web_identity_token_file"),
    ("AWS_ENDPOINT_URL_STS", "aws_endpoint_url_sts"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "aws_container_credentials_relative_uri"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "aws_container_credentials_full_uri"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "aws_container_authorization_token_file"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "aws_metadata_endpoint"),
];

/// Where credentials come from.
#[derive(Debug)]
pub(super) struct Credentials {
    provider: AwsCredentialProvider,
    /// There were some: what fails later may pass.
    were_obtained: AtomicBool,
}

impl Credentials {
    /// As the environment says. Nothing is asked yet.
    ///
    /// # Errors
    /// When there are none, or what there is cannot be used.
    pub(super) fn of(environment: &Environment, region: &str, ways: Ways) -> Result<Self, CredentialError> {
        let key = environment.get("AWS_ACCESS_KEY_ID");
        let secret = environment.get("AWS_SECRET_ACCESS_KEY");
        let has_more =
            ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]
                .into_iter()
                .any(|name| environment.get(name).is_some());
        let has_machine = !environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        match (key, secret) {
            (Some(_), None) => return Err(CredentialError::S3Credentials("AWS_SECRET_ACCESS_KEY is missing")),
            (None, Some(_)) => return Err(CredentialError::S3Credentials("AWS_ACCESS_KEY_ID is missing")),
            (None, None) if !has_more && !has_machine => return Err(CredentialError::NoS3Credentials),
            _ => {}
        }
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        // The bucket is not used by what gives credentials.
        let mut builder = AmazonS3Builder::new().with_bucket_name("any").with_region(region).with_retry(retry);
        for (name, known) in VARIABLES {
            if let (Some(value), Ok(known)) = (environment.get(name), known.parse::<AmazonS3ConfigKey>()) {
                builder = builder.with_config(known, value);
            }
        }
        let built = builder.with_http_connector(TokenConnector(ways)).build();
        let built = built.map_err(|_| CredentialError::S3Credentials("they are not complete"))?;
        let credentials = Credentials { provider: built.credentials().clone(), were_obtained: AtomicBool::new(false) };
        match [key, secret, environment.get("AWS_SESSION_TOKEN")].into_iter().flatten().all(is_plain) {
            true => Ok(credentials),
            false => Err(CredentialError::S3Credentials("a key or token has letters that none has")),
        }
    }

    /// The credentials for the next request.
    pub(super) async fn get(&self) -> Result<Arc<AwsCredential>, S3Failure> {
        let is_transient = self.were_obtained.load(Ordering::Relaxed);
        let failed = |text: String| S3Failure::NoCredentials { text, is_transient };
        let obtained = self.provider.get_credential().await;
        let obtained = obtained.map_err(|error| {
            failed(plain(&innermost(&error)).unwrap_or_else(|| "what gives them did not answer as expected".to_owned()))
        })?;
        let texts = [Some(&obtained.key_id), obtained.token.as_ref()];
        if !texts.into_iter().flatten().all(|text| is_plain(text)) {
            return Err(failed("what gives them answered with letters that no key has".to_owned()));
        }
        self.were_obtained.store(true, Ordering::Relaxed);
        Ok(obtained)
    }
}

/// Whether a key or token can stand in a header.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|letter| letter.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use azure_core::http::{HttpClient as Transport, Request};

    use super::*;

    #[derive(Debug)]
    struct Never;

    #[async_trait]
    impl Transport for Never {
        async fn execute_request(&self, _: &Request) -> azure_core::Result<azure_core::http::AsyncRawResponse> {
            Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Io, "nothing is asked here"))
        }
    }

    fn credentials(text: &str) -> Result<Credentials, CredentialError> {
        let ways = Ways { across: Arc::new(Never), of_machine: Arc::new(Never) };
        Credentials::of(&Environment::from_text(text).unwrap(), "us-east-1", ways)
    }

    #[tokio::test]
    async fn keys_of_the_environment_are_used_as_they_stand() {
        let text = "AWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY=s/e+c\nAWS_SESSION_TOKEN=t=";
        let found = credentials(text).unwrap().get().await.unwrap();
        assert_eq!((&*found.key_id, &*found.secret_key, found.token.as_deref()), ("AKIA", "s/e+c", Some("t=")));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let refused = |text: &str| credentials(text).unwrap_err().to_string();
        assert!(refused("AWS_ACCESS_KEY_ID=AKIA").contains("AWS_SECRET_ACCESS_KEY is missing"));
        assert!(refused("AWS_EC2_METADATA_DISABLED=true").contains("set AWS_ACCESS_KEY_ID"));
        assert!(!refused("AWS_ACCESS_KEY_ID=A\u{fc}\nAWS_SECRET_ACCESS_KEY=SECRET").contains("SECRET,"));
        // A machine that gives none.
        let failure = credentials("").unwrap().get().await.unwrap_err();
        assert!(matches!(&failure, S3Failure::NoCredentials { is_transient: false, .. }), "{failure:?}");
    }
}
