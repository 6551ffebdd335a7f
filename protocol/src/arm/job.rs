//! The bodies of jobs. Names are those of the published API.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::job::{DriveState, JobKind, JobState};

/// Body of Jobs_Create (PUT).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PutJob {
    /// The datacenter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, min_length = 1, max_length = 1024)]
    pub location: Option<String>,
    /// The customer's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = JobDetails, required = true)]
    pub properties: Option<JobDetails>,
}

/// `properties` of a job. What the customer may not write is ignored in requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JobDetails {
    /// Whose blobs: its last segment names the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, min_length = 1, max_length = 1024)]
    pub storage_account_id: Option<String>,
    /// Import or Export.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = JobKind, required = true)]
    pub job_type: Option<JobKind>,
    /// Where the drives go in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_address: Option<Address>,
    /// The carrier that takes them there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_shipping: Option<ReturnShipping>,
    /// Where the drives are sent to. Written by the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub shipping_information: Option<Address>,
    /// How the drives come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_package: Option<DeliveryPackage>,
    /// How they went back. Written by the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub return_package: Option<Package>,
    /// Container and folder of logs and receipts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics_path: Option<String>,
    /// How much is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// Whether manifests are kept in the store too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_drive_manifest: Option<bool>,
    /// Where the job stands; an empty text counts as absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "state_or_nothing")]
    pub state: Option<JobState>,
    /// Whether a cancel was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_requested: Option<bool>,
    /// How far the whole job is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub percent_complete: Option<i64>,
    /// Blobs that could not be exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub incomplete_blob_list_uri: Option<String>,
    /// The drives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 10)]
    pub drive_list: Option<Vec<DriveStatus>>,
    /// What an export takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
    /// `Succeeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub provisioning_state: Option<String>,
    /// With what keys are kept secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<EncryptionKey>,
}

impl JobDetails {
    /// The account: the last segment of its id.
    pub fn account_name(&self) -> &str {
        self.storage_account_id.as_deref().unwrap_or_default().rsplit('/').next().unwrap_or_default()
    }
}

/// An address, of the customer or of a datacenter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Address {
    /// Whose it is.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub recipient_name: String,
    /// Street and number.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub street_address1: String,
    /// More of it.
    #[schema(max_length = 1024)]
    pub street_address2: String,
    /// City.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub city: String,
    /// State or province.
    #[schema(max_length = 1024)]
    pub state_or_province: String,
    /// Postal code.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub postal_code: String,
    /// Country or region.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub country_or_region: String,
    /// Telephone number.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub phone: String,
    /// Mail address; customers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What a carrier should know; datacenters only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_information: Option<String>,
}

impl Address {
    /// As it stands on a parcel, line by line.
    pub fn lines(&self) -> Vec<String> {
        let joined = |parts: &[&str]| {
            let parts: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
            parts.join(" ")
        };
        let more = self.additional_information.as_deref().unwrap_or_default();
        let lines = [
            joined(&[&self.recipient_name]),
            joined(&[&self.street_address1]),
            joined(&[&self.street_address2]),
            joined(&[&self.postal_code, &self.city]),
            joined(&[&self.state_or_province, &self.country_or_region]),
            joined(&[&self.phone]),
            joined(&[more]),
        ];
        lines.into_iter().filter(|line| !line.is_empty()).collect()
    }
}

/// The customer's account with a carrier.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReturnShipping {
    /// The carrier.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub carrier_name: String,
    /// The account.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub carrier_account_number: String,
}

/// How drives come. The date is anything that a customer writes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliveryPackage {
    /// The carrier.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub carrier_name: String,
    /// The tracking number.
    #[schema(required = true, min_length = 1, max_length = 1024)]
    pub tracking_number: String,
    /// How many drives are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 10)]
    pub drive_count: Option<i64>,
    /// When it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ship_date: Option<String>,
}

impl DeliveryPackage {
    /// How many drives come, where that is said: 0 stands for drives that were not counted.
    pub fn announced_drives(&self) -> Option<usize> {
        self.drive_count.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0)
    }
}

/// How drives went back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Package {
    /// The carrier.
    pub carrier_name: String,
    /// The tracking number.
    pub tracking_number: String,
    /// How many drives are in it.
    pub drive_count: i64,
    /// When it was sent, in RFC 3339.
    pub ship_date: String,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum LogLevel {
    /// What went wrong.
    #[default]
    Error,
    /// Everything.
    Verbose,
}

