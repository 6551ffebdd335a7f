//! Where a job's documents are in its customer's account.

use super::job::JobDetails;
use crate::job::BlobName;

/// The container of jobs that name none (the published default).
pub const DIAGNOSTICS_CONTAINER: &str = "waimportexport";

/// What the name of an error log ends with.
pub const ERROR_LOG: &str = "error.xml";

/// What the name of a verbose log ends with.
pub const VERBOSE_LOG: &str = "verbose.xml";

/// What the name of a manifest among the logs ends with.
pub const MANIFEST_LOG: &str = "manifest.jsonl";

/// The names of a job's documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentNames {
    container: String,
    /// Folder and name of the job: what all of them begin with.
    prefix: String,
}

impl DocumentNames {
    /// Those of the job of this name.
    pub fn new(details: &JobDetails, job: &str) -> Self {
        let path = details.diagnostics_path.as_deref().unwrap_or_default().trim_matches('/');
        let (container, folder) = match path.split_once('/') {
            Some((container, folder)) => (container, format!("{folder}/")),
            None if path.is_empty() => (DIAGNOSTICS_CONTAINER, String::new()),
            None => (path, String::new()),
        };
        DocumentNames { container: container.to_owned(), prefix: format!("{folder}waies/{job}_") }
    }

    fn document(&self, name: &str) -> BlobName {
        BlobName { container: self.container.clone(), name: format!("{}{name}", self.prefix) }
    }

    /// What moved of every drive.
    pub fn receipts(&self) -> BlobName {
        self.document("receipts.json")
    }

    /// The blobs that no drive took.
    pub fn incomplete_list(&self) -> BlobName {
        self.document("incomplete.xml")
    }

    /// What the name of the journal of an export begins with, which is kept for the next host that has the drive.
    pub fn journal(&self, drive_id: &str) -> BlobName {
        self.document(drive_id)
    }

    /// What the names of the logs of a drive begin with, which ended at the time that `stamp` says.
    pub fn logs(&self, drive_id: &str, stamp: &str) -> BlobName {
        self.document(&format!("{drive_id}_{stamp}"))
    }
}

/// The name of a log: what the names of all logs of the copy begin with, and which log it is.
pub fn log_name(prefix: &BlobName, kind: &str) -> BlobName {
    BlobName { container: prefix.container.clone(), name: format!("{}_{kind}", prefix.name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_go_where_the_customer_says() {
        let at = |path: Option<&str>| {
            let details = JobDetails { diagnostics_path: path.map(str::to_owned), ..JobDetails::default() };
            let BlobName { container, name } = DocumentNames::new(&details, "job-1").receipts();
            format!("{container}:{name}")
        };
        assert_eq!(at(None), "waimportexport:waies/job-1_receipts.json");
        assert_eq!(at(Some("")), "waimportexport:waies/job-1_receipts.json");
        assert_eq!(at(Some("/logs/")), "logs:waies/job-1_receipts.json");
        assert_eq!(at(Some("logs/of/mine")), "logs:of/mine/waies/job-1_receipts.json");
    }
}
