//! What does a caller give a transfer, and what does it hold of it while it runs?
//!
//! | file | responsibility |
//! |---|---|
//! | [`options`] | everything that the caller decides beforehand |
//! | [`link_meter`] | what the link to a store carries |
//! | [`handle`] | the two-way line while it runs: stop, counters, notices |
//! | [`stop`] | asking a transfer to stop, once and for good |
//! | [`counters`] | what the stages count, and the snapshots that a caller takes |
//! | [`shared_budget`] | what several transfers of one host share: bandwidth, and processors to hash with |
//! | [`live_rate`], [`pacer`] | a rate that may change, and spreading bytes over time at it |

pub(crate) mod counters;
pub(crate) mod handle;
pub(crate) mod link_meter;
pub(crate) mod live_rate;
pub(crate) mod options;
pub(crate) mod pacer;
pub(crate) mod shared_budget;
pub(crate) mod stop;
