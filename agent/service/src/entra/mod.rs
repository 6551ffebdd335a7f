//! Whose token is it, and how does a person sign in at Entra ID?
//!
//! | file | responsibility |
//! |---|---|
//! | `settings` | issuer, audience, key set, sign-in |
//! | `fetch` | answers of the issuer, and their limits |
//! | `token` | validating JSON Web Tokens, and the key set |
//! | `sign_in` | the authorization code flow |
//! | `pending` | sign-ins under way |

mod fetch;
mod pending;
mod settings;
mod sign_in;
mod token;

pub(crate) use pending::SIGN_IN_TIMEOUT;
pub use settings::{EntraSettings, SignInSettings};
pub(crate) use sign_in::SignInError;
pub use token::Entra;
pub(crate) use token::actor_by_keys;
