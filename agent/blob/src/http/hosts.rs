//! Which host may be given which credential: one pure function, by endpoint and never by an account's name alone.
//!
//! | credential | goes to |
//! |---|---|
//! | of an account | the account's hosts in the clouds of Azure |
//! | of a connection string | the endpoint that the string names, and its read-only secondary |
//! | of the emulators' account | loopback; its published key is no secret, and goes anywhere |
//! | a token of Entra ID | every host of Azure Storage |
//! | a SAS in the address | the host of the address |
//!
//! A host that the user trusts by name is given any of them. Whatever it is, it goes over TLS or to loopback; a token of
//! Entra ID, which is good for all of Azure Storage, goes over TLS alone.

use std::fmt;
use std::str::FromStr;

use protocol::host::is_loopback;
use url::{Host, Url};

/// What follows the account in the host of a blob endpoint, in each cloud.
const BLOB_SUFFIXES: [&str; 4] =
    ["blob.core.windows.net", "blob.core.chinacloudapi.cn", "blob.core.usgovcloudapi.net", "blob.core.cloudapi.de"];

/// What follows the account and the zone (`z00` to `z99`) in the host of an account with a DNS zone endpoint.
const ZONE_SUFFIX: &str = "blob.storage.azure.net";

/// Whose a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'name> {
    /// An account of Azure, by its name.
    Account(&'name str),
    /// The endpoint of a connection string.
    Endpoint(&'name Url),
    /// The account of the emulators.
    Emulator,
    /// The account of the emulators, with its published key.
    Published,
    /// Everything in Azure Storage that the user may use: a token of Entra ID.
    Storage,
    /// Whatever the address names: the credential is a part of it.
    Address,
}

/// Why a host is not given a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRefusal {
    /// Others could read it on the way.
    PlainHttp,
    /// The host is not one of the owner's.
    OtherHost,
}

/// A host that the user trusts, as `HOST` or `HOST:PORT`. Without a port, that of the scheme is meant.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedHost {
    host: Host,
    port: Option<u16>,
}

/// Why a text does not name a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host: write HOST or HOST:PORT, such as storage.example.com or 10.0.0.7:10000")]
pub struct NotAHost(String);

impl FromStr for TrustedHost {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let refused = || NotAHost(text.to_owned());
        let is_plain = text.chars().all(|letter| letter.is_alphanumeric() || "-_.:[]".contains(letter));
        // The port of the scheme is dropped by the parser, and this scheme has none.
        let url = is_plain.then(|| Url::parse(&format!("https://{text}"))).and_then(Result::ok).ok_or_else(refused)?;
        let host = url.host().map(|host| host.to_owned()).ok_or_else(refused)?;
        Ok(TrustedHost { host, port: url.port() })
    }
}

impl TrustedHost {
    fn is(&self, endpoint: &Url) -> bool {
        endpoint.host().is_some_and(|host| host.to_owned() == self.host) && endpoint.port() == self.port
    }
}

impl fmt::Display for TrustedHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

impl fmt::Debug for TrustedHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Decides whether a credential of `owner` may be sent to `endpoint`.
///
/// # Errors
/// With the reason, where it may not.
pub fn may_be_sent(owner: Owner<'_>, endpoint: &Url, trusted: &[TrustedHost]) -> Result<(), HostRefusal> {
    let is_trusted = trusted.iter().any(|host| host.is(endpoint));
    let is_owners = match owner {
        Owner::Published => return Ok(()),
        Owner::Address => true,
        Owner::Account(account) => host_account(endpoint).is_some_and(|found| found == account),
        Owner::Endpoint(own) => is_endpoint(endpoint, own),
        Owner::Emulator => endpoint.host_str().is_some_and(is_loopback),
        Owner::Storage => host_account(endpoint).is_some(),
    };
    let is_private = match endpoint.scheme() {
        "https" => true,
        "http" => endpoint.host_str().is_some_and(is_loopback) && owner != Owner::Storage,
        _ => false,
    };
    match () {
        () if !is_owners && !is_trusted => Err(HostRefusal::OtherHost),
        () if !is_private => Err(HostRefusal::PlainHttp),
        () => Ok(()),
    }
}

