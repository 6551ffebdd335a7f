//! Bodies and answers of the operator API (`/operator/v1`), for the service, its client and its document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::arm::JobResponse;
use crate::job::{CopyRecord, RetryOptions};
use crate::station::{Attention, AuditEntry};
use crate::station_rate::StationRate;

/// Everything of one kind that there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The entries.
    pub value: Vec<T>,
}

/// A page of what needs an operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttentionList {
    /// What waits, the most urgent first.
    pub value: Vec<Attention>,
    /// The address of the next page, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditList {
    /// The entries, the newest first.
    pub value: Vec<AuditEntry>,
    /// The address of the next page, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

/// It was done, and there is nothing to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {}

/// A drive that is docked by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dock {
    /// A block device, an image, or a profile of a simulated drive, as the station reaches it.
    pub path: String,
    /// The name that jobs have for it; its serial number, or the name of its file, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_id: Option<String>,
}

/// A drive of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OneDrive {
    /// The drive.
    pub drive_id: String,
}

/// A drive that arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckIn {
    /// The drive of an import: the one whose serial number the drive in the bay reports, where it is absent. For an export,
    /// what the drive in the bay is to be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_id: Option<String>,
    /// The bay that the drive is in; an export needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bay: Option<String>,
    /// For an export: the drive is not empty, and what is on it may go.
    #[serde(default)]
    pub erase: bool,
    /// For an export: the drive goes back unused.
    #[serde(default)]
    pub spare: bool,
    /// The drive in the bay was checked in for another job by mistake.
    #[serde(default)]
    pub take_over: bool,
}

/// A drive that did not come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NeverReceived {
    /// The drive; absent for an export, whose drives have no names before they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_id: Option<String>,
}

/// A drive of a job, and how its next run differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// The drive.
    pub drive_id: String,
    /// Start over: forget what was copied before.
    #[serde(default)]
    pub restart: bool,
    /// Replace a blob that exists.
    #[serde(default)]
    pub overwrite: bool,
    /// Recover everything that can be read of a failing drive.
    #[serde(default)]
    pub rescue: bool,
    /// What is on the drive of an export may go.
    #[serde(default)]
    pub erase: bool,
}

impl Retry {
    /// How the next run differs.
    pub fn options(&self) -> RetryOptions {
        RetryOptions { restart: self.restart, overwrite: self.overwrite, rescue: self.rescue, erase: self.erase }
    }
}

/// The parcel in which drives go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReturnPackage {
    /// The carrier.
    pub carrier_name: String,
    /// Its tracking number.
    pub tracking_number: String,
}

/// A job with its copies, which only operators see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperatorJob {
    /// The random name of the job, which outlives it.
    pub uid: String,
    /// The job, as its customer sees it.
    pub job: JobResponse,
    /// Its copies by drive.
    #[schema(value_type = Object)]
    pub copies: BTreeMap<String, CopyRecord>,
}

/// A session of the portal that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenSession {
    /// Its name, by which it can be ended.
    pub id: String,
    /// Who is logged in: the name in the audit log.
    pub name: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String)]
    pub opened_at: OffsetDateTime,
    /// When it ends by itself.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String)]
    pub expires_at: OffsetDateTime,
}

/// A token to make. What it allows is always said: by `role`, or for a customer by `subscriptions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    /// Its name in the audit log.
    pub name: String,
    /// What it allows; may be left out where there are subscriptions, for a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<TokenRole>,
    /// The subscriptions of a customer; none for an operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<String>,
}

/// A token does not say what it allows, or says two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoleProblem {
    /// Neither a role nor subscriptions.
    #[error("say `\"role\": \"operator\"` or `\"station\"`, or name the `subscriptions` of a customer")]
    Unsaid,
    /// A customer without subscriptions.
    #[error("a customer has `subscriptions`: name at least one")]
    NoSubscriptions,
    /// An operator with subscriptions.
    #[error("an operator reaches every subscription: leave out `subscriptions`, or say `\"role\": \"customer\"`")]
    OperatorOfSubscriptions,
    /// A station with subscriptions.
    #[error("a station gets orders about its own bays alone: leave out `subscriptions`")]
    StationOfSubscriptions,
}

impl NewToken {
    /// What the token is to allow. Nothing that is left out makes an operator.
    ///
    /// # Errors
    /// When role and subscriptions do not say so together.
    pub fn role(&self) -> Result<TokenRole, RoleProblem> {
        match (self.role, self.subscriptions.is_empty()) {
            (Some(role @ (TokenRole::Operator | TokenRole::Station)), true) => Ok(role),
            (None | Some(TokenRole::Customer), false) => Ok(TokenRole::Customer),
            (Some(TokenRole::Operator), false) => Err(RoleProblem::OperatorOfSubscriptions),
            (Some(TokenRole::Station), false) => Err(RoleProblem::StationOfSubscriptions),
            (Some(TokenRole::Customer), true) => Err(RoleProblem::NoSubscriptions),
            (None, true) => Err(RoleProblem::Unsaid),
        }
    }
}

/// A token that was made. It cannot be asked for again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// Its name in the audit log.
    pub name: String,
    /// The secret.
    pub token: String,
}

impl std::fmt::Debug for MadeToken {
    /// Without the secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MadeToken").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenRole {
    /// Everything.
    Operator,
    /// The jobs of its subscriptions.
    Customer,
    /// The orders for the station of the token's name.
    Station,
}

impl TokenRole {
    /// The name as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            TokenRole::Operator => "operator",
            TokenRole::Customer => "customer",
            TokenRole::Station => "station",
        }
    }
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its name in the audit log.
    pub name: String,
    /// What it allows.
    pub role: TokenRole,
    /// The subscriptions of a customer.
    pub subscriptions: Vec<String>,
}

/// A station, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StationState {
    /// Its name.
    pub name: String,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hall: Option<String>,
    /// The version of its program; absent until it calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it called last.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>)]
    pub heard_at: Option<OffsetDateTime>,
    /// How many bays it has.
    pub bays: u64,
    /// How many of them have a drive.
    pub drives: u64,
    /// How many copies it may run.
    pub copies: u64,
    /// What its copies may move together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<StationRate>,
    /// Why nothing is known of its bays now: one sentence; absent where it calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_left_out_makes_an_operator() {
        let role = |text: &str| serde_json::from_str::<NewToken>(text).unwrap().role();
        for (text, expected) in [
            (r#"{"name":"a"}"#, Err(RoleProblem::Unsaid)),
            (r#"{"name":"a","role":null}"#, Err(RoleProblem::Unsaid)),
            (r#"{"name":"a","subscriptions":[]}"#, Err(RoleProblem::Unsaid)),
            (r#"{"name":"a","role":"customer"}"#, Err(RoleProblem::NoSubscriptions)),
            (r#"{"name":"a","role":"operator","subscriptions":["s"]}"#, Err(RoleProblem::OperatorOfSubscriptions)),
            (r#"{"name":"a","role":"operator"}"#, Ok(TokenRole::Operator)),
            (r#"{"name":"a","role":"operator","subscriptions":[]}"#, Ok(TokenRole::Operator)),
            (r#"{"name":"a","role":"customer","subscriptions":["s"]}"#, Ok(TokenRole::Customer)),
            (r#"{"name":"a","subscriptions":["s"]}"#, Ok(TokenRole::Customer)),
        ] {
            assert_eq!(role(text), expected, "{text}");
        }
        assert!(serde_json::from_str::<NewToken>(r#"{"name":"a","role":"Operator"}"#).is_err());
    }
}
