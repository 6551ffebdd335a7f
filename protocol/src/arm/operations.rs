//! The operations of the API, as role definitions name them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of Operations_List.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationList {
    /// All of them.
    pub value: Vec<Operation>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its name, such as `Microsoft.ImportExport/jobs/read`.
    pub name: String,
    /// What people are shown.
    pub display: OperationDisplay,
}

/// What people are shown of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationDisplay {
    /// Whose it is.
    pub provider: String,
    /// What it is about.
    pub resource: String,
    /// What it does.
    pub operation: String,
    /// What it does.
    pub description: String,
}
