//! How a transfer ended, and its exit code.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a command ended. The names are those of the JSON result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every byte landed and is accounted for.
    Complete,
    /// Anything that is none of the others.
    Failed,
    /// A safety rule forbade it; nothing was written.
    Refused,
    /// All that could be read landed; the rest is listed.
    CompleteWithUnreadable,
    /// Verification found a difference.
    Mismatch,
    /// The drive went away, or stopped at an unreadable range by policy.
    DriveFailed,
    /// Blob storage refused, or stayed unreachable through the retry budget.
    StoreFailed,
    /// Cancelled; the receipt is written.
    Cancelled,
}

/// Exit code of a command line that could not be understood.
pub const EXIT_USAGE: u8 = 2;

impl Outcome {
    /// The exit code of the process.
    pub const fn exit_code(self) -> u8 {
        match self {
            Outcome::Complete => 0,
            Outcome::Failed => 1,
            Outcome::Refused => 3,
            Outcome::CompleteWithUnreadable => 4,
            Outcome::Mismatch => 5,
            Outcome::DriveFailed => 6,
            Outcome::StoreFailed => 7,
            Outcome::Cancelled => 130,
        }
    }

    /// What it means, in words that say nothing about where.
    pub const fn sentence(self) -> &'static str {
        match self {
            Outcome::Complete => "every byte landed and is accounted for",
            Outcome::Failed => "something failed that is neither the drive nor blob storage",
            Outcome::Refused => "a safety rule forbids it",
            Outcome::CompleteWithUnreadable => "all that could be read landed",
            Outcome::Mismatch => "verification found a difference",
            Outcome::DriveFailed => "the drive failed, or went away",
            Outcome::StoreFailed => "blob storage refused, or stayed unreachable",
            Outcome::Cancelled => "it was cancelled",
        }
    }

    /// Whether the target holds everything that it will ever hold.
    pub const fn is_complete(self) -> bool {
        matches!(self, Outcome::Complete | Outcome::CompleteWithUnreadable)
    }

    /// The name as the JSON result has it.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Failed => "failed",
            Outcome::Refused => "refused",
            Outcome::CompleteWithUnreadable => "complete-with-unreadable",
            Outcome::Mismatch => "mismatch",
            Outcome::DriveFailed => "drive-failed",
            Outcome::StoreFailed => "store-failed",
            Outcome::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_the_published_ones() {
        let table = [
            (Outcome::Complete, 0),
            (Outcome::Failed, 1),
            (Outcome::Refused, 3),
            (Outcome::CompleteWithUnreadable, 4),
            (Outcome::Mismatch, 5),
            (Outcome::DriveFailed, 6),
            (Outcome::StoreFailed, 7),
            (Outcome::Cancelled, 130),
        ];
        for (outcome, code) in table {
            assert_eq!(outcome.exit_code(), code);
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
    }
}
