//! Why a connection to a store failed: what only a person can correct, or what a proxy on the way answers for. Has no
//! secret in it.

use std::error::Error;

use azure_core::time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{CertificateError, Error as TlsError, OtherError};

use super::causes::find;
use super::proxy::ProxyError;
use crate::error::BlobErrorKind;

/// Most names of a certificate that a message repeats.
const NAMES_SHOWN_MAX: usize = 3;

/// What the library calls it when a server has the certificate of an authority.
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

/// Longest text of a certificate that a message repeats, in characters.
const NAME_CHARACTERS_MAX: usize = 100;

/// Why no connection came to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// What names the proxy does not name one.
    #[error(transparent)]
    Setting(#[from] ProxyError),
    /// The proxy did not lead there.
    #[error("{}", proxy_text(proxy, target, problem))]
    Proxy {
        /// The proxy, as HOST:PORT.
        proxy: String,
        /// Where it should have led, as HOST:PORT.
        target: String,
        /// What happened.
        problem: ProxyProblem,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of `{host}` {problem}")]
    Certificate {
        /// The server.
        host: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

/// What a proxy did instead of leading to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProblem {
    /// It was not reached.
    Unreachable(String),
    /// It said nothing for so many seconds.
    Silent(u64),
    /// The connection to it ended, or what it said is not HTTP.
    Broken(String),
    /// It answered with this status.
    Answered {
        /// Of HTTP.
        status: u16,
        /// Whether it was given a name and a password.
        had_password: bool,
    },
}

fn proxy_text(proxy: &str, target: &str, problem: &ProxyProblem) -> String {
    let way_out = "have it allowed there, or use another one (`--proxy`, NO_PROXY)";
    match problem {
        ProxyProblem::Unreachable(why) => {
            format!("the proxy `{proxy}`, which should lead to `{target}`, cannot be reached: {why}")
        }
        ProxyProblem::Silent(seconds) => {
            format!("nothing was heard of the proxy `{proxy}` for {seconds} s, which should lead to `{target}`")
        }
        ProxyProblem::Broken(why) => {
            format!("the proxy `{proxy}` ended the connection, or is not an HTTP proxy, before it led to `{target}`: {why}")
        }
        ProxyProblem::Answered { status: 407, had_password: true } => {
            format!("the proxy `{proxy}` does not take the name and the password that it was given to lead to `{target}` (407)")
        }
        ProxyProblem::Answered { status: 407, .. } => format!(
            "the proxy `{proxy}` wants a name and a password before it leads to `{target}` (407): put them into HTTPS_PROXY, as http://NAME:PASSWORD@HOST:PORT"
        ),
        ProxyProblem::Answered { status: status @ (401 | 403), .. } => {
            format!("the proxy `{proxy}` does not let requests through to `{target}` ({status}): {way_out}")
        }
        ProxyProblem::Answered { status: status @ (408 | 429 | 500 | 502..=599), .. } => {
            format!("the proxy `{proxy}` could not reach `{target}` (it answered {status})")
        }
        ProxyProblem::Answered { status, .. } => {
            format!(
                "the proxy `{proxy}` does not lead to `{target}` (it answered {status}): look whether it is an HTTP proxy, and {way_out}"
            )
        }
    }
}

impl ConnectFailure {
    /// What the caller can do.
    pub(crate) fn kind(&self) -> BlobErrorKind {
        let ConnectFailure::Proxy { problem, .. } = self else { return BlobErrorKind::Other };
        match problem {
            ProxyProblem::Unreachable(_) | ProxyProblem::Broken(_) => BlobErrorKind::Transport,
            ProxyProblem::Silent(_) => BlobErrorKind::TimedOut,
            ProxyProblem::Answered { status: 401 | 403 | 407, .. } => BlobErrorKind::Denied,
            ProxyProblem::Answered { status: 408 | 429 | 500 | 502..=599, .. } => BlobErrorKind::Transport,
            ProxyProblem::Answered { .. } => BlobErrorKind::Other,
        }
    }

    /// What kept a connection to `host` from being made, where it is one of these.
    pub(super) fn of(error: &(dyn Error + 'static), host: &str) -> Option<Self> {
        if let Some(failure) = find::<ConnectFailure>(error) {
            return Some(failure.clone());
        }
        match find::<TlsError>(error)? {
            TlsError::InvalidCertificate(wrong) => {
                Some(ConnectFailure::Certificate { host: host.to_owned(), problem: certificate_problem(wrong) })
            }
            _ => None,
        }
    }
}

fn certificate_problem(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::UnknownIssuer => {
            "is of an issuer that is not trusted here: give the issuer's certificate with `--ca FILE` (`ca` in a \
             station's configuration); a proxy that looks into TLS has an issuer of its own"
                .to_owned()
        }
        CertificateError::Expired => "has expired: have it renewed, and look whether this machine's clock is right".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("expired at {}: have it renewed, and look whether this machine's clock is right", time_text(*not_after))
        }
        CertificateError::NotValidYet => "is not valid yet: look whether this machine's clock is right".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid before {}: look whether this machine's clock is right", time_text(*not_before))
        }
        CertificateError::NotValidForName => {
            "is for another name: correct the address, or have a certificate made for it".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<String> = presented.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{}`", shown(plain_name(name)))).collect();
            let more = if presented.len() > NAMES_SHOWN_MAX { " and others" } else { "" };
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            format!("is for {names}{more}, and not for this name: correct the address, or have a certificate made for it")
        }
        CertificateError::Revoked => "was revoked by its issuer: have a new one made".to_owned(),
        CertificateError::Other(OtherError(cause)) if cause.to_string() == AUTHORITY_AS_SERVER => "is that of an authority itself (CA:TRUE), which \
             a server cannot have: have one made that is not (`openssl req -x509 -addext basicConstraints=critical,CA:FALSE`), or one that the authority signs"
            .to_owned(),
        CertificateError::Other(OtherError(cause)) => of_another_kind(&cause.to_string()),
        other => of_another_kind(&other.to_string()),
    }
}

fn of_another_kind(cause: &str) -> String {
    format!(
        "cannot be used ({}): have a new one made, or, where its issuer is your own, give the issuer's certificate with `--ca FILE`",
        shown(cause)
    )
}

/// A name of a certificate, of which the library gives the kind as well: `DnsName("acme.example")`.
fn plain_name(name: &str) -> &str {
    let within = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    within.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(within)
}

/// A text of a certificate: it is untrusted.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| protocol::text::is_displayed(*letter)).take(NAME_CHARACTERS_MAX).collect()
}

fn time_text(time: UnixTime) -> String {
    let at = i64::try_from(time.as_secs()).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.map_or_else(|| "an unknown time".to_owned(), |at| azure_core::time::to_rfc3339(&at))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_a_proxy_answers_is_final_or_may_pass() {
        for (status, is_transient) in
            [(407, false), (403, false), (401, false), (404, false), (405, false), (501, false), (400, false), (302, false)]
                .into_iter()
                .chain([(500, true), (502, true), (503, true), (504, true), (408, true), (429, true)])
        {
            let problem = ProxyProblem::Answered { status, had_password: false };
            let failure = ConnectFailure::Proxy { proxy: "p:1".to_owned(), target: "t:443".to_owned(), problem };
            assert_eq!(failure.kind().is_transient(), is_transient, "{status}");
            let text = failure.to_string();
            assert!(text.contains("`p:1`") && text.contains("`t:443`") && text.contains(&status.to_string()), "{text}");
        }
    }

    #[test]
    fn names_of_certificates_are_plain_text() {
        for (name, plain) in [
            ("DnsName(\"*.acme.example\")", "*.acme.example"),
            ("IpAddress(10.0.0.1)", "10.0.0.1"),
            ("DirectoryName", "DirectoryName"),
            ("DnsName(\"", "DnsName(\""),
        ] {
            assert_eq!(plain_name(name), plain);
        }
    }

    #[test]
    fn certificates_are_found_below_errors_of_input_and_output() {
        let hidden = |wrong| io::Error::other(io::Error::other(TlsError::InvalidCertificate(wrong)));
        for (wrong, words) in [
            (CertificateError::UnknownIssuer, "`--ca FILE`"),
            (CertificateError::Expired, "has expired"),
            (CertificateError::NotValidYet, "clock"),
            (CertificateError::NotValidForName, "another name"),
            (CertificateError::BadSignature, "cannot be used"),
        ] {
            let failure = ConnectFailure::of(&hidden(wrong), "acme.example").unwrap();
            let text = failure.to_string();
            assert!(text.contains("`acme.example`") && text.contains(words), "{text}");
            assert!(!failure.kind().is_transient());
        }
        assert_eq!(ConnectFailure::of(&io::Error::other(TlsError::DecryptError), "acme.example"), None);
    }
}
