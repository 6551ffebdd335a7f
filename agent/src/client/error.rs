//! Why something was not answered.

use protocol::arm::ErrorResponse;
use reqwest::StatusCode;

use super::job_path::JobPath;
use crate::local_service::LocalServiceError;

/// The code of the answer where a job does not exist.
const NO_SUCH_JOB: &str = "ResourceNotFound";

/// The code of the answer where a job is shipped without a parcel or an address.
const NO_SHIPPING_INFORMATION: &str = "ShippingInformationMissing";

/// Why something was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// What was asked for cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// The service refused.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code of the error.
        code: String,
        /// What it says.
        message: String,
    },
    /// There was no answer.
    #[error("{0}")]
    Failed(String),
}

impl ClientError {
    /// The exit code of the process.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            ClientError::Usage(_) | ClientError::Refused { status: 400, .. } => 2,
            ClientError::Refused { status: 409 | 412, .. } => 3,
            ClientError::Refused { .. } | ClientError::Failed(_) => 1,
        }
    }

    /// The same, where it was asked about a job: what to do where there is none.
    pub(crate) fn about(self, job: &JobPath) -> Self {
        match self {
            ClientError::Refused { status: 404, code, .. } if code == NO_SUCH_JOB => {
                let JobPath { subscription, resource_group, name } = job;
                let message = format!(
                    "there is no job `{name}` in the resource group `{resource_group}` of the subscription `{subscription}`: \
                     `drive-agent jobs list --subscription {subscription}` lists the jobs of that subscription; a job of another \
                     one is named SUBSCRIPTION/GROUP/NAME"
                );
                ClientError::Refused { status: 404, code, message }
            }
            other => other,
        }
    }

    /// The same, where a job was to be shipped without an address that its drives go back to: how it is given.
    pub(crate) fn without_address(self) -> Self {
        match self {
            ClientError::Refused { status, code, .. } if code == NO_SHIPPING_INFORMATION => {
                let message = "the job does not say where its drives go back to: add `--return-address FILE`, a JSON file such as \
                               {\"recipientName\": \"…\", \"streetAddress1\": \"…\", \"city\": \"…\", \"postalCode\": \"…\", \
                               \"countryOrRegion\": \"…\", \"phone\": \"…\", \"email\": \"…\"}";
                ClientError::Refused { status, code, message: message.to_owned() }
            }
            other => other,
        }
    }

    /// What an answer with this status and body says.
    pub(super) fn of_answer(status: StatusCode, body: &[u8]) -> Self {
        let (code, message) = match serde_json::from_slice::<ErrorResponse>(body) {
            Ok(response) => {
                let details = response
                    .error
                    .details
                    .iter()
                    .map(|detail| format!("\n  {}: {}", field_words(&detail.target), detail.message));
                let details: String = details.collect();
                let target = response.error.target.filter(|target| !response.error.message.contains(target.as_str()));
                let target =
                    target.filter(|_| details.is_empty()).map(|target| format!("{}: ", field_words(&target))).unwrap_or_default();
                (response.error.code, format!("{target}{}{details}", response.error.message))
            }
            Err(_) => ("no code".to_owned(), format!("the job service answered {status}")),
        };
        ClientError::Refused { status: status.as_u16(), code, message }
    }
}

/// The name of a field as a person says it: `properties.driveList[2].driveId` is `drive list 3, drive id`.
fn field_words(target: &str) -> String {
    let fields = target.trim_start_matches("properties.").split('.').map(|field| {
        let (name, place) = field.split_once('[').unwrap_or((field, ""));
        let mut words = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                words.push(' ');
            }
            words.push(letter.to_ascii_lowercase());
        }
        match place.trim_end_matches(']').parse::<usize>() {
            Ok(place) => format!("{words} {}", place.saturating_add(1)),
            Err(_) => words,
        }
    });
    fields.collect::<Vec<_>>().join(", ")
}

impl From<LocalServiceError> for ClientError {
    fn from(error: LocalServiceError) -> Self {
        ClientError::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_in_words() {
        for (target, words) in [
            ("properties.driveList[2].driveId", "drive list 3, drive id"),
            ("properties.deliveryPackage.trackingNumber", "delivery package, tracking number"),
            ("location", "location"),
            ("$filter", "$filter"),
        ] {
            assert_eq!(field_words(target), words);
        }
    }
}
