//! Notices, written with the changes that they tell of.

use protocol::job::{Effect, JobState, Notice};
use time::OffsetDateTime;

use super::row::JobKey;

/// Who is told of which states of whose jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRule {
    /// Who, as the configuration calls them.
    pub to: String,
    /// The states.
    pub states: Vec<JobState>,
    /// The subscriptions; all, where it is empty.
    pub subscriptions: Vec<String>,
}

impl NoticeRule {
    fn is_about(&self, key: &JobKey, state: JobState) -> bool {
        let is_theirs = |own: &String| own.eq_ignore_ascii_case(&key.subscription);
        self.states.contains(&state) && (self.subscriptions.is_empty() || self.subscriptions.iter().any(is_theirs))
    }
}

/// What is to be told of a job that came to a state.
pub(super) fn notices(rules: &[NoticeRule], key: &JobKey, entered: Option<JobState>, at: OffsetDateTime) -> Vec<Effect> {
    let Some(state) = entered else { return Vec::new() };
    let told = rules.iter().filter(|rule| rule.is_about(key, state));
    told.map(|rule| Effect::Notify(Notice { to: rule.to.clone(), state, at })).collect()
}
