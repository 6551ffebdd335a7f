//! Settings of Entra ID.

use std::path::PathBuf;

use serde::Deserialize;

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntraSettings {
    /// `https://login.microsoftonline.com/TENANT/v2.0`
    pub issuer: String,
    /// The application's id.
    pub audience: String,
    /// The address of the key set; or a file with it, where the station may not reach it.
    pub jwks: String,
    /// How people log in to the portal with it; with a pasted token alone, where it is absent.
    pub sign_in: Option<SignInSettings>,
}

/// How people log in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInSettings {
    /// The application's id, which the issuer gives for tokens of people.
    pub client_id: String,
    /// A file with the application's secret; without one the application is a public one.
    pub client_secret_file: Option<PathBuf>,
}
