//! What a body may hold. All that is wrong is reported at once, each with the path of its field.

use std::collections::{BTreeMap, HashSet};

use super::job::{Address, BlobList, DeliveryPackage, DriveStatus, Export, JobDetails, PutJob, ReturnShipping, UpdateJob};
use crate::job::{JobKind, JobState};
use crate::text::is_displayed;

/// One thing that is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The path of the field, such as `properties.driveList[0].driveId`.
    pub target: String,
    /// What was expected.
    pub message: String,
}

/// Drives of one job: what fits into a parcel (the published limit).
const DRIVES_MAX: usize = 10;

/// Length of a text that nothing else limits, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Length of a drive's serial number: longer than any that a drive reports.
const DRIVE_ID_BYTES_MAX: usize = 128;

/// Tags of a job, and the lengths of their names and values (Azure Resource Manager's limits).
const TAGS_MAX: usize = 50;
const TAG_NAME_BYTES_MAX: usize = 512;
const TAG_VALUE_BYTES_MAX: usize = 256;

/// An export's list of blobs in the request (the published limit); longer ones go into a blob.
const BLOB_LIST_BYTES_MAX: usize = 32 << 10;

/// Problems that are reported of one body: its sender corrects them, and asks again.
const PROBLEMS_MAX: usize = 50;

/// Whether a resource group may have this name: 1 to 90 letters, digits, and `-_.()`, the last no dot (Azure Resource
/// Manager's rule; letters and digits are those of every language).
pub fn is_resource_group_name(name: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || "-_.()".contains(letter);
    (1..=90).contains(&name.chars().count()) && name.chars().all(is_part) && !name.ends_with('.')
}

/// Whether a job may have this name: 2 to 64 letters, digits, hyphens and underscores, the first a letter or digit.
pub fn is_job_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    (2..=64).contains(&name.len())
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name.chars().all(is_letter)
}

/// What is wrong with the body of a PUT.
pub fn validate_put(job: &PutJob) -> Vec<FieldProblem> {
    let mut check = Check::default();
    check.required("location", job.location.as_deref());
    check.tags(job.tags.as_ref());
    match &job.properties {
        Some(details) => check.details(details),
        None => check.problem("properties", "a job has `properties`"),
    }
    check.problems
}

/// What is wrong with the body of a PATCH.
pub fn validate_update(update: &UpdateJob) -> Vec<FieldProblem> {
    let mut check = Check::default();
    check.tags(update.tags.as_ref());
    let Some(properties) = &update.properties else { return check.problems };
    if properties.cancel_requested == Some(false) {
        check.problem("properties.cancelRequested", "a cancel is never taken back: leave it out, or send `true`");
    }
    if properties.state.is_some_and(|state| state != JobState::Shipping) {
        check.problem("properties.state", "a customer moves a job to `Shipping` only");
    }
    check.address("properties.returnAddress", properties.return_address.as_ref());
    check.return_shipping(properties.return_shipping.as_ref());
    check.delivery(properties.delivery_package.as_ref());
    match properties.drive_list.as_deref() {
        Some([]) => check.problem("properties.driveList", "a job has at least one drive"),
        Some(drives) => check.drives(drives),
        None => {}
    }
    check.problems
}

#[derive(Default)]
struct Check {
    problems: Vec<FieldProblem>,
}

