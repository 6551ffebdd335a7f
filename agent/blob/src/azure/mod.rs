//! How are block and page blobs of Azure reached, on the official SDK?
//!
//! The SDK's own retries are off and the transport is ours: attempts are counted, timed and cancelled
//! by the copy engine alone. Checksums: CRC-64 first; a server that does not know it (an emulator) is
//! given Content-MD5 from then on.
//!
//! | file | responsibility |
//! |---|---|
//! | [`account`] | an account: credentials, transport, pipeline |
//! | [`credentials`], [`connection_string`] | who we are: SAS, keys, connection strings, Entra ID |
//! | [`shared_key`], [`sign_in`] | signing a request with a key; tokens of Entra ID |
//! | [`client`] | one blob: how it is reached, and what a look at it says |
//! | [`blob`] | what every store promises |
//! | [`block`], [`page`], [`whole_file`] | uploads: block blobs, page blobs, small files |
//! | [`page_writer`], [`existing`] | writing pages; a page blob that exists and is written into |
//! | [`reading`], [`known_length`], [`page_ranges`] | ranges of a blob, and which of a page blob were written |
//! | [`checksums`], [`fence`] | what every request passes: checksums, the transfer's own number |
//! | [`leftovers`] | what an upload left that was not finished |
//! | [`obstacles`] | what keeps a blob from being read or replaced |
//! | [`kind`], [`metadata`], [`described`] | block or page; what we write beside the bytes, and what a blob has there |
//! | [`sas`] | what a shared access signature says of itself |
//! | [`error`], [`denied`] | what a failure of a server means, and why a request was denied |
//! | [`foreign_answer`] | answers of something else than the store |
//! | `fuzzing` | what fuzz targets try of all that |

mod account;
mod blob;
mod block;
mod checksums;
mod client;
mod connection_string;
mod credentials;
mod denied;
mod described;
mod error;
mod existing;
mod fence;
mod foreign_answer;
pub(crate) mod fuzzing;
mod kind;
mod known_length;
mod leftovers;
mod metadata;
mod obstacles;
mod page;
mod page_ranges;
mod page_writer;
mod reading;
mod sas;
mod shared_key;
mod sign_in;
mod whole_file;

pub use account::AzureAccount;
pub use client::AzureBlob;
pub use error::AzureFailure;
pub use foreign_answer::ForeignAnswer;
pub use kind::{BlobKind, PageForm};
pub(crate) use obstacles::is_folder;
