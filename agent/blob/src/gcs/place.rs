//! Where a bucket is: the endpoint, from the address and the environment. Buckets stand in the path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::address::GcsAddress;
use crate::credential_error::CredentialError;
use crate::environment::Environment;

/// Everything but unreserved characters (RFC 3986).
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same with the separator of folders.
const NAME: &AsciiSet = &STRICT.remove(b'/');

/// Google's endpoint.
const GOOGLE: &str = "https://storage.googleapis.com";

/// What the hosts of Google's endpoints end with: the regional and the private ones as well.
const GOOGLES_HOSTS: &str = ".googleapis.com";

/// Where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The endpoint without the bucket.
    pub(super) endpoint: Url,
    /// The endpoint that the environment names, or Google's: what the credentials of the environment are for.
    pub(super) own_endpoint: Url,
    /// Whether nothing says where it is: then it is Google's.
    pub(super) is_default: bool,
    pub(super) bucket: String,
}

impl Place {
    /// Where the bucket of an address is.
    ///
    /// # Errors
    /// When the environment names an endpoint that cannot be one.
    pub(super) fn of(address: &GcsAddress, environment: &Environment) -> Result<Self, CredentialError> {
        let configured = environment.get("STORAGE_EMULATOR_HOST").map(endpoint_of).transpose()?;
        let is_default = configured.is_none() && address.endpoint.is_none();
        let own = configured.map_or_else(|| Url::parse(GOOGLE).map_err(|_| CredentialError::GcsEndpoint), Ok)?;
        let endpoint = address.endpoint.clone().unwrap_or_else(|| own.clone());
        Ok(Place { endpoint, own_endpoint: own, is_default, bucket: address.bucket.clone() })
    }

    /// Where another bucket is.
    pub(super) fn with_bucket(&self, bucket: &str) -> Self {
        Place { bucket: bucket.to_owned(), ..self.clone() }
    }

    /// Whether the endpoint is one of Google's own, and not an emulator's.
    pub(super) fn is_google(&self) -> bool {
        self.endpoint.scheme() == "https" && self.endpoint.domain().is_some_and(|host| host.ends_with(GOOGLES_HOSTS))
    }

    /// The URL of all buckets of a project.
    pub(super) fn of_project(&self) -> Url {
        self.endpoint.clone()
    }

    /// The URL of an object, or of the bucket where the name is empty.
    pub(super) fn url(&self, name: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.endpoint.clone();
        let bucket = utf8_percent_encode(&self.bucket, STRICT);
        let name = utf8_percent_encode(name, NAME);
        let path = format!("{}/{bucket}/{name}", url.path().trim_end_matches('/'));
        url.set_path(path.trim_end_matches('/'));
        if !query.is_empty() {
            let encoded = |text: &str| utf8_percent_encode(text, STRICT).to_string();
            let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
            url.set_query(Some(&pairs.join("&")));
        }
        url
    }
}

/// The endpoint that a text names: as an emulator's is written, with or without its scheme.
fn endpoint_of(text: &str) -> Result<Url, CredentialError> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            // A path could not be told from a bucket in the address that is shown.
            && matches!(url.path(), "" | "/")
            && (url.username(), url.password(), url.query(), url.fragment()) == ("", None, None, None)
    });
    url.ok_or(CredentialError::GcsEndpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &str, endpoint: Option<&str>) -> Result<Place, CredentialError> {
        let environment = Environment::from_text(variables).unwrap();
        let endpoint = endpoint.map(|url| Url::parse(url).unwrap());
        Place::of(&GcsAddress { endpoint, bucket: "ac.me".to_owned(), name: "n".to_owned() }, &environment)
    }

    #[test]
    fn buckets_are_found_by_their_endpoint() {
        let url = |variables: &str, endpoint| place(variables, endpoint).unwrap().url("a b/c+d", &[]).to_string();
        assert_eq!(url("", None), "https://storage.googleapis.com/ac.me/a%20b/c%2Bd");
        assert_eq!(url("STORAGE_EMULATOR_HOST=localhost:4443", None), "http://localhost:4443/ac.me/a%20b/c%2Bd");
        let both = url("STORAGE_EMULATOR_HOST=https://one.example/", Some("https://two.example"));
        assert_eq!(both, "https://two.example/ac.me/a%20b/c%2Bd");
        let list = place("", None).unwrap().url("", &[("prefix", "a/b c"), ("list-type", "2")]);
        assert_eq!(list.as_str(), "https://storage.googleapis.com/ac.me?prefix=a%2Fb%20c&list-type=2");
        assert!(place("", None).unwrap().is_google());
        assert!(place("", Some("https://storage.me-central2.rep.googleapis.com")).unwrap().is_google());
        for other in ["http://storage.googleapis.com", "https://googleapis.com.evil.example", "https://evilgoogleapis.com"] {
            assert!(!place("", Some(other)).unwrap().is_google(), "{other}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in ["ftp://a", "https://a/path", "https://u:p@a", "http://", "https://a?x=1"] {
            assert!(place(&format!("STORAGE_EMULATOR_HOST={text}"), None).is_err(), "{text}");
        }
    }
}
