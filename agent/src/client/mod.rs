//! Talking to a job service.
//!
//! | file | responsibility |
//! |---|---|
//! | [`service`] | which service, with which token; requests and their answers, events |
//! | [`pages`] | lists that come in pages, which have an end |
//! | [`body`] | answers of bounded length |
//! | [`error`] | why something was not answered |

mod body;
mod error;
mod pages;
mod service;

pub(crate) use error::ClientError;
pub(crate) use service::{JobService, next_event};
