//! Jobs, receipts and keys as text.

use protocol::arm::{DriveKey, DriveReceipt, DriveStatus, JobResponse, ReceiptsDocument};
use protocol::job::JobState;
use protocol::units::ByteSize;
use time::format_description::well_known::Rfc3339;

use crate::printer::{line, table};

fn state_text(job: &JobResponse) -> String {
    let state = job.properties.state.map(|state| state.name().to_owned()).unwrap_or_default();
    match job.properties.cancel_requested {
        Some(true) => format!("{state} (cancelled)"),
        _ => state,
    }
}

fn percent_text(percent: Option<i64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"))
}

/// A table of jobs.
pub(super) fn jobs_text(jobs: &[JobResponse]) -> String {
    let head = ["JOB", "TYPE", "STATE", "DONE", "CHANGED", "SUBSCRIPTION", "GROUP"].map(str::to_owned).to_vec();
    let row = |job: &JobResponse| {
        let changed = job.system_data.as_ref().map(|data| data.last_modified_at);
        let changed = changed.and_then(|at| at.format(&Rfc3339).ok());
        vec![
            job.name.clone(),
            job.properties.job_type.map(|kind| kind.name().to_owned()).unwrap_or_default(),
            state_text(job),
            percent_text(job.properties.percent_complete),
            changed.unwrap_or_default(),
            job.id.split('/').nth(2).unwrap_or_default().to_owned(),
            job.id.split('/').nth(4).unwrap_or_default().to_owned(),
        ]
    };
    table(std::iter::once(head).chain(jobs.iter().map(row)).collect())
}

/// A job, and a table of its drives.
pub(super) fn job_text(job: &JobResponse) -> String {
    let details = &job.properties;
    let mut text = format!("job {}: {}\n", job.name, state_text(job));
    text += &line("type", details.job_type.map(|kind| kind.name().to_owned()).unwrap_or_default());
    let account = details.storage_account_id.as_deref().and_then(|id| id.rsplit('/').next());
    text += &line("account", account.unwrap_or_default());
    if let Some(percent) = details.percent_complete {
        text += &line("done", format!("{percent}%"));
    }
    let is_before_arrival = matches!(details.state, Some(JobState::Creating | JobState::Shipping));
    if let Some(address) = details.shipping_information.as_ref().filter(|_| is_before_arrival) {
        text += &line("send to", address.lines().join("\n"));
    }
    if let Some(package) = &details.delivery_package {
        text += &line("delivery", format!("{} {}", package.carrier_name, package.tracking_number));
    }
    if let Some(package) = &details.return_package {
        text += &line(
            "return",
            format!(
                "{} {}, {}",
                package.carrier_name,
                package.tracking_number,
                counted(package.drive_count.unsigned_abs(), "drive")
            ),
        );
    }
    if let Some(list) = &details.incomplete_blob_list_uri {
        text += &line("incomplete", format!("not every blob was exported: {list} lists the rest"));
    }
    let drives = details.drive_list.as_deref().unwrap_or_default();
    if drives.is_empty() {
        return text;
    }
    let head = ["DRIVE", "STATE", "DONE", "BYTES", "COPY"].map(str::to_owned).to_vec();
    let row = |drive: &DriveStatus| {
        vec![
            drive.drive_id.clone().unwrap_or_default(),
            drive.state.map(|state| state.name().to_owned()).unwrap_or_default(),
            percent_text(drive.percent_complete),
            drive.bytes_succeeded.map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes.unsigned_abs()).to_string()),
            drive.copy_status.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    text + &table(std::iter::once(head).chain(drives.iter().map(row)).collect())
}

/// A job in one line.
pub(super) fn watch_text(job: &JobResponse) -> String {
    let drive = |drive: &DriveStatus| {
        let id = drive.drive_id.as_deref().unwrap_or_default();
        let state = drive.state.map(|state| state.name().to_owned()).unwrap_or_default();
        format!("{id} {state} {}", percent_text(drive.percent_complete))
    };
    let drives: Vec<String> = job.properties.drive_list.iter().flatten().map(drive).collect();
    let done = percent_text(job.properties.percent_complete);
    format!("{} {} {done} [{}]\n", job.name, state_text(job), drives.join(", "))
}

fn bytes_text(bytes: u64) -> String {
    format!("{} ({bytes} bytes)", ByteSize(bytes))
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The receipts of a job: a block of lines for each drive.
pub(super) fn receipts_text(receipts: &ReceiptsDocument) -> String {
    receipts.drives.iter().map(drive_receipt_text).collect()
}

fn drive_receipt_text(drive: &DriveReceipt) -> String {
    let mut text = format!("drive {}: {}\n", drive.drive_id, drive.state.name());
    text += &line("copy", &drive.copy_status);
    let Some(result) = &drive.result else { return text };
    text += &line("blob", result.blob.as_deref().unwrap_or_default());
    text += &line("size", bytes_text(result.bytes_total));
    if let Some(root) = &result.root_sha256 {
        text += &line("root sha256", root.to_string());
    }
    if let Some(receipt) = &result.receipt {
        for (name, class) in [
            ("before", &receipt.landed_before_request),
            ("after", &receipt.landed_after_request),
            ("unknown", &receipt.outcome_unknown),
            ("never sent", &receipt.never_sent),
        ] {
            text += &line(name, format!("{} in {}", bytes_text(class.bytes), counted(class.count(), "range")));
        }
    }
    if let Some(note) = &result.note {
        text += &line("note", note);
    }
    if let Some(receipt) = &result.receipt {
        let (total, left) = (result.bytes_total, bytes_text(receipt.residue_bytes));
        let left = if total > 0 && receipt.outcome_unknown.bytes == total {
            // Its station is lost, and nothing else knows.
            "unknown: what was sent may lie beside the blob's name until the job is deleted".to_owned()
        } else if total > 0 && receipt.landed_before_request.bytes + receipt.landed_after_request.bytes == total {
            // It may have been cut off between that and its end.
            format!("{left}; all of it had landed, so look whether the blob is there")
        } else {
            format!("{left}, and nothing under the blob's name that looks complete")
        };
        text += &line("left behind", left);
    }
    text
}

/// A table of drives and their keys.
pub(super) fn keys_text(keys: &[DriveKey]) -> String {
    let head = ["DRIVE", "KEY"].map(str::to_owned).to_vec();
    let row = |key: &DriveKey| vec![key.drive_id.clone(), key.bit_locker_key.clone()];
    table(std::iter::once(head).chain(keys.iter().map(row)).collect())
}
