//! The fields of a job that its customer fills in, for a new one and for one that is still being put together.

use protocol::arm::{BlobList, DriveStatus, Export, FieldProblem, JobDetails, LogLevel};
use protocol::job::JobKind;

use super::forms::{FormField, value};

/// What is asked of a job of this kind, filled in with what is known.
pub(super) fn job_fields(kind: JobKind, known: &JobDetails) -> Vec<FormField> {
    let long =
        |name, label, hint, lines: Vec<String>| FormField { value: lines.join("\n"), ..FormField::long(name, label, hint) };
    let nothing = BlobList::default();
    let blobs = known.export.as_ref().and_then(|export| export.blob_list.as_ref()).unwrap_or(&nothing);
    let mut fields = match kind {
        JobKind::Import => vec![long(
            "driveList",
            "Drives",
            "One a line: its serial number, and behind a space its BitLocker key where it has one. A drive that is known keeps \
             its key where none stands behind it.",
            known.drive_list.iter().flatten().filter_map(|drive| drive.drive_id.clone()).collect(),
        )],
        JobKind::Export => vec![
            long("blobPath", "Blobs", "One /CONTAINER/NAME a line", blobs.blob_path.clone()),
            long(
                "blobPathPrefix",
                "Blobs by the beginning of their names",
                "One a line: / for all, /CONTAINER/ for a container",
                blobs.blob_path_prefix.clone(),
            ),
            FormField {
                hint: "/CONTAINER/NAME of it, where the list is long".into(),
                ..FormField::line(
                    "blobListBlobPath",
                    "A blob that lists them",
                    known.export.as_ref().and_then(|export| export.blob_list_blob_path.as_deref()).unwrap_or_default(),
                )
            },
        ],
    };
    let levels = ["Error", "Verbose"].map(|level| (level.to_owned(), level.to_owned())).to_vec();
    let level = match known.log_level {
        Some(LogLevel::Verbose) => "Verbose",
        _ => "Error",
    };
    fields.push(FormField {
        value: level.to_owned(),
        hint: "Verbose lists every chunk of a copy".into(),
        ..FormField::choice("logLevel", "Log", levels)
    });
    let keep = FormField::check("backupDriveManifest", "Keep the manifest of each drive beside the logs too", "");
    fields.push(keep.ticked(known.backup_drive_manifest == Some(true)));
    fields
}

/// The details that a form stands for: what is not asked for stays as it was.
pub(super) fn details_of_form(kind: JobKind, form: &[(String, String)], before: JobDetails) -> JobDetails {
    let export = || {
        let list = BlobList { blob_path: blob_names(form, "blobPath"), blob_path_prefix: blob_names(form, "blobPathPrefix") };
        let is_listed = list != BlobList::default();
        let path = value(form, "blobListBlobPath");
        Export {
            blob_list: is_listed.then_some(list),
            blob_list_blob_path: Some(path.to_owned()).filter(|path| !path.trim().is_empty()),
        }
    };
    let known = before.drive_list.clone().unwrap_or_default();
    JobDetails {
        job_type: Some(kind),
        log_level: Some(match value(form, "logLevel") {
            "Verbose" => LogLevel::Verbose,
            _ => LogLevel::Error,
        }),
        backup_drive_manifest: Some(!value(form, "backupDriveManifest").is_empty()),
        drive_list: (kind == JobKind::Import)
            .then(|| lines(form, "driveList").iter().map(|line| drive_of_line(line, &known)).collect()),
        export: (kind == JobKind::Export).then(export),
        ..before
    }
}

