//! What happens on a host with bays? The one place where jobs and drives meet.
//!
//! | file | responsibility |
//! |---|---|
//! | `config` | the configuration file |
//! | `host` | what the copies of this host share: bays, accounts, budgets, folders |
//! | `accounts` | blob accounts that can be reached |
//! | `memory` | the memory that all copies have together |
//! | `rate` | what all copies may move together, by the week and by order |
//! | `docks`, `docked_by_hand` | bays, and what is in them; the list that a restart finds |
//! | `look` | looking at what is attached, again and again |
//! | `worker` | what the control plane asks for, done with drives and stores |
//! | `copying` | one copy from its order to its result |
//! | `ordered` | what follows from an order alone |
//! | `accounting` | what a copy moved that is not continued now |
//! | `journal_segments`, `kept_journal` | keeping the journal of a copy for other hosts; how it lies in the account |
//! | `select` | which blobs an export asks for |
//! | `logs`, `log_manifest` | copy logs; the manifest that they are written from |

mod accounting;
pub(crate) mod accounts;
pub(crate) mod config;
mod copying;
mod docked_by_hand;
pub(crate) mod docks;
pub(crate) mod host;
mod journal_segments;
mod kept_journal;
mod log_manifest;
mod logs;
mod look;
pub(crate) mod memory;
mod ordered;
pub(crate) mod rate;
pub(crate) mod select;
mod worker;
