//! Why a call of a station is not answered with orders.

use protocol::station::{CALL_VERSION, ReportProblem};

/// Why a call of a station was not answered with orders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Another process called under this name.
    #[error("a later process of the station `{0}` runs: this one stops")]
    Replaced(String),
    /// Another station may still run copies under this name.
    #[error(
        "another station has the name `{0}`, and may still run copies: give each its own token, or wait until they have ended"
    )]
    NameInUse(String),
    /// An account has the same name there, and is elsewhere.
    #[error(
        "the account `{account}` is {here} for the service, and {there} for the station: it must be the same place; an account in a directory cannot be shared between hosts"
    )]
    OtherPlace {
        /// Its name.
        account: String,
        /// Where the service has it.
        here: String,
        /// Where the station has it.
        there: String,
    },
    /// What it tells cannot be.
    #[error("the report of the station cannot be true: {0}")]
    Impossible(#[from] ReportProblem),
    /// The station is too old or too new.
    #[error(
        "the station's program calls with version {0}, and this service takes {CALL_VERSION}: install the same version on both"
    )]
    Version(u32),
    /// A later call of the same station came meanwhile.
    #[error("a later call of the station came meanwhile")]
    Superseded,
    /// The service may not grant anything now.
    #[error("this service cannot grant anything now: call again")]
    NotNow,
}
