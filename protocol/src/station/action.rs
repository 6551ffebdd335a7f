//! What a person can do about something that waits, with all of its parameters.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::short_job_name;
use crate::job::RetryOptions;

/// Something that a person can do. `job` is the path of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Action {
    /// Check in a drive.
    CheckIn {
        /// The job.
        job: String,
        /// The drive of an import; absent for an export, which takes any empty drive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drive_id: Option<String>,
        /// The bay of the drive; absent where it came and is in no bay yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bay: Option<String>,
    },
    /// Look for the job that a docked drive belongs to, and check it in.
    ChooseJob {
        /// The bay of the drive.
        bay: String,
    },
    /// Say that a drive did not come; for an export, that no more of them come.
    NeverReceived {
        /// The job.
        job: String,
        /// The drive of an import.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drive_id: Option<String>,
    },
    /// Copy a drive again.
    Retry {
        /// The job.
        job: String,
        /// The drive.
        drive_id: String,
        /// How the next run differs.
        options: RetryOptions,
    },
    /// Let a paused drive be copied.
    Resume {
        /// The job.
        job: String,
        /// The drive.
        drive_id: String,
    },
    /// End the copy of a drive before it is complete.
    GiveUp {
        /// The job.
        job: String,
        /// The drive.
        drive_id: String,
    },
    /// Take back that a copy was ended.
    UndoGiveUp {
        /// The job.
        job: String,
        /// The drive.
        drive_id: String,
    },
    /// Say that the drive which was checked in as this one was another one.
    UndoCheckIn {
        /// The job.
        job: String,
        /// The drive.
        drive_id: String,
    },
    /// Take back that a drive does not come; for an export, that no more of them come.
    UndoNeverReceived {
        /// The job.
        job: String,
        /// The drive of an import.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drive_id: Option<String>,
    },
    /// Free the blob of an export's drive for another drive.
    Release {
        /// The job.
        job: String,
        /// The drive that is unsuitable.
        drive_id: String,
    },
    /// Say that the drives of a job went back.
    ShipBack {
        /// The job.
        job: String,
    },
    /// Put a drive into a free bay.
    Dock {
        /// The drive; absent where any empty drive will do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drive_id: Option<String>,
    },
    /// Take a drive out of its bay.
    TakeOut {
        /// The bay.
        bay: String,
        /// Pulling the drive is enough; else it is taken out by a command.
        is_watched: bool,
    },
    /// Look at a job, and ask its customer.
    AskCustomer {
        /// The job.
        job: String,
    },
    /// Take a station off that is gone for good.
    TakeStationOff {
        /// The station.
        station: String,
    },
}

impl Action {
    /// What it is, in a few words.
    pub fn label(&self) -> &'static str {
        match self {
            Action::CheckIn { .. } => "Check it in",
            Action::ChooseJob { .. } => "Find its job",
            Action::NeverReceived { drive_id: Some(_), .. } => "Never came",
            Action::NeverReceived { drive_id: None, .. } => "No more drives come",
            Action::Retry { options, .. } if options.erase => "Erase it, and copy",
            Action::Retry { options, .. } => match (options.rescue, options.overwrite, options.restart) {
                (true, ..) => "Rescue what can be read",
                (false, true, _) => "Try again, replacing the blob",
                (false, false, true) => "Start over",
                (false, false, false) => "Try again",
            },
            Action::Resume { .. } => "Resume",
            Action::GiveUp { .. } => "Give up",
            Action::UndoGiveUp { .. } => "Take back the give-up",
            Action::UndoCheckIn { .. } => "The one copied was wrong",
            Action::UndoNeverReceived { drive_id: Some(_), .. } => "It may still come",
            Action::UndoNeverReceived { drive_id: None, .. } => "More drives may come",
            Action::Release { .. } => "Use another drive",
            Action::ShipBack { .. } => "Send back",
            Action::Dock { .. } => "Dock it",
            Action::TakeOut { .. } => "Take it out",
            Action::AskCustomer { .. } => "Look at the job",
            Action::TakeStationOff { .. } => "It is gone for good",
        }
    }

    /// The command that does it; absent for what is done by hand alone. What only a person can know is in capitals.
    pub fn command(&self) -> Option<String> {
        let words: Vec<&str> = match self {
            Action::CheckIn { drive_id, bay, .. } => {
                [drive_id.as_deref().map(|id| ["--drive", id]), bay.as_deref().map(|bay| ["--bay", bay])]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .collect()
            }
            Action::NeverReceived { drive_id, .. } | Action::UndoNeverReceived { drive_id, .. } => {
                drive_id.iter().flat_map(|id| ["--drive", id.as_str()]).collect()
            }
            Action::Retry { drive_id, options, .. } => {
                let flags = [
                    (options.restart, "--restart"),
                    (options.overwrite, "--overwrite"),
                    (options.rescue, "--rescue"),
                    (options.erase, "--erase"),
                ];
                let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag);
                ["--drive", drive_id].into_iter().chain(flags).collect()
            }
            Action::GiveUp { drive_id, .. } | Action::UndoCheckIn { drive_id, .. } => vec!["--drive", drive_id, "--yes"],
            Action::Resume { drive_id, .. } | Action::UndoGiveUp { drive_id, .. } | Action::Release { drive_id, .. } => {
                vec!["--drive", drive_id]
            }
            Action::ShipBack { .. } => vec!["--carrier", "CARRIER", "--tracking", "NUMBER"],
            Action::ChooseJob { .. }
            | Action::AskCustomer { .. }
            | Action::Dock { .. }
            | Action::TakeOut { .. }
            | Action::TakeStationOff { .. } => Vec::new(),
        };
        Some(match self {
            Action::ChooseJob { .. } => "drive-agent jobs list --all --filter \"state eq 'Shipping'\"".to_owned(),
            Action::TakeStationOff { station } => format!("drive-agent tokens revoke {}", quoted(station)),
            Action::TakeOut { bay, is_watched: false } => format!("drive-agent bays undock {}", quoted(bay)),
            Action::Dock { .. } | Action::TakeOut { is_watched: true, .. } => return None,
            _ => {
                let (verb, job) = self.verb_and_job()?;
                format!("drive-agent jobs {verb} {}{}", quoted(&short_job_name(job)), line_of(&words))
            }
        })
    }

    /// The subcommand of `drive-agent jobs`, and the job that it is about.
    fn verb_and_job(&self) -> Option<(&'static str, &str)> {
        Some(match self {
            Action::CheckIn { job, .. } => ("check-in", job),
            Action::NeverReceived { job, .. } => ("never-received", job),
            Action::Retry { job, .. } => ("retry", job),
            Action::Resume { job, .. } => ("resume", job),
            Action::GiveUp { job, .. } => ("give-up", job),
            Action::UndoGiveUp { job, .. } => ("undo-give-up", job),
            Action::UndoCheckIn { job, .. } => ("undo-check-in", job),
            Action::UndoNeverReceived { job, .. } => ("undo-never-received", job),
            Action::Release { job, .. } => ("release", job),
            Action::ShipBack { job } => ("ship-back", job),
            Action::AskCustomer { job } => ("show", job),
            Action::ChooseJob { .. } | Action::Dock { .. } | Action::TakeOut { .. } | Action::TakeStationOff { .. } => {
                return None;
            }
        })
    }
}

