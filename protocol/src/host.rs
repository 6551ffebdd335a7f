//! Which hosts are this machine.

use std::net::{IpAddr, Ipv6Addr};

/// Whether a host, as it stands in a URL, is a loopback address: what is sent there does not leave the machine.
pub fn is_loopback(host: &str) -> bool {
    let of_ipv6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match of_ipv6 {
        Some(text) => text.parse::<Ipv6Addr>().ok().map(|address| address.to_canonical()),
        None => host.parse::<IpAddr>().ok(),
    };
    address.map_or(host == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_known() {
        for host in ["127.0.0.1", "127.9.8.7", "[::1]", "::1", "localhost", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["", "128.0.0.1", "0.0.0.0", "[::]", "[::2]", "127.0.0.1.example", "localhost.example", "a.localhost", "LOCALHOST."]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
