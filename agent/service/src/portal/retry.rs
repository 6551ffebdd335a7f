//! The form that has a drive copied again.

use axum::response::Response;

use super::extract::{OperatorsDrive, ViewedDrive};
use super::forms::{FormField, FormPage};
use super::links::job_link;
use super::page::render;

pub(super) async fn show(OperatorsDrive(ViewedDrive { viewer, job, id }): OperatorsDrive) -> Response {
    let held = job.copies.get(&id).and_then(|record| record.hold());
    let fix = held.map(|hold| hold.fix).unwrap_or_default();
    let fields = vec![
        FormField::check("rescue", "Rescue", "Read every sector that can still be read, and fill and list the rest")
            .ticked(fix.rescue),
        FormField::check("restart", "From the beginning", "Forget what was copied before").ticked(fix.restart),
        FormField::check("overwrite", "Overwrite", "Replace a blob that is there already").ticked(fix.overwrite),
        // Never ticked beforehand: a person has to look at the drive.
        FormField::check("erase", "Erase", "What is on the drive of an export may go"),
    ];
    let about = held.map_or_else(|| id.clone(), |hold| format!("{id}: {}", hold.message));
    let target = format!("{}/do/retry", job_link(&job.key));
    let page = FormPage::new(&viewer, "Try again", target, fields, "Copy it").of_job(&job.key);
    render(&FormPage { about: Some(about), hidden: vec![("driveId", id)], ..page })
}
