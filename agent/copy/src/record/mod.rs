//! What survives a crash, and what is known of every chunk?
//!
//! | file | responsibility |
//! |---|---|
//! | [`journal`] | the append-only record of a transfer under way: its lock, appending, replay |
//! | [`table`] | what is known of every chunk, by its index |
//! | [`slot_file`] | fixed-size slots in a file without a name, so that millions of chunks cost no memory |
//! | [`manifest`] | the manifest of a transfer whose chunks have all landed |
//! | [`manifest_place`] | where a copy of it may go |
//! | [`dry_run`] | copies of the journals, for a dry run to look at |

pub(crate) mod dry_run;
pub(crate) mod journal;
pub(crate) mod manifest;
pub(crate) mod manifest_place;
pub(crate) mod slot_file;
pub(crate) mod table;
