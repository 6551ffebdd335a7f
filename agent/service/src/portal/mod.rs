//! How do people use the service in a browser?
//!
//! Handlers parse a form, call a use case of `jobs` (or read the store), and show a page. What may be done now is asked
//! of the state machine itself. Parts of pages that change come as server-sent events; without scripts a page is
//! reloaded.
//!
//! | file | responsibility |
//! |---|---|
//! | `router` | paths and assets |
//! | `protect` | where forms may come from, headers of every answer, a limit for clients that are not logged in |
//! | `page` | a page as an answer, and why it cannot be shown |
//! | `links` | addresses of pages |
//! | `viewer` | the person who looks, and their cookies |
//! | `extract` | what handlers take from a request: viewer, job, form |
//! | `login` | logging in and out |
//! | `bays` | the bays, one card each (operators) |
//! | `attention` | what waits for a person (operators) |
//! | `docking`, `check_in` | docking, taking out and checking in by hand (operators) |
//! | `rate` | how fast all copies may be together (operators) |
//! | `jobs` | the list of jobs |
//! | `job` | one job: drives, receipts, history |
//! | `drive`, `drive_card` | one drive of a job |
//! | `files` | files to download |
//! | `new` | the form of a new job |
//! | `confirm`, `missing`, `correct`, `ship`, `retry` | pages that ask before an action |
//! | `actions` | what is done with a job |
//! | `offers` | what may be done now |
//! | `live` | pages that are kept up to date |
//! | `forms`, `bars`, `copy_card`, `time_text` | parts of pages |
//!
//! # What keeps it safe
//! A strict content security policy (nothing inline, nothing from elsewhere), cookies that scripts and other sites
//! cannot use, a secret in every form, and every text escaped by its template.

mod about;
mod actions;
mod attention;
mod audit;
mod bars;
mod bays;
mod check_in;
mod confirm;
mod copy_card;
mod correct;
mod docking;
mod drive;
mod drive_card;
mod extract;
mod files;
mod forms;
mod job;
mod jobs;
mod links;
mod live;
mod login;
mod missing;
mod new;
mod offers;
mod page;
mod protect;
mod rate;
mod receive;
mod retry;
mod router;
mod ship;
mod slip;
mod time_text;
mod viewer;

pub(crate) use router::router;