/// A drive of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DriveStatus {
    /// Its serial number, without spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, min_length = 1, max_length = 128)]
    pub drive_id: Option<String>,
    /// Its BitLocker key. Read from requests, never written into an answer.
    #[serde(skip_serializing)]
    #[schema(write_only, pattern = r"^(\d{6}-){7}\d{6}$")]
    pub bit_locker_key: Option<String>,
    /// The manifest on the drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_file: Option<String>,
    /// Its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<String>,
    /// Digests of the drive's first bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive_header_hash: Option<String>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub state: Option<DriveState>,
    /// How its copy goes, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub copy_status: Option<String>,
    /// How far its copy is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub percent_complete: Option<i64>,
    /// Where its verbose log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub verbose_log_uri: Option<String>,
    /// Where its error log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub error_log_uri: Option<String>,
    /// Where its manifest is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub manifest_uri: Option<String>,
    /// Bytes that landed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub bytes_succeeded: Option<i64>,
}

impl DriveStatus {
    /// What a customer may write of a drive.
    pub fn of_customer(&self) -> Self {
        DriveStatus {
            drive_id: self.drive_id.clone(),
            bit_locker_key: self.bit_locker_key.clone(),
            manifest_file: self.manifest_file.clone(),
            manifest_hash: self.manifest_hash.clone(),
            drive_header_hash: self.drive_header_hash.clone(),
            ..DriveStatus::default()
        }
    }
}

/// What an export takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Export {
    /// Blobs by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob_list: Option<BlobList>,
    /// A blob that holds such a list. Early clients write `blobListblobPath`.
    #[serde(rename = "blobListBlobPath", alias = "blobListblobPath", skip_serializing_if = "Option::is_none")]
    pub blob_list_blob_path: Option<String>,
}

/// Blobs by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BlobList {
    /// `/container/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blob_path: Vec<String>,
    /// What names begin with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blob_path_prefix: Vec<String>,
}

/// With what keys are kept secret.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EncryptionKey {
    /// `MicrosoftManaged` or `CustomerManaged`.
    #[serde(rename = "kekType", skip_serializing_if = "Option::is_none")]
    pub kek_type: Option<String>,
    /// Where the key is.
    #[serde(rename = "kekUrl", skip_serializing_if = "Option::is_none")]
    pub kek_url: Option<String>,
    /// Its vault.
    #[serde(rename = "kekVaultResourceID", skip_serializing_if = "Option::is_none")]
    pub kek_vault_resource_id: Option<String>,
}

/// Body of Jobs_Update (PATCH).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateJob {
    /// The customer's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<UpdateProperties>,
}

/// A cancel is never taken back.
fn only_true() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).description(Some("`true` cancels")).build()
}

/// What a customer may change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateProperties {
    /// `true` cancels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = only_true)]
    pub cancel_requested: Option<bool>,
    /// `Shipping` ships; an empty text counts as absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "state_or_nothing")]
    #[schema(value_type = Option<String>, pattern = "^(Shipping)?$")]
    pub state: Option<JobState>,
    /// Where the drives go in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_address: Option<Address>,
    /// The carrier that takes them there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_shipping: Option<ReturnShipping>,
    /// How the drives come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_package: Option<DeliveryPackage>,
    /// How much is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// Whether manifests are kept in the store too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_drive_manifest: Option<bool>,
    /// The drives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 10)]
    pub drive_list: Option<Vec<DriveStatus>>,
}

/// A job as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobResponse {
    /// Its path.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `Microsoft.ImportExport/jobs`
    pub r#type: String,
    /// The datacenter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The customer's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Everything else.
    pub properties: JobDetails,
    /// Which identity the job acts with: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// When it came to be, and was changed.
    #[serde(default, rename = "systemData", skip_serializing_if = "Option::is_none")]
    pub system_data: Option<SystemData>,
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobList {
    /// The jobs.
    pub value: Vec<JobResponse>,
    /// Where the next page is; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

/// Which identity a job acts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// `None`
    pub r#type: String,
}

/// When a job came to be, and was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemData {
    /// When it was put first.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String)]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String)]
    pub last_modified_at: OffsetDateTime,
}

/// The published examples send `"state": ""` where they mean nothing.
fn state_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<JobState>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let known = serde_json::from_value(serde_json::Value::String(text.clone()));
    known.map(Some).map_err(|_| serde::de::Error::custom(format!("`{text}` is not a state of a job")))
}
