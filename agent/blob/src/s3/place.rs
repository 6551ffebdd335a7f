//! Where a bucket is: endpoint, region and style of its URLs, from the address and the environment.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::address::S3Address;
use crate::credential_error::CredentialError;
use crate::environment::Environment;

/// Everything but unreserved characters (RFC 3986): what a signature counts on.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same with the separator of folders.
const KEY: &AsciiSet = &STRICT.remove(b'/');

/// The region where nothing names one: the one that AWS's own programs and compatible servers take.
const REGION_DEFAULT: &str = "us-east-1";

/// Where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where requests go: with the bucket in the host, or in the path.
    base: Url,
    /// The endpoint without the bucket.
    pub(super) endpoint: Url,
    /// The endpoint that the environment names, or AWS's: what the credentials of the environment are for.
    pub(super) own_endpoint: Url,
    /// Whether nothing but the region says where it is.
    pub(super) is_aws: bool,
    /// Whether buckets stand in the host.
    wants_host: bool,
    pub(super) region: String,
    pub(super) bucket: String,
}

impl Place {
    /// Where the bucket of an address is.
    ///
    /// # Errors
    /// When the environment names an endpoint or a region that cannot be one.
    pub(super) fn of(address: &S3Address, environment: &Environment) -> Result<Self, CredentialError> {
        let region = region(environment)?;
        let configured = endpoint_of_environment(environment)?;
        let own = configured.clone().map_or_else(|| aws_endpoint(&region), Ok)?;
        let endpoint = address.endpoint.clone().unwrap_or_else(|| own.clone());
        let is_aws = configured.is_none() && address.endpoint.is_none();
        let in_host = environment.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let (base, bucket) = (endpoint.clone(), String::new());
        let place = Place { base, own_endpoint: own, endpoint, is_aws, wants_host: in_host, region, bucket };
        Ok(place.with_bucket(&address.bucket))
    }

    /// Where another bucket of the same account is.
    pub(super) fn with_bucket(&self, bucket: &str) -> Self {
        // A dot in the name of a bucket would be one more level than AWS's certificate has.
        let in_host = self.wants_host || self.is_aws && !bucket.contains('.');
        let base = if in_host { with_bucket_in_host(&self.endpoint, bucket) } else { None };
        let base = base.unwrap_or_else(|| with_bucket_in_path(&self.endpoint, bucket));
        Place { base, bucket: bucket.to_owned(), ..self.clone() }
    }

    /// The URL of the account.
    pub(super) fn of_account(&self) -> Url {
        self.endpoint.clone()
    }

    /// The URL of an object, or of the bucket where the key is empty.
    pub(super) fn url(&self, key: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}/{}", url.path().trim_end_matches('/'), utf8_percent_encode(key, KEY));
        url.set_path(&path);
        if !query.is_empty() {
            let encoded = |text: &str| utf8_percent_encode(text, STRICT).to_string();
            let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
            url.set_query(Some(&pairs.join("&")));
        }
        url
    }

    /// An object as the source of a copy is written.
    pub(super) fn copy_source(&self, key: &str) -> String {
        format!("/{}/{}", utf8_percent_encode(&self.bucket, STRICT), utf8_percent_encode(key, KEY))
    }
}

/// The endpoint that the environment names; `None` where that is AWS.
pub(crate) fn endpoint_of_environment(environment: &Environment) -> Result<Option<Url>, CredentialError> {
    for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
        let Some(text) = environment.get(name) else { continue };
        let url = Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                // A path could not be told from a bucket in the address that is shown.
                && matches!(url.path(), "" | "/")
                && (url.username(), url.password(), url.query(), url.fragment()) == ("", None, None, None)
        });
        return url.map(Some).ok_or(CredentialError::S3Endpoint(name));
    }
    Ok(None)
}

fn region(environment: &Environment) -> Result<String, CredentialError> {
    let region = environment.get("AWS_REGION").or_else(|| environment.get("AWS_DEFAULT_REGION")).unwrap_or(REGION_DEFAULT);
    match region.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-') {
        true => Ok(region.to_owned()),
        false => Err(CredentialError::S3Region),
    }
}

fn aws_endpoint(region: &str) -> Result<Url, CredentialError> {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Url::parse(&format!("https://s3.{region}.{suffix}")).map_err(|_| CredentialError::S3Region)
}

fn with_bucket_in_host(endpoint: &Url, bucket: &str) -> Option<Url> {
    let mut url = endpoint.clone();
    let host = format!("{bucket}.{}", endpoint.domain()?);
    url.set_host(Some(&host)).ok()?;
    Some(url)
}

fn with_bucket_in_path(endpoint: &Url, bucket: &str) -> Url {
    let mut url = endpoint.clone();
    let path = format!("{}/{}", url.path().trim_end_matches('/'), utf8_percent_encode(bucket, STRICT));
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &str, bucket: &str, endpoint: Option<&str>) -> Place {
        let environment = Environment::from_text(variables).unwrap();
        let endpoint = endpoint.map(|url| Url::parse(url).unwrap());
        Place::of(&S3Address { endpoint, bucket: bucket.to_owned(), key: "k".to_owned() }, &environment).unwrap()
    }

    #[test]
    fn buckets_are_found_by_region_and_endpoint() {
        let url = |variables: &str, bucket: &str| place(variables, bucket, None).url("a b/c+d", &[]).to_string();
        assert_eq!(url("AWS_REGION=eu-west-1", "acme"), "https://acme.s3.eu-west-1.amazonaws.com/a%20b/c%2Bd");
        assert_eq!(url("", "ac.me"), "https://s3.us-east-1.amazonaws.com/ac.me/a%20b/c%2Bd");
        assert_eq!(url("AWS_REGION=cn-north-1", "acme"), "https://acme.s3.cn-north-1.amazonaws.com.cn/a%20b/c%2Bd");
        assert_eq!(
            url("AWS_ENDPOINT_URL=http://127.0.0.1:1\nAWS_ENDPOINT_URL_S3=http://127.0.0.1:2/", "acme"),
            "http://127.0.0.1:2/acme/a%20b/c%2Bd"
        );
        let hosted = "AWS_ENDPOINT_URL=https://s3.example\nAWS_VIRTUAL_HOSTED_STYLE_REQUEST=true";
        assert_eq!(url(hosted, "acme"), "https://acme.s3.example/a%20b/c%2Bd");
        assert_eq!(
            place("", "acme", None).url("", &[("prefix", "a/b c"), ("uploads", "")]).query(),
            Some("prefix=a%2Fb%20c&uploads=")
        );
        assert_eq!(place("", "acme", None).copy_source("a b/\u{fc}"), "/acme/a%20b/%C3%BC");
    }

    #[test]
    fn what_is_no_endpoint_or_region_is_refused() {
        for text in [
            "AWS_ENDPOINT_URL=no",
            "AWS_ENDPOINT_URL=ftp://a",
            "AWS_ENDPOINT_URL=https://a/path",
            "AWS_ENDPOINT_URL=https://u:p@a",
            "AWS_REGION=a.evil.example/",
        ] {
            let environment = Environment::from_text(text).unwrap();
            let address = S3Address { endpoint: None, bucket: "b".to_owned(), key: "k".to_owned() };
            assert!(Place::of(&address, &environment).is_err(), "{text}");
        }
    }
}
