//! Requests that another service of the same database sends on: it says which client they come from, and proves that it is one of
//! them. What a client writes there itself is taken off.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;

use super::access::Peer;
use crate::vault::Vault;

/// The client's address.
const CLIENT: HeaderName = HeaderName::from_static("x-drive-agent-client");

/// When it was sent on, in seconds since 1970, and the proof.
const PROOF: HeaderName = HeaderName::from_static("x-drive-agent-proof");

/// How long a proof counts, in seconds: the clocks of the services may differ by as much.
const PROOF_SECONDS: i64 = 300;

/// What is proved.
fn statement(client: IpAddr, at: i64) -> String {
    format!("a request of {client} at {at}")
}

/// Says who a request comes from that is sent on to another service.
pub fn sign(headers: &mut HeaderMap, vault: &Vault, peer: Option<SocketAddr>) {
    headers.remove(CLIENT);
    headers.remove(PROOF);
    let Some(client) = peer.map(|peer| peer.ip()) else { return };
    let at = OffsetDateTime::now_utc().unix_timestamp();
    let proof = format!("{at} {}", vault.proof(&statement(client, at)));
    if let (Ok(client), Ok(proof)) = (HeaderValue::from_str(&client.to_string()), HeaderValue::from_str(&proof)) {
        headers.insert(CLIENT, client);
        headers.insert(PROOF, proof);
    }
}

/// Takes a request for that of the client that another service names, where it proves to be one.
pub(crate) fn understand(mut request: Request, vault: &Vault) -> Request {
    let headers = request.headers_mut();
    let (client, proof) = (headers.remove(CLIENT), headers.remove(PROOF));
    if let Some(client) = client.zip(proof).and_then(|(client, proof)| proved(&client, &proof, vault)) {
        request.extensions_mut().insert(Peer(SocketAddr::new(client, 0)));
    }
    request
}

/// Whether another service says that it sent a request on.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(PROOF)
}

/// Where a request comes from, for one that is sent on.
pub fn peer_of(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.0)
}

fn proved(client: &HeaderValue, proof: &HeaderValue, vault: &Vault) -> Option<IpAddr> {
    let client: IpAddr = client.to_str().ok()?.parse().ok()?;
    let (at, proof) = proof.to_str().ok()?.split_once(' ')?;
    let at: i64 = at.parse().ok()?;
    let is_fresh = at.abs_diff(OffsetDateTime::now_utc().unix_timestamp()) <= PROOF_SECONDS.unsigned_abs();
    (is_fresh && vault.is_proof(&statement(client, at), proof)).then_some(client)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn vault(digit: &str) -> Vault {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        std::fs::write(&path, digit.repeat(64)).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Vault::open(&path).unwrap()
    }

    /// Where a request comes from that was signed with one key, and is understood with another.
    fn understood(signer: &Vault, own: &Vault, client: &str) -> IpAddr {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(Peer(SocketAddr::from(([10, 0, 0, 9], 7))));
        sign(request.headers_mut(), signer, Some(SocketAddr::new(client.parse().unwrap(), 7)));
        let request = understand(request, own);
        assert!(request.headers().is_empty(), "nothing of it goes further");
        peer_of(&request).unwrap().ip()
    }

    #[test]
    fn a_client_is_taken_from_a_service_that_has_the_key() {
        let own = vault("7");
        assert_eq!(understood(&own, &own, "192.0.2.1"), "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(understood(&vault("8"), &own, "192.0.2.1"), "10.0.0.9".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_proof_is_for_one_client_and_a_while() {
        let own = vault("7");
        let client = |text: &str| HeaderValue::from_str(text).unwrap();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let proof = |at: i64| {
            let proof = own.proof(&statement("192.0.2.1".parse().unwrap(), at));
            HeaderValue::from_str(&format!("{at} {proof}")).unwrap()
        };
        assert!(proved(&client("192.0.2.1"), &proof(now), &own).is_some());
        assert!(proved(&client("192.0.2.2"), &proof(now), &own).is_none());
        assert!(proved(&client("192.0.2.1"), &proof(now - 1000), &own).is_none());
        assert!(proved(&client("192.0.2.1"), &client("soon"), &own).is_none());
    }
}
