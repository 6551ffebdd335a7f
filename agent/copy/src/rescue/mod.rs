//! What is known of a drive that fails, and where are the good bytes of unfinished chunks?
//!
//! Three files remember it. Beside the journal: a map whose `+` means *in the scratch file*, and the scratch
//! file itself. Where the user wants one (`--mapfile`): a map whose `+` means *in the blob*, so that
//! ddrescue can take over from it.
//!
//! | file | responsibility |
//! |---|---|
//! | [`scene`] | what a rescue begins with |
//! | [`open`] | what an earlier run and the user's map know, taken up |
//! | [`state`] | what is known of every place, and what to read next |
//! | [`save`] | making the maps say what is known now |
//! | [`users_map`] | the user's map and image: checked before anything is begun |
//! | [`scratch`] | where good bytes of unfinished chunks wait |
//! | [`files`] | the files beside a journal |

mod files;
mod open;
mod save;
mod scene;
mod scratch;
mod state;
mod users_map;

pub(crate) use files::forget_beside;
pub(crate) use scene::RescueScene;
pub(crate) use state::{Rescue, is_slow};
