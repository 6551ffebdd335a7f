//! Addresses of pages.

use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::store::JobKey;

/// A segment of a path, percent-encoded.
pub(super) fn part(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// The address of a job's page.
pub(super) fn job_link(key: &JobKey) -> String {
    format!("/portal/job/{}/{}/{}", part(&key.subscription), part(&key.resource_group), part(&key.name))
}

/// The address of the page of a job's drive.
pub(super) fn drive_link(key: &JobKey, drive_id: &str) -> String {
    format!("{}/drive/{}", job_link(key), part(drive_id))
}

/// The address of the page for parcels, with what a scanner read.
pub(super) fn receive_link(code: &str) -> String {
    format!("/portal/receive?{}", form_urlencoded::Serializer::new(String::new()).append_pair("code", code).finish())
}

/// The address of the page that asks before a token is taken back.
pub(super) fn revoke_link(name: &str) -> String {
    format!("/portal/tokens/{}/revoke", part(name))
}

/// The address of the page that docks a drive, with one of its fields filled in.
pub(super) fn dock_link(field: &str, known: &str) -> String {
    format!("/portal/dock?{}", form_urlencoded::Serializer::new(String::new()).append_pair(field, known).finish())
}

/// Where the drive in a bay is taken out.
pub(super) fn take_out_link(bay: &str) -> String {
    format!("/portal/bay/{}/take-out", part(bay))
}

/// The job that a path of the API names.
pub(super) fn key_of_path(path: &str) -> Option<JobKey> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let [_, subscription, _, resource_group, _, _, _, name] = parts.as_slice() else { return None };
    let own = |text: &str| text.to_owned();
    Some(JobKey { subscription: own(subscription), resource_group: own(resource_group), name: own(name) })
}

/// What the code of a packing slip says: the job, wherever it is.
pub(super) fn slip_code(key: &JobKey) -> String {
    format!("{}/{}/{}", key.subscription, key.resource_group, key.name)
}

/// The job that the code of a packing slip names.
pub(super) fn key_of_slip(code: &str) -> Option<JobKey> {
    let parts: Vec<&str> = code.split('/').collect();
    let [subscription, resource_group, name] = parts.as_slice() else { return None };
    let own = |text: &str| text.to_owned();
    Some(JobKey { subscription: own(subscription), resource_group: own(resource_group), name: own(name) })
}

/// The address of the events of a page of a job or a drive.
pub(super) fn events_link(page: &str) -> String {
    page.replacen("/portal/job/", "/portal/events/job/", 1)
}
