//! What is printed for a parcel: a packing slip and a label, on the way in and on the way back.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use protocol::arm::Address;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use super::extract::ViewedJob;
use super::links::{job_link, slip_code};
use super::offers::goes_back;
use super::page::{PageError, render};
use super::viewer::Viewer;
use crate::state::ServiceState;

/// How large a module of the code is at least, in pixels: a scanner at arm's length reads it.
const CODE_PIXELS: u32 = 180;

#[derive(Template)]
#[template(path = "slip.html")]
struct SlipPage {
    title: String,
    viewer: Option<Viewer>,
    above: String,
    is_return: bool,
    to: Vec<String>,
    from: Vec<String>,
    job: String,
    customer: String,
    kind: String,
    parcel: Option<String>,
    code: String,
    /// The code as a picture (SVG).
    picture: String,
    drives: Vec<String>,
}

/// The slip of the way in; from Packaging on, that of the way back.
pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    ViewedJob { viewer, job }: ViewedJob,
) -> Result<Response, PageError> {
    let is_return = goes_back(job.machine.state);
    let datacenter = state.jobs.location(&job.location).map(|location| location.address.lines()).unwrap_or_default();
    let customer = job.details.return_address.as_ref().map(Address::lines).unwrap_or_default();
    let (to, from) = if is_return { (customer, datacenter) } else { (datacenter, customer) };
    let parcel = match is_return {
        true => job.details.return_package.as_ref().map(|own| format!("{} {}", own.carrier_name, own.tracking_number)),
        false => job.details.delivery_package.as_ref().map(|own| format!("{} {}", own.carrier_name, own.tracking_number)),
    };
    let code = slip_code(&job.key);
    Ok(render(&SlipPage {
        title: format!("{} of {}", if is_return { "Return slip" } else { "Packing slip" }, job.key.name),
        viewer: Some(viewer),
        above: job_link(&job.key),
        is_return,
        to,
        from,
        job: job.key.name.clone(),
        customer: job.key.subscription.clone(),
        kind: job.machine.kind.to_string(),
        parcel,
        picture: picture_of(&code)?,
        code,
        drives: job.machine.drives.iter().map(|drive| drive.id.clone()).collect(),
    }))
}

fn picture_of(code: &str) -> Result<String, PageError> {
    let code = QrCode::with_error_correction_level(code, EcLevel::M).map_err(PageError::internal)?;
    let picture = code.render::<svg::Color<'_>>().min_dimensions(CODE_PIXELS, CODE_PIXELS).build();
    // The declaration of an XML document has no place in a page.
    Ok(picture.find("<svg").map_or(String::new(), |begin| picture[begin..].to_owned()))
}
