//! Which proxy leads to a host, if any: one pure function of the variables, the option and the host.
//!
//! | said | meaning |
//! |---|---|
//! | `--proxy none` | no proxy at all |
//! | `--proxy URL` | this proxy, whatever the variables say |
//! | `https_proxy`, `HTTPS_PROXY` | the proxy to https addresses |
//! | `http_proxy`, `HTTP_PROXY` | the proxy to http addresses |
//! | `all_proxy`, `ALL_PROXY` | the proxy where the one for the scheme is missing |
//! | `no_proxy`, `NO_PROXY` | hosts that are reached without it, with the option too |
//!
//! A variable that is empty counts as absent, and the one in small letters comes first, as with curl. Loopback addresses
//! are never reached through a proxy: its loopback is another machine's.

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::http::HeaderValue;
use percent_encoding::percent_decode_str;
use protocol::host::is_loopback;
use url::Url;

/// The word that switches proxies off.
const NONE: &str = "none";

/// The port of a proxy whose address has none.
const DEFAULT_PORT: u16 = 80;

/// Why a text does not name a proxy. Never has the text: a password may be in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It is not an address.
    #[error("{0} is not the address of a proxy: write http://HOST:PORT, or http://NAME:PASSWORD@HOST:PORT")]
    NotAnAddress(&'static str),
    /// It is a proxy of another kind.
    #[error(
        "{called} names a proxy of the kind `{scheme}`, which is not supported: name one that is reached by http \
         (http://HOST:PORT), or do without with `--proxy none`"
    )]
    Kind {
        /// Where the address stands.
        called: &'static str,
        /// Its scheme.
        scheme: String,
    },
}

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// As it stands in an address.
    host: String,
    port: u16,
    /// What it is sent of the name and the password, where it has been given them.
    pub(super) authorization: Option<HeaderValue>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl Proxy {
    /// Understands an address; `called` says where it stands.
    fn parse(text: &str, called: &'static str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError::NotAnAddress(called);
        let text = text.trim();
        let url = match text.split_once("://") {
            Some((scheme, _)) if !scheme.eq_ignore_ascii_case("http") => {
                let is_scheme =
                    !scheme.is_empty() && scheme.len() <= 10 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
                return match is_scheme {
                    true => Err(ProxyError::Kind { called, scheme: scheme.to_lowercase() }),
                    false => Err(wrong()),
                };
            }
            Some(_) => Url::parse(text),
            None => Url::parse(&format!("http://{text}")),
        };
        let url = url.map_err(|_| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !is_bare {
            return Err(wrong());
        }
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (name, password) => Some(basic(name, password.unwrap_or_default()).ok_or_else(wrong)?),
        };
        Ok(Proxy { host, port: url.port().unwrap_or(DEFAULT_PORT), authorization })
    }

    /// Its address without the password.
    pub(super) fn uri(&self) -> String {
        format!("http://{self}/")
    }
}

/// A name and a password as a header has them.
fn basic(name: &str, password: &str) -> Option<HeaderValue> {
    let mut plain = percent_decode_str(name).collect::<Vec<u8>>();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let mut header = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(plain))).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The proxies of one account. The default has none.
#[derive(Debug, Clone)]
pub struct Proxies {
    http: Result<Option<Proxy>, ProxyError>,
    https: Result<Option<Proxy>, ProxyError>,
    exempt: Vec<Exempt>,
}

impl Default for Proxies {
    fn default() -> Self {
        Proxies { http: Ok(None), https: Ok(None), exempt: Vec::new() }
    }
}

