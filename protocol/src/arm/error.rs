//! The body of every error answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::validate::FieldProblem;

/// `{"error": {…}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorResponse {
    /// The error.
    pub error: ErrorBody,
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// What it is about: the path of a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Everything that is wrong, where that is more than one thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorDetail>,
}

/// One of several things that are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs.
    pub code: String,
    /// The path of a field.
    pub target: String,
    /// For people.
    pub message: String,
}

impl ErrorResponse {
    /// An error about `target`, if about anything.
    pub fn new(code: &str, message: impl Into<String>, target: Option<&str>) -> Self {
        let (code, target) = (code.to_owned(), target.map(str::to_owned));
        ErrorResponse { error: ErrorBody { code, message: message.into(), target, details: Vec::new() } }
    }

    /// An error about fields: the first one is its target, and the details have all. `None` where nothing is
    /// wrong.
    pub fn of_problems(problems: &[FieldProblem]) -> Option<Self> {
        const CODE: &str = "InvalidField";
        let first = problems.first()?;
        let mut response = Self::new(CODE, first.message.clone(), Some(&first.target));
        if problems.len() > 1 {
            let detail = |problem: &FieldProblem| ErrorDetail {
                code: CODE.to_owned(),
                target: problem.target.clone(),
                message: problem.message.clone(),
            };
            response.error.details = problems.iter().map(detail).collect();
        }
        Some(response)
    }
}