/// Options and their values. A value that begins with a hyphen would be taken for an option, and is joined to its own.
fn line_of(words: &[&str]) -> String {
    let mut line = String::new();
    let mut is_value = false;
    for word in words {
        let is_option = !is_value && word.starts_with("--");
        line.push(if is_value && word.starts_with('-') { '=' } else { ' ' });
        line += &quoted(word);
        is_value = is_option && ["--drive", "--bay", "--carrier", "--tracking"].contains(word);
    }
    line
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.,+:=/@%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// An action as it is offered: with the command that does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfferedAction {
    /// What can be done.
    #[serde(flatten)]
    pub action: Action,
    /// The command that does it; absent for what is done by hand alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl From<Action> for OfferedAction {
    fn from(action: Action) -> Self {
        OfferedAction { command: action.command(), action }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_their_parameters() {
        let job = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ImportExport/jobs/j".to_owned();
        let text = |action: Action| action.command().unwrap_or_default();
        let check_in = |drive_id: Option<&str>, bay: Option<&str>| Action::CheckIn {
            job: job.clone(),
            drive_id: drive_id.map(str::to_owned),
            bay: bay.map(str::to_owned),
        };
        assert_eq!(text(check_in(Some("D"), Some("bay 1"))), "drive-agent jobs check-in s/g/j --drive D --bay 'bay 1'");
        assert_eq!(text(check_in(Some("-D"), Some("1"))), "drive-agent jobs check-in s/g/j --drive=-D --bay 1");
        assert_eq!(text(check_in(None, Some("1"))), "drive-agent jobs check-in s/g/j --bay 1");
        let options = RetryOptions { rescue: true, ..RetryOptions::default() };
        let retry = Action::Retry { job: job.clone(), drive_id: "D".to_owned(), options };
        assert_eq!(text(retry.clone()), "drive-agent jobs retry s/g/j --drive D --rescue");
        assert_eq!(text(Action::NeverReceived { job, drive_id: None }), "drive-agent jobs never-received s/g/j");
        assert_eq!(text(Action::TakeOut { bay: "it's".to_owned(), is_watched: false }), r"drive-agent bays undock 'it'\''s'");
        assert_eq!(Action::Dock { drive_id: None }.command(), None);
        let offered = serde_json::to_value(OfferedAction::from(retry)).unwrap();
        assert_eq!(offered["action"], "retry");
        assert_eq!(offered["command"], "drive-agent jobs retry s/g/j --drive D --rescue");
        assert_eq!(
            serde_json::from_value::<OfferedAction>(offered.clone()).unwrap().command.as_deref(),
            offered["command"].as_str()
        );
    }
}
