//! Parsers of this crate that nothing outside of it calls: for the fuzz targets of the tests.

pub use crate::account::fuzzing::blobs_of_page;
pub use crate::azure::fuzzing::{chunks_of_list, is_asked_range, proof, server_text};
pub use crate::http::fuzzing::objects_of_page;

/// Of the answers of S3.
pub mod s3 {
    pub use crate::s3::fuzzing::{error_of, etag_of_result, parts_of_page, uploads_of_page};
}

/// Of the answers of Google Cloud Storage.
pub mod gcs {
    pub use crate::gcs::fuzzing::{checksum_of, error_of};
}
