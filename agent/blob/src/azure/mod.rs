//! How are block and page blobs of Azure reached, on the official SDK?
//!
//! The SDK's own retries are off and the transport is ours: attempts are counted, timed and cancelled
//! by the copy engine alone. Checksums: CRC-64 first; a server that does not know it (an emulator) is
//! given Content-MD5 from then on.
//!
//! | file | responsibility |
//! |---|---|
//! | [`account`] | an account: credentials, transport, pipeline |
//! | [`credentials`], [`connection_string`], [`credential_error`] | who we are: SAS, keys, connection strings, Entra ID |
//! | [`shared_key`], [`sign_in`] | signing a request with a key; tokens of Entra ID |
//! | [`hosts`] | which host may be given which credential |
//! | [`client`] | one blob: how it is reached, and what a look at it says |
//! | [`blob`] | what every store promises |
//! | [`block`], [`page`], [`whole_file`] | uploads: block blobs, page blobs, small files |
//! | [`page_writer`], [`existing`] | writing pages; a page blob that exists and is written into |
//! | [`reading`], [`known_length`], [`page_ranges`] | ranges of a blob, and which of a page blob were written |
//! | [`checksums`], [`bounded`], [`fence`] | what every request passes: checksums, bounded answers, the transfer's own number |
//! | [`transport`], [`connection`], [`noted_stream`] | HTTP and TLS, and when a connection counts as silent |
//! | [`leftovers`] | what an upload left that was not finished |
//! | [`network`], [`proxy`], [`tunnel`], [`certificates`], [`connect_failure`] | the way there: proxies, whose certificates are trusted, and why it is closed |
//! | [`obstacles`] | what keeps a blob from being read or replaced |
//! | [`kind`], [`metadata`], [`described`] | block or page; what we write beside the bytes, and what a blob has there |
//! | [`sas`] | what a shared access signature says of itself |
//! | [`error`], [`denied`], [`causes`], [`server_text`] | what a failure of a server means, why a request was denied, what caused an error, and what a server wrote |
//! | [`foreign_answer`] | answers of something else than the store |
//! | `fuzzing` | what fuzz targets try of all that |

mod account;
mod blob;
mod block;
pub(crate) mod bounded;
pub(crate) mod causes;
mod certificates;
mod checksums;
mod client;
mod connect_failure;
mod connection;
mod connection_string;
mod credential_error;
mod credentials;
mod denied;
mod described;
mod error;
mod existing;
mod fence;
mod foreign_answer;
pub(crate) mod fuzzing;
mod hosts;
mod kind;
mod known_length;
mod leftovers;
mod metadata;
mod network;
mod noted_stream;
mod obstacles;
mod page;
mod page_ranges;
mod page_writer;
mod proxy;
pub(crate) mod reading;
mod sas;
pub(crate) mod server_text;
mod shared_key;
mod sign_in;
pub(crate) mod transport;
mod tunnel;
mod whole_file;

pub use account::AzureAccount;
pub use bounded::AnswerTooLong;
pub use certificates::{CertificatesError, Issuers, TransportError};
pub use client::AzureBlob;
pub use connect_failure::{ConnectFailure, ProxyProblem};
pub use credential_error::CredentialError;
pub use credentials::Environment;
pub use error::AzureFailure;
pub use foreign_answer::ForeignAnswer;
pub use hosts::{HostRefusal, NotAHost, Owner, TrustedHost, may_be_sent};
pub use kind::{BlobKind, PageForm};
pub use network::Network;
pub(crate) use obstacles::is_folder;
pub use proxy::{Proxies, ProxyError};
pub use transport::{SILENCE_MAX, Silence};
