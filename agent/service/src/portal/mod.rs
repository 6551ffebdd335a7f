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
//! | `bays`, `bay_card`, `bay_totals` | the bays, as cards or as a table (operators) |
//! | `attention` | what waits for a person (operators) |
//! | `docking`, `check_in` | docking, taking out and checking in by hand (operators) |
//! | `rate` | how fast all copies may be together (operators) |
//! | `jobs`, `job_rows` | the list of jobs |
//! | `job`, `next_steps` | one job: drives, receipts, history, what comes next |
//! | `drive`, `drive_card` | one drive of a job |
//! | `tokens`, `audit`, `about` | who may do what, who did what, and what the service is |
//! | `files` | files to download |
//! | `new`, `edit`, `job_form` | a new job, and changing one that is not shipped |
//! | `confirm`, `missing`, `correct`, `ship`, `retry` | pages that ask before an action |
//! | `actions` | what is done with a job |
//! | `offers` | what may be done now |
//! | `live` | pages that are kept up to date |
//! | `forms`, `bars`, `copy_card`, `time_text`, `sentence` | parts of pages |
//!
//! # What keeps it safe
//! A strict content security policy (nothing inline, nothing from elsewhere), cookies that scripts and other sites
//! cannot use, a secret in every form, and every text escaped by its template.

mod about;
mod actions;
mod attention;
mod audit;
mod bars;
mod bay_card;
mod bay_totals;
mod bays;
mod check_in;
mod confirm;
mod copy_card;
mod correct;
mod docking;
mod drive;
mod drive_card;
mod edit;
mod extract;
mod files;
mod forms;
mod job;
mod job_form;
mod job_rows;
mod jobs;
mod links;
mod live;
mod login;
mod missing;
mod new;
mod next_steps;
mod offers;
mod page;
mod protect;
mod rate;
mod receive;
mod retry;
mod router;
mod sentence;
mod ship;
mod slip;
mod time_text;
mod tokens;
mod viewer;

pub(crate) use router::router;
