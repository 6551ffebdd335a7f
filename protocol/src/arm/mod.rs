//! The REST API on the wire: the bodies of Microsoft.ImportExport, what they may hold, and its errors.
//!
//! Readers are tolerant where the real service is (unknown fields, names in any case of their letters, `null`, `"state": ""`, both spellings of
//! `blobListBlobPath`), writers leave absent what is not known: no field is ever `null`. What is wrong with a body
//! is reported with the path of the field, all of it at once.

mod body;
mod documents;
mod error;
mod filter;
mod job;
mod keys;
mod location;
mod names;
mod operations;
mod receipts;
mod validate;

#[cfg(test)]
mod tests;

pub use body::{BodyError, read_body};
pub use documents::{DIAGNOSTICS_CONTAINER, DocumentNames, ERROR_LOG, MANIFEST_LOG, VERBOSE_LOG, log_name};
pub use error::{ErrorBody, ErrorDetail, ErrorResponse};
pub use filter::{Filter, FilterError};
pub use job::{
    Address, BlobList, DeliveryPackage, DriveStatus, EncryptionKey, Export, Identity, JobDetails, JobList, JobResponse, LogLevel,
    Package, PutJob, ReturnShipping, SystemData, UpdateJob, UpdateProperties,
};
pub use keys::DriveKey;
pub use location::{LocationProperties, LocationResponse};
pub use names::{read_job_body, read_update_body};
pub use operations::{Operation, OperationDisplay, OperationList};
pub use receipts::{CopyResult, CustomerReceipt, DriveReceipt, ReceiptsDocument};
pub use validate::{FieldProblem, drive_id_of, is_drive_id, is_job_name, is_resource_group_name, validate_put, validate_update};

/// The versions of the published API that are understood, the oldest first.
pub const API_VERSIONS: [&str; 3] = ["2016-11-01", "2020-08-01", "2021-01-01"];