/// The account whose blobs a host of Azure has; `None` for any other host or port.
pub(crate) fn host_account(endpoint: &Url) -> Option<&str> {
    let (label, rest) = endpoint.host_str()?.split_once('.')?;
    let is_zone = |rest: &str| {
        rest.strip_suffix(ZONE_SUFFIX)
            .and_then(|zone| zone.strip_suffix('.')?.strip_prefix('z'))
            .is_some_and(|zone| zone.len() == 2 && zone.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let is_azure = BLOB_SUFFIXES.contains(&rest) || is_zone(rest);
    let account = account_of_label(label);
    let is_account = !account.is_empty() && account.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    (is_azure && is_account && endpoint.port().is_none() && endpoint.username().is_empty()).then_some(account)
}

/// The account in `ACCOUNT`, `ACCOUNT-secondary` or another variant of it: no account has a hyphen in its name.
pub(crate) fn account_of_label(label: &str) -> &str {
    label.split('-').next().unwrap_or(label)
}

/// Whether an endpoint is that of a connection string, or its secondary.
fn is_endpoint(endpoint: &Url, own: &Url) -> bool {
    let place = |url: &Url| (url.scheme().to_owned(), url.port_or_known_default(), plain_path(url));
    let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
    let secondary = match (own.host(), plain_path(own).is_empty()) {
        (Some(Host::Domain(domain)), true) => {
            domain.split_once('.').map(|(label, rest)| (format!("{label}-secondary.{rest}"), String::new()))
        }
        (_, false) => Some((host(own), format!("{}-secondary", plain_path(own)))),
        _ => None,
    };
    if place(endpoint) == place(own) && host(endpoint) == host(own) {
        return true;
    }
    let is_same_way = endpoint.scheme() == own.scheme() && endpoint.port_or_known_default() == own.port_or_known_default();
    is_same_way && secondary.is_some_and(|(host_name, path)| host(endpoint) == host_name && plain_path(endpoint) == path)
}

/// The path of an endpoint without a slash at its end.
pub(crate) fn plain_path(url: &Url) -> String {
    url.path().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(owner: Owner<'_>, endpoint: &str, trusted: &[&str]) -> Result<(), HostRefusal> {
        let trusted: Vec<TrustedHost> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        may_be_sent(owner, &Url::parse(endpoint).unwrap(), &trusted)
    }

    const PLAIN: Result<(), HostRefusal> = Err(HostRefusal::PlainHttp);
    const OTHER: Result<(), HostRefusal> = Err(HostRefusal::OtherHost);

    #[test]
    fn a_credential_of_an_account_goes_to_the_accounts_own_hosts() {
        for (endpoint, wanted) in [
            ("https://acme.blob.core.windows.net", Ok(())),
            ("https://acme-secondary.blob.core.windows.net", Ok(())),
            ("https://ACME.blob.core.windows.net:443/", Ok(())),
            ("https://acme.blob.core.chinacloudapi.cn", Ok(())),
            ("https://acme.blob.core.usgovcloudapi.net", Ok(())),
            ("https://acme.blob.core.cloudapi.de", Ok(())),
            ("https://acme.z42.blob.storage.azure.net", Ok(())),
            ("https://acme-secondary.z07.blob.storage.azure.net", Ok(())),
            ("http://acme.blob.core.windows.net", PLAIN),
            ("https://other.blob.core.windows.net", OTHER),
            ("https://acme.evil.example", OTHER),
            ("https://acme.blob.core.windows.net.evil.example", OTHER),
            ("https://acme.evilblob.core.windows.net", OTHER),
            ("https://acme.evil.blob.core.windows.net", OTHER),
            ("https://acme.blob.core.windows.net:8443", OTHER),
            ("https://acme.blob.core.windows.net@evil.example", OTHER),
            ("https://evil.example/acme.blob.core.windows.net", OTHER),
            ("https://acme.z4.blob.storage.azure.net", OTHER),
            ("https://acme.zxx.blob.storage.azure.net", OTHER),
            ("https://acme.z42.evilblob.storage.azure.net", OTHER),
            ("https://acme.file.core.windows.net", OTHER),
            ("https://blob.core.windows.net/acme", OTHER),
            ("https://.blob.core.windows.net/acme", OTHER),
            ("http://127.0.0.1:10000/acme", OTHER),
            ("https://127.0.0.1:10000/acme", OTHER),
            ("http://localhost/acme", OTHER),
        ] {
            assert_eq!(sent(Owner::Account("acme"), endpoint, &[]), wanted, "{endpoint}");
        }
    }

    #[test]
    fn a_connection_string_reaches_its_endpoint_and_no_other() {
        let custom = Url::parse("https://files.acme.example/").unwrap();
        let emulator = Url::parse("http://127.0.0.1:10000/acme").unwrap();
        let remote = Url::parse("http://10.0.0.7:10000/acme").unwrap();
        for (own, endpoint, wanted) in [
            (&custom, "https://files.acme.example", Ok(())),
            (&custom, "https://files-secondary.acme.example", Ok(())),
            (&custom, "https://files.acme.example:8443", OTHER),
            (&custom, "https://evil.acme.example", OTHER),
            (&custom, "https://acme.blob.core.windows.net", OTHER),
            (&custom, "http://files.acme.example", OTHER),
            (&emulator, "http://127.0.0.1:10000/acme", Ok(())),
            (&emulator, "http://127.0.0.1:10000/acme-secondary", Ok(())),
            (&emulator, "http://127.0.0.1:10000/other", OTHER),
            (&emulator, "http://127.0.0.1:10001/acme", OTHER),
            (&emulator, "http://127.0.0.2:10000/acme", OTHER),
            (&remote, "http://10.0.0.7:10000/acme", PLAIN),
        ] {
            assert_eq!(sent(Owner::Endpoint(own), endpoint, &[]), wanted, "{own} {endpoint}");
        }
    }

    #[test]
    fn the_emulators_the_token_and_the_address_have_rules_of_their_own() {
        for (owner, endpoint, wanted) in [
            (Owner::Emulator, "http://127.0.0.1:10000/devstoreaccount1", Ok(())),
            (Owner::Emulator, "http://[::1]:10000/devstoreaccount1", Ok(())),
            (Owner::Emulator, "http://10.0.0.7:10000/devstoreaccount1", OTHER),
            (Owner::Emulator, "https://devstoreaccount1.evil.example", OTHER),
            (Owner::Published, "http://10.0.0.7:10000/devstoreaccount1", Ok(())),
            (Owner::Storage, "https://any.blob.core.windows.net", Ok(())),
            (Owner::Storage, "https://any.z01.blob.storage.azure.net", Ok(())),
            (Owner::Storage, "http://any.blob.core.windows.net", PLAIN),
            (Owner::Storage, "https://any.evil.example", OTHER),
            (Owner::Storage, "https://127.0.0.1:10000/any", OTHER),
            (Owner::Address, "https://any.evil.example", Ok(())),
            (Owner::Address, "http://127.0.0.1:1/any", Ok(())),
            (Owner::Address, "http://10.0.0.7:10000/any", PLAIN),
        ] {
            assert_eq!(sent(owner, endpoint, &[]), wanted, "{owner:?} {endpoint}");
        }
    }

    #[test]
    fn a_trusted_host_is_given_what_it_asks_for_but_not_in_the_clear() {
        for (trusted, endpoint, wanted) in [
            ("storage.example", "https://storage.example", Ok(())),
            ("STORAGE.example:443", "https://storage.example", Ok(())),
            ("storage.example", "https://storage.example:8443", OTHER),
            ("storage.example:8443", "https://storage.example:8443", Ok(())),
            ("storage.example", "https://acme.storage.example", OTHER),
            ("storage.example", "http://storage.example", PLAIN),
            ("127.0.0.1:10000", "http://127.0.0.1:10000/acme", Ok(())),
            ("127.0.0.1", "http://127.0.0.1:10000/acme", OTHER),
            ("[::1]:10000", "http://[::1]:10000/acme", Ok(())),
        ] {
            assert_eq!(sent(Owner::Account("acme"), endpoint, &[trusted]), wanted, "{trusted} {endpoint}");
        }
        assert_eq!(sent(Owner::Storage, "https://storage.example", &["storage.example"]), Ok(()));
        assert_eq!(sent(Owner::Storage, "http://127.0.0.1:10000/acme", &["127.0.0.1:10000"]), PLAIN);
        for bad in ["", "https://a.example", "a.example/path", "user@a.example", "a.example?x", "*.example", "a b", ":10000"] {
            assert!(bad.parse::<TrustedHost>().is_err(), "{bad}");
        }
    }
}