impl Proxies {
    /// Those of the option, which is called so in errors, and of the process's environment.
    ///
    /// # Errors
    /// When the option does not name a proxy. A variable that does not is an error for the hosts that it is about.
    pub fn from_process(option: Option<&str>, called: &'static str) -> Result<Self, ProxyError> {
        // What is not UTF-8 is not an address, and must not pass for absent.
        Self::new(option, called, |name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    }

    fn new(option: Option<&str>, called: &'static str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let exempt = set("no_proxy").or_else(|| set("NO_PROXY")).map_or_else(Vec::new, |list| Exempt::list(&list));
        let first = |names: [&'static str; 4]| {
            let found = names.into_iter().find_map(|name| Some((name, set(name)?)));
            found.map(|(name, value)| Proxy::parse(&value, name)).transpose()
        };
        Ok(match option {
            Some(option) if option.trim().eq_ignore_ascii_case(NONE) => Proxies::default(),
            Some(option) => {
                let proxy = Some(Proxy::parse(option, called)?);
                Proxies { http: Ok(proxy.clone()), https: Ok(proxy), exempt }
            }
            None => Proxies {
                http: first(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
                https: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
                exempt,
            },
        })
    }

    /// The proxy that leads to a host, which is given as it stands in an address.
    ///
    /// # Errors
    /// When what names it does not name a proxy.
    pub(super) fn proxy_to(&self, is_https: bool, host: &str, port: u16) -> Result<Option<&Proxy>, ProxyError> {
        let host = host.trim_end_matches('.').to_lowercase();
        if is_loopback(&host) || self.exempt.iter().any(|exempt| exempt.is_of(&host, port)) {
            return Ok(None);
        }
        let proxy = if is_https { &self.https } else { &self.http };
        proxy.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// The same for the host of an address.
    pub(super) fn proxy_to_url(&self, url: &Url) -> Result<Option<&Proxy>, ProxyError> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        self.proxy_to(url.scheme() == "https", host, port)
    }
}

/// Hosts that are reached without a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exempt {
    All,
    /// A host and those below it.
    Domain(String, Option<u16>),
    /// Addresses whose first bits are these.
    Network(IpAddr, u8, Option<u16>),
}

impl Exempt {
    fn list(text: &str) -> Vec<Self> {
        let parts = text.split(|letter: char| letter == ',' || letter.is_whitespace());
        parts.filter(|part| !part.is_empty()).filter_map(Self::parse).collect()
    }