impl Check {
    fn problem(&mut self, target: &str, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(FieldProblem { target: target.to_owned(), message: message.into() });
        }
    }

    fn length(&mut self, target: &str, text: &str, bytes_max: usize) {
        if text.len() > bytes_max {
            self.problem(target, format!("it has {} bytes, and may have {bytes_max}", text.len()));
        }
        if !text.chars().all(is_displayed) {
            self.problem(target, "it has characters that cannot be seen: line breaks, controls, or marks that turn text around");
        }
    }

    fn optional(&mut self, target: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.length(target, text, TEXT_BYTES_MAX);
        }
    }

    fn required(&mut self, target: &str, text: Option<&str>) {
        match text.filter(|text| !text.trim().is_empty()) {
            Some(text) => self.length(target, text, TEXT_BYTES_MAX),
            None => self.problem(target, "it is required"),
        }
    }

    fn tags(&mut self, tags: Option<&BTreeMap<String, String>>) {
        let Some(tags) = tags else { return };
        if tags.len() > TAGS_MAX {
            self.problem("tags", format!("there are {} tags, and there may be {TAGS_MAX}", tags.len()));
        }
        for (name, value) in tags {
            if name.len() > TAG_NAME_BYTES_MAX || value.len() > TAG_VALUE_BYTES_MAX {
                let shown: String = name.chars().take(32).collect();
                let most = format!("a tag has at most {TAG_NAME_BYTES_MAX} bytes of name and {TAG_VALUE_BYTES_MAX} of value");
                self.problem(&format!("tags.{shown}"), most);
            }
            if !name.chars().chain(value.chars()).all(is_displayed) {
                let shown: String = name.chars().take(32).filter(|letter| is_displayed(*letter)).collect();
                self.problem(&format!("tags.{shown}"), "it has characters that cannot be seen");
            }
        }
    }

    fn details(&mut self, details: &JobDetails) {
        self.required("properties.storageAccountId", details.storage_account_id.as_deref());
        if details.state.is_some_and(|state| state != JobState::Creating) {
            self.problem("properties.state", "a job begins in `Creating`: ship it with a PATCH");
        }
        if details.cancel_requested == Some(true) {
            self.problem("properties.cancelRequested", "a job is cancelled with a PATCH");
        }
        self.address("properties.returnAddress", details.return_address.as_ref());
        self.return_shipping(details.return_shipping.as_ref());
        self.delivery(details.delivery_package.as_ref());
        self.diagnostics("properties.diagnosticsPath", details.diagnostics_path.as_deref());
        if let Some(key) = &details.encryption_key {
            self.optional("properties.encryptionKey.kekType", key.kek_type.as_deref());
            self.optional("properties.encryptionKey.kekUrl", key.kek_url.as_deref());
            self.optional("properties.encryptionKey.kekVaultResourceID", key.kek_vault_resource_id.as_deref());
        }
        match details.job_type {
            None => self.problem("properties.jobType", "it is required: `Import` or `Export`"),
            Some(JobKind::Import) => {
                if details.export.is_some() {
                    self.problem("properties.export", "an import has none");
                }
                match details.drive_list.as_deref() {
                    None | Some([]) => self.problem("properties.driveList", "an import has at least one drive"),
                    Some(drives) => self.drives(drives),
                }
            }
            Some(JobKind::Export) => {
                if details.drive_list.as_ref().is_some_and(|drives| !drives.is_empty()) {
                    self.problem("properties.driveList", "the drives of an export are known when they come");
                }
                match &details.export {
                    None => self.problem("properties.export", "an export says which blobs it takes"),
                    Some(export) => self.export(export),
                }
            }
        }
    }

    /// A container, and perhaps folders in it.
    fn diagnostics(&mut self, target: &str, path: Option<&str>) {
        let Some(path) = path.map(|path| path.trim_matches('/')).filter(|path| !path.is_empty()) else { return };
        self.length(target, path, TEXT_BYTES_MAX);
        let container = path.split('/').next().unwrap_or_default();
        let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        let is_container = (3..=63).contains(&container.len()) && container.chars().all(is_letter);
        let is_folder = |folder: &str| !matches!(folder, "" | "." | "..");
        let is_checked = path.len() <= TEXT_BYTES_MAX && path.chars().all(is_displayed);
        if is_checked && (!is_container || !path.split('/').all(is_folder)) {
            self.problem(
                target,
                "it is CONTAINER or CONTAINER/FOLDER: a container has 3 to 63 lower-case letters, digits and hyphens",
            );
        }
    }

    fn address(&mut self, target: &str, address: Option<&Address>) {
        let Some(address) = address else { return };
        let required = [
            ("recipientName", &address.recipient_name),
            ("streetAddress1", &address.street_address1),
            ("city", &address.city),
            ("postalCode", &address.postal_code),
            ("countryOrRegion", &address.country_or_region),
            ("phone", &address.phone),
        ];
        for (name, text) in required {
            self.required(&format!("{target}.{name}"), Some(text));
        }
        self.required(&format!("{target}.email"), address.email.as_deref());
        self.optional(&format!("{target}.streetAddress2"), Some(&address.street_address2));
        self.optional(&format!("{target}.stateOrProvince"), Some(&address.state_or_province));
        self.optional(&format!("{target}.additionalInformation"), address.additional_information.as_deref());
    }

    fn return_shipping(&mut self, shipping: Option<&ReturnShipping>) {
        let Some(shipping) = shipping else { return };
        self.required("properties.returnShipping.carrierName", Some(&shipping.carrier_name));
        self.required("properties.returnShipping.carrierAccountNumber", Some(&shipping.carrier_account_number));
    }

    fn delivery(&mut self, package: Option<&DeliveryPackage>) {
        let Some(package) = package else { return };
        self.required("properties.deliveryPackage.carrierName", Some(&package.carrier_name));
        self.required("properties.deliveryPackage.trackingNumber", Some(&package.tracking_number));
        self.optional("properties.deliveryPackage.shipDate", package.ship_date.as_deref());
        // Clients send 0 where the drives were not counted, and the real service takes it.
        if package.drive_count.is_some_and(|count| !(0..=DRIVES_MAX as i64).contains(&count)) {
            self.problem(
                "properties.deliveryPackage.driveCount",
                format!("a job has 1 to {DRIVES_MAX} drives; 0 where they were not counted"),
            );
        }
    }

    fn drives(&mut self, drives: &[DriveStatus]) {
        if drives.len() > DRIVES_MAX {
            self.problem("properties.driveList", format!("there are {} drives, and there may be {DRIVES_MAX}", drives.len()));
            return;
        }
        let mut seen = HashSet::new();
        for (index, drive) in drives.iter().enumerate() {
            let at = |name: &str| format!("properties.driveList[{index}].{name}");
            match drive.drive_id.as_deref().filter(|id| !id.trim().is_empty()) {
                None => self.problem(&at("driveId"), "it is required: the drive's serial number"),
                Some(id) => {
                    self.length(&at("driveId"), id, DRIVE_ID_BYTES_MAX);
                    if !is_drive_id(id) {
                        self.problem(
                            &at("driveId"),
                            "a serial number has letters, digits and `-_.+:=` only, and begins with no dot and no hyphen",
                        );
                    }
                    if !seen.insert(id.to_ascii_lowercase()) {
                        self.problem(&at("driveId"), format!("the drive `{id}` is there twice"));
                    }
                }
            }
            if drive.bit_locker_key.as_deref().is_some_and(|key| !is_recovery_password(key)) {
                self.problem(&at("bitLockerKey"), "a key is eight groups of six digits, joined by hyphens");
            }
            for (name, text) in [
                ("manifestFile", &drive.manifest_file),
                ("manifestHash", &drive.manifest_hash),
                ("driveHeaderHash", &drive.drive_header_hash),
            ] {
                self.optional(&at(name), text.as_deref());
            }
        }
    }

    fn export(&mut self, export: &Export) {
        let empty = BlobList::default();
        let list = export.blob_list.as_ref().unwrap_or(&empty);
        let (paths, prefixes) = (&list.blob_path, &list.blob_path_prefix);
        if paths.is_empty() && prefixes.is_empty() && export.blob_list_blob_path.is_none() {
            self.problem("properties.export", "an export says which blobs it takes: `blobList` or `blobListBlobPath`");
        }
        if paths.iter().chain(prefixes).map(String::len).sum::<usize>() > BLOB_LIST_BYTES_MAX {
            let most = format!(
                "the list is longer than {BLOB_LIST_BYTES_MAX} bytes: put it into a blob, and name that in `blobListBlobPath`"
            );
            self.problem("properties.export.blobList", most);
        }
        for (name, texts) in [("blobPath", paths), ("blobPathPrefix", prefixes)] {
            for (index, text) in texts.iter().enumerate() {
                let target = format!("properties.export.blobList.{name}[{index}]");
                self.length(&target, text, TEXT_BYTES_MAX);
                if !text.starts_with('/') {
                    self.problem(&target, "it begins with `/`, then comes the container");
                }
                let is_whole = name == "blobPath";
                let mut parts = text.trim_start_matches('/').split('/');
                if parts.clone().any(|part| matches!(part, "." | "..")) {
                    self.problem(&target, "no part of it is `.` or `..`");
                } else if is_whole && (parts.clone().count() < 2 || parts.any(str::is_empty)) {
                    self.problem(&target, "it is `/CONTAINER/NAME`");
                }
            }
        }
        let target = "properties.export.blobListBlobPath";
        self.optional(target, export.blob_list_blob_path.as_deref());
        if let Some(path) = &export.blob_list_blob_path {
            let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
            if parts.len() < 2 || parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
                self.problem(target, "it is `/CONTAINER/NAME`, and no part of it is `.` or `..`");
            }
        }
    }
}

/// What a drive is called that says that its serial number is `serial`: without spaces, and with `_` for what names do
/// not have. `None` where nothing is left.
pub fn drive_id_of(serial: &str) -> Option<String> {
    let id: String = serial.chars().filter(|letter| !letter.is_whitespace() && !letter.is_control()).collect();
    let id: String = id.chars().map(|letter| if is_of_drive_id(letter) { letter } else { '_' }).collect();
    (!id.is_empty()).then(|| if id.starts_with(['.', '-']) { format!("_{id}") } else { id })
}

/// Whether a drive may have this name: it becomes the name of a blob, and of a log.
pub fn is_drive_id(id: &str) -> bool {
    !id.starts_with(['.', '-']) && id.chars().all(is_of_drive_id)
}

fn is_of_drive_id(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.+:=".contains(letter)
}

/// BitLocker's numerical password: eight groups of six digits.
fn is_recovery_password(key: &str) -> bool {
    let groups: Vec<&str> = key.split('-').collect();
    groups.len() == 8 && groups.iter().all(|group| group.len() == 6 && group.bytes().all(|digit| digit.is_ascii_digit()))
}
