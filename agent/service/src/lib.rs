//! The job service: what customers and staff see.
//!
//! This crate is the control plane: it will hold the job store, the scheduler, the REST API and the
//! portal, and never sees a drive or a byte. It meets the data plane in one file of the program, where a
//! transfer is started, stopped and asked how far it is; the words of both are in `protocol`.
//!
//! It is empty but for this page until the job service is built.