    fn parse(part: &str) -> Option<Self> {
        if part == "*" {
            return Some(Exempt::All);
        }
        if let Some(network) = Self::network(part, None) {
            return Some(network);
        }
        let (host, port) = match part.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, Some(port)),
            _ => (part, None),
        };
        if let Some(network) = Self::network(host, port) {
            return Some(network);
        }
        let name = host.strip_prefix('*').unwrap_or(host).trim_matches('.').to_lowercase();
        (!name.is_empty()).then_some(Exempt::Domain(name, port))
    }

    fn network(text: &str, port: Option<u16>) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = without_brackets(address).parse::<IpAddr>().ok()?.to_canonical();
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).ok().filter(|bits| *bits <= all)?;
        Some(Exempt::Network(address, bits, port))
    }

    /// Whether a host in small letters is one of these.
    fn is_of(&self, host: &str, port: u16) -> bool {
        let is_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Exempt::All => true,
            Exempt::Domain(name, wanted) => {
                let is_below = || host.strip_suffix(name.as_str()).is_some_and(|before| before.ends_with('.'));
                is_port(wanted) && (host == name || is_below())
            }
            Exempt::Network(network, bits, wanted) => {
                let address = without_brackets(host).parse::<IpAddr>().ok().map(|address| address.to_canonical());
                is_port(wanted) && address.is_some_and(|address| has_first_bits(address, *network, *bits))
            }
        }
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// Whether the first bits of two addresses of one kind are the same.
fn has_first_bits(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (one, other, width) = match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u128::from(one.to_bits()), u128::from(other.to_bits()), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    (one ^ other).checked_shr(width - u32::from(bits)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(option: Option<&str>, variables: &[(&str, &str)]) -> Proxies {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Proxies::new(option, "`--proxy`", get).unwrap()
    }

    fn shown(proxies: &Proxies, url: &str) -> String {
        match proxies.proxy_to_url(&Url::parse(url).unwrap()) {
            Ok(proxy) => proxy.map_or_else(|| "direct".to_owned(), Proxy::to_string),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_option_comes_before_the_variables_and_small_letters_before_capitals() {
        const TO: &str = "https://acme.blob.core.windows.net/c/n";
        const TO_PLAIN: &str = "http://store.example/c/n";
        type Case = (Option<&'static str>, &'static [(&'static str, &'static str)], &'static str, &'static str);
        let cases: [Case; 13] = [
            (None, &[], TO, "direct"),
            (None, &[("HTTPS_PROXY", "http://p:3128")], TO, "p:3128"),
            (None, &[("HTTPS_PROXY", "http://p:3128")], TO_PLAIN, "direct"),
            (None, &[("HTTP_PROXY", "http://p:3128")], TO, "direct"),
            (None, &[("HTTP_PROXY", "p:3128/")], TO_PLAIN, "p:3128"),
            (None, &[("ALL_PROXY", "p")], TO_PLAIN, "p:80"),
            (None, &[("ALL_PROXY", "a:1"), ("https_proxy", "b:2")], TO, "b:2"),
            (None, &[("HTTPS_PROXY", "a:1"), ("https_proxy", "b:2")], TO, "b:2"),
            (None, &[("HTTPS_PROXY", "a:1"), ("https_proxy", " ")], TO, "a:1"),
            (Some("http://u:p@[fd00::1]:8080"), &[("HTTPS_PROXY", "a:1")], TO, "[fd00::1]:8080"),
            (Some("none"), &[("HTTPS_PROXY", "a:1")], TO, "direct"),
            (Some("a:1"), &[("NO_PROXY", "windows.net")], TO, "direct"),
            (Some("a:1"), &[("NO_PROXY", "windows.net")], TO_PLAIN, "a:1"),
        ];
        for (option, variables, to, wanted) in cases {
            assert_eq!(shown(&proxies(option, variables), to), wanted, "{option:?} {variables:?} {to}");
        }
    }

    #[test]
    fn hosts_are_exempt_by_name_suffix_address_and_network() {
        for (list, url, is_exempt) in [
            ("*", "https://10.0.0.1", true),
            ("*", "https://acme.example", true),
            ("acme.example", "https://acme.example", true),
            ("ACME.example", "https://acme.EXAMPLE.", true),
            ("acme.example", "https://a.acme.example", true),
            (".acme.example", "https://acme.example", true),
            ("*.acme.example", "https://a.acme.example", true),
            ("acme.example", "https://notacme.example", false),
            ("acme.example", "https://acme.example.evil", false),
            ("other, acme.example", "https://acme.example", true),
            ("other acme.example", "https://acme.example", true),
            ("acme.example:8443", "https://acme.example", false),
            ("acme.example:8443", "https://acme.example:8443", true),
            ("10.0.0.1", "https://10.0.0.1", true),
            ("10.0.0.1", "https://10.0.0.2", false),
            ("10.0.0.0/8", "https://10.9.9.9", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("0.0.0.0/0", "https://11.0.0.1", true),
            ("0.0.0.0/0", "https://acme.example", false),
            ("10.0.0.0/33", "https://10.0.0.1", false),
            ("fd00::/8", "https://[fd12::1]", true),
            ("[fd12::1]:443", "https://[fd12::1]", true),
            ("fd12::1", "https://[fd12::2]", false),
            (",, ", "https://acme.example", false),
        ] {
            let found = shown(&proxies(None, &[("ALL_PROXY", "p:1"), ("NO_PROXY", list)]), url);
            assert_eq!(found == "direct", is_exempt, "{list} {url}");
        }
    }

    #[test]
    fn loopback_is_reached_without_a_proxy() {
        for url in ["http://127.0.0.1:10000/a", "http://localhost:10000/a", "https://[::1]/a", "https://LOCALHOST./a"] {
            assert_eq!(shown(&proxies(Some("p:1"), &[]), url), "direct", "{url}");
            assert_eq!(shown(&proxies(None, &[("ALL_PROXY", "socks5://p:1")]), url), "direct", "{url}");
        }
    }

    #[test]
    fn a_name_and_a_password_are_sent_and_never_shown() {
        let proxies = proxies(Some("http://us%40er:pa%3Ass@p:3128"), &[]);
        let proxy = proxies.proxy_to(true, "acme.example", 443).unwrap().unwrap().clone();
        let header = proxy.authorization.clone().unwrap();
        assert_eq!(header.to_str().unwrap(), format!("Basic {}", BASE64_STANDARD.encode("us@er:pa:ss")));
        assert!(!format!("{proxy:?} {proxy} {} {proxies:?}", proxy.uri()).contains("pa"), "{proxy:?}");
        for (bad, words) in [
            ("socks5://us:SECRET@p:1", "`socks5`"),
            ("https://us:SECRET@p:1", "`https`"),
            ("http://us:SECRET@", "http://HOST:PORT"),
            ("http://us:SECRET@p:99999", "http://HOST:PORT"),
            ("http://us:SECRET@p:1/path", "http://HOST:PORT"),
            ("http://us:SECRET@p:1?x", "http://HOST:PORT"),
            ("SECRET//://p", "http://HOST:PORT"),
            ("", "http://HOST:PORT"),
        ] {
            let error = Proxies::new(Some(bad), "`--proxy`", |_| None).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("SECRET"), "{error}");
        }
    }
}
