//! How are stores across a network reached? HTTP and TLS, one attempt a request, whichever store it is.
//!
//! | file | responsibility |
//! |---|---|
//! | [`transport`], [`connection`], [`noted_stream`] | HTTP and TLS, and when a connection counts as silent |
//! | [`network`], [`proxy`], [`tunnel`], [`certificates`], [`connect_failure`] | the way there: proxies, whose certificates are trusted, and why it is closed |
//! | [`hosts`] | which host may be given which credential |
//! | [`token_client`] | the same way, for the library that obtains credentials |
//! | [`bounded`] | answers that end |
//! | [`answers`], [`range`], [`xml`], [`listing`], [`server_text`] | what an answer says, and what of it can be shown |
//! | `fuzzing` | what fuzz targets try of lists |
//! | [`failure`], [`causes`] | requests that were not answered, and what caused an error |

pub(crate) mod answers;
pub(crate) mod bounded;
pub(crate) mod causes;
pub(crate) mod certificates;
pub(crate) mod connect_failure;
mod connection;
pub(crate) mod failure;
pub(crate) mod fuzzing;
pub(crate) mod hosts;
pub(crate) mod listing;
pub(crate) mod network;
mod noted_stream;
pub(crate) mod proxy;
pub(crate) mod range;
pub(crate) mod server_text;
pub(crate) mod token_client;
pub(crate) mod transport;
mod tunnel;
pub(crate) mod xml;

pub use bounded::AnswerTooLong;
pub use certificates::{CertificatesError, Issuers, TransportError};
pub use connect_failure::{ConnectFailure, ProxyProblem};
pub use failure::HttpFailure;
pub use hosts::{HostRefusal, NotAHost, Owner, TrustedHost, may_be_sent};
pub use network::Network;
pub use proxy::{Proxies, ProxyError};
pub use transport::{SILENCE_MAX, Silence};
