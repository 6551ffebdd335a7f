//! The whole system, through its program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod structure;
mod support;

mod architecture;
mod azure;
mod azure_answers;
mod azure_fake;
mod azure_obstacles;
mod azure_pages;
mod bad_input;
mod bench;
mod blob_conformance;
mod cancel;
mod clients;
mod completion;
mod devices;
mod directory;
mod drives;
mod faults;
mod instructions;
mod job_model;
mod limits;
mod manifests;
mod opening;
mod output;
mod ownership;
mod portal;
mod profiles;
mod readme;
mod rescue;
mod resume;
mod service;
mod service_access;
mod service_bays;
mod service_cancel;
mod service_cancel_early;
mod service_crash;
mod service_dead_ends;
mod service_delete;
mod service_identity;
mod service_ranges;
mod signals;
mod supply_chain;
mod unit;
mod unreadable;
