//! From the parcel to the bay: what a scanner reads, or a person types, finds the job.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::job::{DriveState, JobKind};
use protocol::station::Bay;
use serde::Deserialize;

use super::extract::{Operator, PageQuery};
use super::links::{drive_link, job_link, key_of_slip};
use super::offers::{self, Offer};
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::{StoreError, StoredJob};

/// Jobs that one code finds: more are no help to somebody with a parcel in their hands.
const JOBS_MAX: u32 = 20;

/// What was scanned.
#[derive(Deserialize)]
pub(super) struct ReceiveQuery {
    #[serde(default)]
    code: String,
}

#[derive(Template)]
#[template(path = "receive.html")]
struct ReceivePage {
    title: &'static str,
    viewer: Option<Viewer>,
    code: String,
    search: String,
    jobs: Vec<FoundJob>,
    /// The bay of a drive of that serial number, whatever job it is for.
    bay: Option<String>,
    check_in: Offer,
    csrf: String,
}

struct FoundJob {
    name: String,
    link: String,
    customer: String,
    kind: String,
    state: String,
    is_cancelled: bool,
    parcel: String,
    came: String,
    drives: Vec<FoundDrive>,
    offers: Vec<Offer>,
}

struct FoundDrive {
    id: String,
    link: String,
    state: DriveState,
    is_scanned: bool,
    bay: String,
    offer: Option<Offer>,
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    PageQuery(query): PageQuery<ReceiveQuery>,
) -> Result<Response, PageError> {
    let code = query.code.trim();
    let jobs = if code.is_empty() { Vec::new() } else { find(&state, code).await? };
    let bays = if code.is_empty() { Vec::new() } else { state.scheduler.bays().await? };
    let bay = bay_of(&bays, code).map(|bay| bay.name.clone());
    let found = jobs.iter().map(|job| found(&state, &viewer, job, code, &bays)).collect();
    Ok(render(&ReceivePage {
        title: "Receive",
        csrf: viewer.csrf.clone(),
        viewer: Some(viewer),
        search: format!("/portal/jobs?{}", form_urlencoded::Serializer::new(String::new()).append_pair("search", code).finish()),
        code: code.to_owned(),
        check_in: offers::check_in("Check in a drive", bay.as_deref(), None, None),
        jobs: found,
        bay,
    }))
}

/// The jobs that a code is about: that of a packing slip, a tracking number, a serial number, or the name of a job.
async fn find(state: &ServiceState, code: &str) -> Result<Vec<StoredJob>, PageError> {
    if let Some(key) = key_of_slip(code) {
        match state.store.get(&key).await {
            Ok(job) => return Ok(vec![job]),
            // A serial number may have slashes in it, too.
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(state.store.scanned(code, JOBS_MAX).await?)
}

/// The bay with a drive that tells this serial number.
fn bay_of<'bays>(bays: &'bays [Bay], serial: &str) -> Option<&'bays Bay> {
    let tells = |bay: &&Bay| {
        let told = bay.drive.iter().flat_map(|drive| [&drive.drive_id, &drive.bridge_serial]).flatten();
        told.into_iter().any(|own| own.eq_ignore_ascii_case(serial))
    };
    bays.iter().find(tells)
}

fn found(state: &ServiceState, viewer: &Viewer, job: &StoredJob, code: &str, bays: &[Bay]) -> FoundJob {
    let takes_drives = job.machine.takes_drives();
    let drive = |id: &str, drive_state: DriveState| {
        let bay = bay_of(bays, id).map(|bay| bay.name.clone());
        let is_awaited = takes_drives && drive_state == DriveState::Specified;
        FoundDrive {
            link: drive_link(&job.key, id),
            state: drive_state,
            is_scanned: id.eq_ignore_ascii_case(code),
            offer: is_awaited.then(|| match (&bay, job.machine.kind) {
                (None, JobKind::Import) => offers::check_in_scanned(job, id, code),
                (bay, _) => offers::check_in("Check it in", bay.as_deref(), Some(&job.key.path()), Some(id)),
            }),
            bay: bay.unwrap_or_default(),
            id: id.to_owned(),
        }
    };
    let drives: Vec<FoundDrive> = job.machine.drives.iter().map(|one| drive(&one.id, one.state)).collect();
    let came = drives.iter().filter(|drive| !matches!(drive.state, DriveState::Specified | DriveState::NeverReceived)).count();
    let parcel = job.details.delivery_package.as_ref();
    FoundJob {
        name: job.key.name.clone(),
        link: job_link(&job.key),
        customer: job.key.subscription.clone(),
        kind: job.machine.kind.to_string(),
        state: job.machine.state.to_string(),
        is_cancelled: job.machine.cancel_requested,
        parcel: parcel.map(|own| format!("{} {}", own.carrier_name, own.tracking_number)).unwrap_or_default(),
        came: match job.announced_drives().max(drives.len()) {
            0 => format!("{came} drives came"),
            all => format!("{came} of {all} drives came"),
        },
        drives,
        offers: offers::of_job(state, viewer, job),
    }
}
