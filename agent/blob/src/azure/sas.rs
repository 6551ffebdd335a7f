//! What a shared access signature says of itself: what it is for, what it permits, and from when to when. It is read from
//! the query alone ("Create a service SAS", "Create an account SAS"); whether it is good is the server's to say.

use std::fmt;

use azure_core::time::{OffsetDateTime, parse_rfc3339};

/// Longest range of addresses that is repeated, in characters: two of IPv6.
const ADDRESSES_CHARACTERS_MAX: usize = 80;

/// What a request has to be permitted. To create (`c`) is not enough for an upload: a block or a page is written (`w`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Read,
    Write,
}

impl Right {
    fn letter(self) -> char {
        match self {
            Right::Read => 'r',
            Right::Write => 'w',
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Right::Read => "read",
            Right::Write => "write",
        };
        write!(formatter, "{name} ({})", self.letter())
    }
}

/// The fields of a shared access signature, without the signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sas {
    /// `sr`: the kind of resource; of a SAS for an account `None`.
    resource: Option<String>,
    /// `sp`: absent where a policy at the container has the permissions.
    permissions: Option<String>,
    /// `ss`, of a SAS for an account.
    services: Option<String>,
    /// `srt`, of a SAS for an account.
    resource_types: Option<String>,
    /// `st`.
    pub(super) begins: Option<OffsetDateTime>,
    /// `se`.
    pub(super) ends: Option<OffsetDateTime>,
    /// `spr`.
    is_for_https_alone: bool,
    /// `sip`: the addresses that it is for.
    addresses: Option<String>,
}

impl Sas {
    pub(super) fn parse(query: &str) -> Self {
        let mut sas = Sas::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "sr" => sas.resource = Some(value),
                "sp" => sas.permissions = Some(value),
                "ss" => sas.services = Some(value),
                "srt" => sas.resource_types = Some(value),
                "st" => sas.begins = time_of(&value),
                "se" => sas.ends = time_of(&value),
                "spr" => sas.is_for_https_alone = value == "https",
                "sip" => sas.addresses = Some(value),
                _ => {}
            }
        }
        sas
    }

    /// Whether it is for one blob alone, a version or a snapshot of it: nothing beside it can be reached.
    pub(super) fn is_for_one_blob(&self) -> bool {
        matches!(self.resource.as_deref(), Some("b" | "bv" | "bs"))
    }

    /// What it is for where that is a blob as it was: a snapshot or a version, to which nothing can be written.
    pub(super) fn is_for_past(&self) -> Option<&'static str> {
        match self.resource.as_deref() {
            Some("bs") => Some("a snapshot of the blob (sr=bs)"),
            Some("bv") => Some("a version of the blob (sr=bv)"),
            _ => None,
        }
    }

    /// The addresses that it is for, as it says it; `None` where it is for all. Under which one this machine is seen, only the
    /// server knows.
    pub(super) fn addresses(&self) -> Option<&str> {
        let is_of_address = |byte: u8| byte.is_ascii_hexdigit() || b".:-".contains(&byte);
        self.addresses.as_deref().filter(|text| text.len() <= ADDRESSES_CHARACTERS_MAX && text.bytes().all(is_of_address))
    }

    /// What of the rights that are needed it does not give. A SAS whose permissions are in a policy at the container is
    /// taken to give them all.
    pub(super) fn missing(&self, needed: &[Right]) -> Vec<Right> {
        let may = |right: Right| self.permissions.as_ref().is_none_or(|permissions| permissions.contains(right.letter()));
        needed.iter().copied().filter(|right| !may(*right)).collect()
    }

    /// Why it cannot be used for a blob at all, over this scheme.
    pub(super) fn unusable(&self, scheme: &str) -> Option<&'static str> {
        let lacks = |field: &Option<String>, letter| field.as_ref().is_some_and(|text| !text.contains(letter));
        match () {
            () if self.is_for_https_alone && scheme != "https" => {
                Some("the SAS is for https alone (spr), and the address is http")
            }
            () if lacks(&self.services, 'b') => Some("the SAS is for another service than blobs: one with `b` in ss is needed"),
            () if lacks(&self.resource_types, 'o') => Some("the SAS is not for blobs themselves: one with `o` in srt is needed"),
            () => None,
        }
    }

    /// What it permits, as it says it.
    pub(super) fn permissions(&self) -> Option<&str> {
        self.permissions.as_deref().filter(|text| text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
    }
}

/// The forms of ISO 8601 that Azure takes.
fn time_of(text: &str) -> Option<OffsetDateTime> {
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        17 => format!("{}:00Z", text.strip_suffix(['Z', 'z'])?),
        _ => text.to_ascii_uppercase(),
    };
    parse_rfc3339(&whole).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_that_it_names() {
        use Right::{Read, Write};
        for (query, missing) in [
            ("sv=2022&sr=c&sp=racwdl&sig=x", vec![]),
            ("sr=b&sp=rcl", vec![Write]),
            ("sr=b&sp=w", vec![Read]),
            ("sp=", vec![Read, Write]),
            ("si=policy&sr=c", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(Sas::parse(query).missing(&[Read, Write]), missing, "{query}");
        }
    }

    #[test]
    fn what_it_is_for_is_read() {
        for (query, is_for_one) in
            [("sr=b", true), ("sr=bs", true), ("sr=c", false), ("sr=d&sdd=1", false), ("ss=b&srt=o", false)]
        {
            assert_eq!(Sas::parse(query).is_for_one_blob(), is_for_one, "{query}");
        }
        for (query, past, addresses) in [
            ("sr=bs&sip=10.0.0.1", Some("a snapshot of the blob (sr=bs)"), Some("10.0.0.1")),
            ("sr=bv&sip=10.0.0.1-10.0.0.9", Some("a version of the blob (sr=bv)"), Some("10.0.0.1-10.0.0.9")),
            ("sr=b&sip=sig%3Dx", None, None),
            ("sr=c", None, None),
        ] {
            let sas = Sas::parse(query);
            assert_eq!((sas.is_for_past(), sas.addresses()), (past, addresses), "{query}");
        }
        for (query, scheme, is_usable) in [
            ("spr=https", "http", false),
            ("spr=https", "https", true),
            ("spr=https,http", "http", true),
            ("ss=bfqt&srt=sco", "https", true),
            ("ss=f&srt=sco", "https", false),
            ("ss=b&srt=c", "https", false),
        ] {
            assert_eq!(Sas::parse(query).unusable(scheme).is_none(), is_usable, "{query}");
        }
    }

    #[test]
    fn times_come_in_three_forms() {
        let seconds = |query| Sas::parse(query).ends.map(OffsetDateTime::unix_timestamp);
        for query in ["se=2026-01-02T00:00:00Z", "se=2026-01-02t00%3A00%3A00z", "se=2026-01-02T00:00Z", "se=2026-01-02"] {
            assert_eq!(seconds(query), Some(1_767_312_000), "{query}");
        }
        assert_eq!(seconds("se=tomorrow"), None);
    }

    #[test]
    fn the_signature_is_not_kept() {
        assert!(!format!("{:?}", Sas::parse("sp=r&sig=SECRET&se=2026-01-01")).contains("SECRET"));
        assert_eq!(Sas::parse("sp=r%3Csig=SECRET").permissions(), None);
    }
}
