//! Talking to a job service.
//!
//! | file | responsibility |
//! |---|---|
//! | [`service`] | which service, with which token; requests and their answers |
//! | [`published`], [`job_path`] | the published API: jobs, and where they are |
//! | [`events`] | streams of server-sent events |
//! | [`pages`] | lists that come in pages, which have an end |
//! | [`body`] | answers of bounded length |
//! | [`error`] | why something was not answered |

mod body;
mod error;
mod events;
mod job_path;
mod pages;
mod published;
mod service;

pub(crate) use error::ClientError;
pub(crate) use events::next_event;
pub(crate) use job_path::JobPath;
pub(crate) use service::JobService;
