//! The body of a new job: that of a file, with the options over it.

use std::io::Read;
use std::path::Path;

use protocol::arm::{BlobList, DriveStatus, Export, JobDetails, LogLevel, PutJob};
use protocol::job::JobKind;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::{CreateArguments, JobKindWord, JobPlace};
use crate::client::ClientError;

/// The body of a request that creates the job. What a file says is passed on as it is: it may have keys, which no answer
/// has, and the service says what is wrong with it.
pub(super) fn body(create: &CreateArguments, place: &JobPlace) -> Result<Value, ClientError> {
    let mut body: Value = create.from.as_deref().map(read_json).transpose()?.unwrap_or_else(|| json!({}));
    if !body.is_object() || body.get("properties").is_some_and(|properties| !properties.is_object()) {
        return Err(ClientError::Usage("the body of a job is an object, and its `properties` are another".to_owned()));
    }
    let options = serde_json::to_value(of_options(create, place));
    lay_over(&mut body, options.map_err(|error| ClientError::Failed(format!("the request cannot be written: {error}")))?);
    Ok(body)
}

/// What the options say of the job.
fn of_options(create: &CreateArguments, place: &JobPlace) -> PutJob {
    let JobPlace { subscription, resource_group } = place;
    let account_id = |account: &String| {
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Storage/storageAccounts/{account}"
        )
    };
    let drive = |id: &String| DriveStatus { drive_id: Some(id.clone()), ..DriveStatus::default() };
    let blobs = BlobList { blob_path: create.blobs.clone(), blob_path_prefix: create.prefixes.clone() };
    let export = (blobs != BlobList::default()).then(|| Export { blob_list: Some(blobs), ..Export::default() });
    let details = JobDetails {
        job_type: create.kind.map(JobKind::from),
        storage_account_id: create.account.as_ref().map(account_id),
        drive_list: (!create.drives.is_empty()).then(|| create.drives.iter().map(drive).collect()),
        export,
        log_level: create.verbose_log.then_some(LogLevel::Verbose),
        backup_drive_manifest: create.backup_manifest.then_some(true),
        ..JobDetails::default()
    };
    PutJob { location: create.location.clone(), tags: None, properties: Some(details) }
}

impl From<JobKindWord> for JobKind {
    fn from(word: JobKindWord) -> Self {
        match word {
            JobKindWord::Import => JobKind::Import,
            JobKindWord::Export => JobKind::Export,
        }
    }
}

/// Lays one document over another, object by object; what is not an object is replaced.
fn lay_over(body: &mut Value, above: Value) {
    match (body, above) {
        (Value::Object(body), Value::Object(above)) => {
            for (name, value) in above {
                lay_over(body.entry(name).or_insert(Value::Null), value);
            }
        }
        (body, above) => *body = above,
    }
}

/// Reads a JSON file; `-` is standard input.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ClientError> {
    let shown = path.display();
    let failed = |error: std::io::Error| ClientError::Usage(format!("`{shown}` cannot be read: {error}"));
    let mut text = String::new();
    match path == Path::new("-") {
        true => std::io::stdin().lock().read_to_string(&mut text).map(|_| ()).map_err(failed)?,
        false => text = std::fs::read_to_string(path).map_err(failed)?,
    }
    serde_json::from_str(&text).map_err(|error| ClientError::Usage(format!("`{shown}` cannot be used: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_over_what_a_file_says_and_leave_the_rest() {
        let mut body = json!({
            "properties": { "logLevel": "Error", "driveList": [{ "driveId": "A", "bitLockerKey": "secret" }], "export": "x", "mine": 1 }
        });
        lay_over(&mut body, json!({ "location": "west", "properties": { "logLevel": "Verbose", "export": { "blobList": {} } } }));
        let expected = json!({
            "location": "west",
            "properties": {
                "logLevel": "Verbose", "driveList": [{ "driveId": "A", "bitLockerKey": "secret" }], "export": { "blobList": {} }, "mine": 1
            }
        });
        assert_eq!(body, expected);
    }
}
