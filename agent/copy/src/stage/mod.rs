//! The stages of a pipeline, one file each. They import chunks and tools, never each other; only `rescue` is
//! reading by other means, and belongs to `read`.

pub(crate) mod fetch;
pub(crate) mod hash;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod rescue;
pub(crate) mod send;
pub(crate) mod write;