/// The lines of a field that have something in them.
pub(super) fn lines(form: &[(String, String)], name: &str) -> Vec<String> {
    value(form, name).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The names of blobs in a field, one a line: a space at the end of one is a part of it.
pub(super) fn blob_names(form: &[(String, String)], name: &str) -> Vec<String> {
    value(form, name).lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// A drive as its line says: the serial number, and the key where there is one.
fn drive_of_line(line: &str, known: &[DriveStatus]) -> DriveStatus {
    let (id, key) = line.split_once(char::is_whitespace).map_or((line, None), |(id, key)| (id, Some(key.trim().to_owned())));
    let before = known
        .iter()
        .find(|drive| drive.drive_id.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(id)))
        .cloned()
        .unwrap_or_default();
    DriveStatus { drive_id: Some(id.to_owned()), bit_locker_key: key, ..before }
}

/// What is wrong, said of the fields that the form has; and in one sentence, with what no field is about.
pub(super) fn placed(problems: Vec<FieldProblem>, fields: &[FormField]) -> (Vec<FieldProblem>, String) {
    let to_field = |problem: FieldProblem| match problem.target.as_str() {
        "properties.export" => FieldProblem { target: "blobPath".to_owned(), ..problem },
        _ => problem,
    };
    let (placed, others): (Vec<_>, Vec<_>) = problems
        .into_iter()
        .map(to_field)
        .partition(|problem| problem.target.split(['.', '[']).any(|part| fields.iter().any(|field| field.name == part)));
    let others = others.into_iter().map(|problem| format!(" {}: {}.", problem.target, problem.message));
    (placed, std::iter::once("Some fields need another look.".to_owned()).chain(others).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn drives_keep_what_is_known_of_them_and_get_the_keys_behind_their_numbers() {
        let known = DriveStatus { drive_id: Some("A".to_owned()), manifest_hash: Some("h".to_owned()), ..DriveStatus::default() };
        let before =
            JobDetails { drive_list: Some(vec![known]), diagnostics_path: Some("logs".to_owned()), ..JobDetails::default() };
        let typed = form(&[("driveList", " A \r\n\r\nB   111111-222222 \r\n"), ("logLevel", "Verbose")]);
        let details = details_of_form(JobKind::Import, &typed, before);
        let drives = details.drive_list.unwrap();
        let shown: Vec<_> = drives.iter().map(|drive| (drive.drive_id.as_deref(), drive.bit_locker_key.as_deref())).collect();
        assert_eq!(shown, [(Some("A"), None), (Some("B"), Some("111111-222222"))]);
        assert_eq!((drives[0].manifest_hash.as_deref(), details.diagnostics_path.as_deref()), (Some("h"), Some("logs")));
        assert_eq!((details.export, details.log_level), (None, Some(LogLevel::Verbose)));
    }

    #[test]
    fn what_a_form_shows_is_what_it_sends() {
        let export = Export {
            blob_list: Some(BlobList {
                blob_path: vec!["/a/b ".to_owned()],
                blob_path_prefix: vec!["/c/".to_owned(), "/d/".to_owned()],
            }),
            blob_list_blob_path: Some("/a/list".to_owned()),
        };
        let known = JobDetails {
            job_type: Some(JobKind::Export),
            export: Some(export),
            log_level: Some(LogLevel::Verbose),
            backup_drive_manifest: Some(true),
            ..JobDetails::default()
        };
        let fields = job_fields(JobKind::Export, &known);
        let sent: Vec<_> = fields.iter().map(|field| (field.name.to_owned(), field.value.clone())).collect();
        assert_eq!(details_of_form(JobKind::Export, &sent, known.clone()), known);
    }

    #[test]
    fn problems_that_no_field_is_about_are_told_too() {
        let problem = |target: &str| FieldProblem { target: target.to_owned(), message: "wrong".to_owned() };
        let fields = job_fields(JobKind::Export, &JobDetails::default());
        let problems = ["properties.export", "properties.export.blobList.blobPath[1]", "properties.returnAddress.phone"];
        let (placed, sentence) = placed(problems.map(problem).to_vec(), &fields);
        assert_eq!((placed.len(), placed[0].target.as_str()), (2, "blobPath"));
        assert_eq!(sentence, "Some fields need another look. properties.returnAddress.phone: wrong.");
    }
}
