//! Versions of the published API that are understood.

/// The versions, the oldest first.
pub const API_VERSIONS: [&str; 3] = ["2016-11-01", "2020-08-01", "2021-01-01"];
