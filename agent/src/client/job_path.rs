//! Where a job is.

/// The provider of jobs, in every path of the published API.
pub(super) const PROVIDER: &str = "Microsoft.ImportExport";

/// Which job is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobPath {
    pub(crate) subscription: String,
    pub(crate) resource_group: String,
    pub(crate) name: String,
}

impl JobPath {
    /// The segments of its path, and of what is below it.
    pub(crate) fn segments<'path>(&'path self, below: &[&'path str]) -> Vec<&'path str> {
        let JobPath { subscription, resource_group, name } = self;
        let job = ["subscriptions", subscription, "resourceGroups", resource_group, "providers", PROVIDER, "jobs", name];
        [job.as_slice(), below].concat()
    }
}
