//! The address of a PostgreSQL database.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

/// Parameters that an address may have; others are refused, since a mistyped one would be ignored.
const PARAMETERS: [&str; 6] = ["host", "sslmode", "sslrootcert", "sslcert", "sslkey", "application_name"];

/// How an address looks, in messages.
pub const ADDRESS_EXAMPLE: &str = "postgres://USER@HOST/NAME";

/// What the service calls itself in the views of the server.
const APPLICATION: &str = "drive-agent";

/// The address of a database, as `postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=…`. It may have a password: what is shown of
/// it has none.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseAddress {
    url: Url,
}

/// What is wrong with the address of a database. Nothing of the address is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not an address.
    #[error("this is not the address of a database: write `{ADDRESS_EXAMPLE}`")]
    NotAnAddress,
    /// It is of another engine.
    #[error("the database is PostgreSQL: its address begins with `postgres://`")]
    OtherEngine,
    /// It names no database.
    #[error("the address names no database: write `{ADDRESS_EXAMPLE}`")]
    NoName,
    /// A parameter means nothing here.
    #[error("the address has a parameter that means nothing here: it may have {}", PARAMETERS.join(", "))]
    UnknownParameter,
    /// Data and password would be readable on the way, or given to another server.
    #[error(
        "a database on another host needs `sslmode=verify-full` (or `verify-ca`), which is also what happens without `sslmode`"
    )]
    NotProtected,
}

impl FromStr for DatabaseAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut url: Url = text.parse().map_err(|_| AddressError::NotAnAddress)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(AddressError::OtherEngine);
        }
        if url.path().trim_start_matches('/').is_empty() {
            return Err(AddressError::NoName);
        }
        if url.query_pairs().any(|(key, _)| !PARAMETERS.contains(&key.as_ref())) {
            return Err(AddressError::UnknownParameter);
        }
        let has = |name: &str| url.query_pairs().any(|(key, _)| key == name);
        let (has_mode, has_application) = (has("sslmode"), has("application_name"));
        if !is_of_this_host(&url) {
            let is_protected = |mode: &str| matches!(mode, "verify-full" | "verify-ca");
            if url.query_pairs().any(|(key, mode)| key == "sslmode" && !is_protected(&mode)) {
                return Err(AddressError::NotProtected);
            }
            if !has_mode {
                url.query_pairs_mut().append_pair("sslmode", "verify-full");
            }
        }
        if !has_application {
            url.query_pairs_mut().append_pair("application_name", APPLICATION);
        }
        Ok(DatabaseAddress { url })
    }
}

/// Whether the server is on this host: nothing goes over a network.
fn is_of_this_host(url: &Url) -> bool {
    let is_local = |host: &str| {
        host.starts_with('/') || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let named: Vec<_> = url.query_pairs().filter(|(key, _)| key == "host").collect();
    if !named.is_empty() {
        return named.iter().all(|(_, host)| is_local(host));
    }
    match url.host() {
        // The driver asks the environment.
        None => false,
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(host)) => is_local(&host.replace("%2F", "/").replace("%2f", "/")),
    }
}

impl DatabaseAddress {
    /// Whether a password is in it.
    pub fn has_password(&self) -> bool {
        self.url.password().is_some()
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for DatabaseAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.url.clone();
        shown.set_query(None);
        // An address with a user has a host, and so can be without a password.
        let is_without = shown.password().is_none() || shown.set_password(None).is_ok();
        write!(formatter, "{}", if is_without { shown.as_str() } else { "postgres://…" })
    }
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<DatabaseAddress, AddressError> {
        text.parse()
    }

    #[test]
    fn a_password_is_never_shown() {
        for text in ["postgres://me:pass-77@db.example/jobs", "postgres://me:pass-77@[::1]:5/jobs?sslmode=disable"] {
            let address = parsed(text).unwrap();
            assert!(address.has_password());
            assert!(!format!("{address} {address:?}").contains("pass-77"));
            assert!(address.to_string().contains("/jobs"));
        }
        for text in ["pass-77", "mysql://me:pass-77@h/jobs", "postgres://me:pass-77@h", "postgres://me:pass-77@h/j?sslmod=x"] {
            let error = parsed(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("pass-77"));
        }
    }

    #[test]
    fn another_host_is_reached_over_tls_that_is_checked() {
        let mode = |text: &str| {
            let address = parsed(text)?;
            Ok(address.url().query_pairs().find(|(key, _)| key == "sslmode").map(|(_, mode)| mode.into_owned()))
        };
        assert_eq!(mode("postgres://db.example/jobs"), Ok(Some("verify-full".to_owned())));
        assert_eq!(mode("postgres:///jobs"), Ok(Some("verify-full".to_owned())));
        assert_eq!(mode("postgres://db.example/jobs?sslmode=verify-ca"), Ok(Some("verify-ca".to_owned())));
        for weak in ["disable", "allow", "prefer", "require"] {
            assert_eq!(mode(&format!("postgres://db.example/jobs?sslmode={weak}")), Err(AddressError::NotProtected));
            assert_eq!(mode(&format!("postgres://[::1]/jobs?host=db.example&sslmode={weak}")), Err(AddressError::NotProtected));
        }
        for here in ["127.0.0.1:5432", "[::1]", "localhost", "%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://{here}/jobs")), Ok(None), "{here}");
        }
        assert_eq!(mode("postgres:///jobs?host=/run/postgresql"), Ok(None));
        assert_eq!(
            mode("postgres:///jobs?host=/run/postgresql&host=db.example&sslmode=disable"),
            Err(AddressError::NotProtected)
        );
    }
}
