//! Parsers of this crate that nothing outside of it calls: for the fuzz targets of the tests.

use crate::entra::actor_by_keys;

/// Whose a token of Entra ID is, by a key set.
pub fn actor_of_token(keys: &[u8], token: &str, issuer: &str, audience: &str) -> Option<String> {
    actor_by_keys(keys, token, issuer, audience).map(|actor| actor.name)
}
