//! Parsers of this crate that nothing outside of it calls: for the fuzz targets of the tests.

pub use crate::account::fuzzing::blobs_of_page;
pub use crate::azure::fuzzing::{chunks_of_list, is_asked_range, proof, server_text};
