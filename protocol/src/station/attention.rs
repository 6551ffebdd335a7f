//! What waits for a person, and what that person can do about it: a pure function of the bays and the jobs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::action::OfferedAction;
use super::job::Candidate;

/// Why a person is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionKind {
    /// A copy failed: retry it, or end it.
    CopyHeld,
    /// A drive is docked of which it is not certain whose it is: check it in by hand.
    AmbiguousDrive,
    /// A drive is docked that no job waits for.
    UnknownDrive,
    /// A drive is docked whose job was not shipped yet.
    JobNotShipped,
    /// A drive is docked whose job does not wait for it any longer.
    LateDrive,
    /// A drive of a job was received and is in no bay.
    NotDocked,
    /// An export waits for an empty drive: check one in.
    NeedsEmptyDrive,
    /// A drive holds a bay while its job waits for other drives.
    WaitsForOthers,
    /// A job's drives are done: send them back.
    ShipBack,
    /// An operator paused a copy.
    CopyPaused,
    /// A job waits for drives for longer than it should.
    DrivesMissing,
    /// A station does not call: nothing is known of its bays.
    StationAway,
    /// What a bay leads to cannot be used: a profile with a mistake, an image that may not be read.
    BayUnusable,
}

impl AttentionKind {
    /// Every kind, the most urgent first; those of stations and bays, which came later, are the last: places are kept in
    /// databases.
    pub const ALL: [AttentionKind; 13] = [
        AttentionKind::CopyHeld,
        AttentionKind::AmbiguousDrive,
        AttentionKind::UnknownDrive,
        AttentionKind::JobNotShipped,
        AttentionKind::LateDrive,
        AttentionKind::NotDocked,
        AttentionKind::NeedsEmptyDrive,
        AttentionKind::WaitsForOthers,
        AttentionKind::ShipBack,
        AttentionKind::CopyPaused,
        AttentionKind::DrivesMissing,
        AttentionKind::StationAway,
        AttentionKind::BayUnusable,
    ];

    /// The name as JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            AttentionKind::CopyHeld => "copy-held",
            AttentionKind::UnknownDrive => "unknown-drive",
            AttentionKind::AmbiguousDrive => "ambiguous-drive",
            AttentionKind::JobNotShipped => "job-not-shipped",
            AttentionKind::LateDrive => "late-drive",
            AttentionKind::NotDocked => "not-docked",
            AttentionKind::DrivesMissing => "drives-missing",
            AttentionKind::NeedsEmptyDrive => "needs-empty-drive",
            AttentionKind::WaitsForOthers => "waits-for-others",
            AttentionKind::CopyPaused => "copy-paused",
            AttentionKind::ShipBack => "ship-back",
            AttentionKind::StationAway => "station-away",
            AttentionKind::BayUnusable => "bay-unusable",
        }
    }

    /// Where it comes in a list, the most urgent first.
    pub fn rank(self) -> u8 {
        let place = AttentionKind::ALL.iter().position(|kind| *kind == self);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }
}

/// Something that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attention {
    /// Why.
    pub kind: AttentionKind,
    /// One sentence.
    pub message: String,
    /// The path of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_id: Option<String>,
    /// The bay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bay: Option<String>,
    /// Jobs that the drive may belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// What can be done, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<OfferedAction>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_have_one_place() {
        let ranks: std::collections::BTreeSet<u8> = AttentionKind::ALL.into_iter().map(AttentionKind::rank).collect();
        assert_eq!(ranks.len(), AttentionKind::ALL.len(), "jobs are kept, and counted, by the place of their kind");
    }
}
