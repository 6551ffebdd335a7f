//! What tests of this crate and of the whole program need of real parts.

#![allow(clippy::expect_used, clippy::print_stderr, reason = "it is part of tests")]

mod postgres;

pub use postgres::PostgresServer;
