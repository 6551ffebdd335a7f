//! How does a pipeline keep moving, within its limits, and how does it end?
//!
//! | file | responsibility |
//! |---|---|
//! | [`pool`] | the buffers: the only memory that grows with anything, and so the back-pressure |
//! | [`concurrency`] | how many requests run at once, found by trying |
//! | [`readers`] | the same for the threads that read a drive |
//! | [`rate`] | `--rate`, and the share of the rate that several transfers have together |
//! | [`attempts`] | trying a request until it succeeds, is refused for good, or a stop is asked for |
//! | [`drive_call`] | a call into a drive that ends in time |
//! | [`watchdog`] | watching calls into a drive from outside |
//! | [`threads`] | named threads that report how they ended, a panic as an error of their stage |
//! | [`failure`] | the first failure of a transfer, which ends the rest |
//! | [`drain`] | the end of a pipeline that was asked to stop |
//! | [`machine_memory`] | what memory this process can have at all |

pub(crate) mod attempts;
pub(crate) mod concurrency;
pub(crate) mod drain;
pub(crate) mod drive_call;
pub(crate) mod failure;
pub(crate) mod machine_memory;
pub(crate) mod pool;
pub(crate) mod rate;
pub(crate) mod readers;
pub(crate) mod threads;
pub(crate) mod watchdog;
