//! Talking to a job service.
//!
//! | file | responsibility |
//! |---|---|
//! | [`service`] | which service, with which token; requests and their answers |
//! | [`published`] | the published API: jobs |
//! | [`events`] | streams of server-sent events |
//! | [`pages`] | lists that come in pages, which have an end |
//! | [`body`] | answers of bounded length |
//! | [`error`] | why something was not answered |

mod body;
mod error;
mod events;
mod pages;
mod published;
mod service;

pub(crate) use error::ClientError;
pub(crate) use events::next_event;
pub(crate) use published::JobPath;
pub(crate) use service::JobService;
