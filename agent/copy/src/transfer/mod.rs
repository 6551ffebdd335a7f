//! What do imports and exports have in common, before and after the pipeline?
//!
//! | file | responsibility |
//! |---|---|
//! | [`scene`] | what is known when it is decided whether a transfer may begin |
//! | [`context`] | what all steps need of one that may, and what they have in common |
//! | [`begin`] | what an earlier run left, and whether it may be resumed |
//! | [`identify`] | which drive it is, found out in time whatever hangs |
//! | [`look`] | looking at a target where that is permitted |
//! | [`reuse`] | what an earlier run moved: is it still there? |
//! | [`result`] | the end: result and receipt |
//! | [`staging`] | where an import puts what is not its blob yet |
//! | [`unfinished`] | transfers that were begun and not finished, and forgetting one |
//! | [`unopened`] | a transfer that ends before its first byte |
//! | [`account`] | what an interrupted transfer did, from its journal alone |

pub(crate) mod account;
pub(crate) mod begin;
pub(crate) mod context;
pub(crate) mod identify;
pub(crate) mod look;
pub(crate) mod result;
pub(crate) mod reuse;
pub(crate) mod scene;
pub(crate) mod staging;
pub(crate) mod unfinished;
pub(crate) mod unopened;
