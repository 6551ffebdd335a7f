//! `drive-agent verify MANIFEST [--drive DRIVE] [--blob BLOB]`

use std::path::PathBuf;

use copy::{CopyError, ManifestSource, Sides, TransferHandle};
use protocol::outcome::{EXIT_USAGE, Outcome};
use protocol::result::VerifyResult;

use crate::cli::VerifyArguments;
use crate::commands::link;
use crate::opening;
use crate::printer::Printer;
use crate::rate_file;
use crate::secrets::without_query;
use crate::secrets::without_secrets;
use crate::settings::{Reach, effort_options, pace, reach_blob};

/// Checks a drive, a blob, or both against a manifest.
pub(crate) async fn run(arguments: VerifyArguments, printer: &Printer) -> u8 {
    let (link, reporter) = link(printer);
    let result = verify(&arguments, link, printer).await;
    reporter.end().await;
    let result = match result {
        Ok(result) => result,
        Err(error) => match error.outcome() {
            None => {
                printer.error(&error.to_string());
                return EXIT_USAGE;
            }
            Some(outcome) => not_begun(outcome, &arguments, &error),
        },
    };
    if let Some(error) = &result.error {
        printer.error(error);
    }
    printer.verification(&result);
    result.outcome.exit_code()
}

async fn verify(arguments: &VerifyArguments, link: TransferHandle, printer: &Printer) -> Result<VerifyResult, CopyError> {
    let options = effort_options(&arguments.effort)?;
    rate_file::follow(arguments.effort.rate_file.as_deref(), &options.rate, printer);
    let reach = Reach::of(&arguments.effort)?;
    let manifest = reach_blob(&arguments.manifest, &reach)?;
    let pace = pace(&arguments.effort, arguments.drive.as_deref())?;
    let open = |path: &PathBuf| opening::source(path, pace, options.read_timeout, &link.stop);
    let drive = arguments.drive.as_ref().map(open).transpose()?;
    let blob = arguments.blob.as_ref().map(|text| reach_blob(text, &reach)).transpose()?;
    let sides = Sides { drive, blob: blob.map(|reached| reached.blob) };
    let source = manifest.path.map_or(ManifestSource::Blob(manifest.blob), ManifestSource::File);
    copy::verify(source, &without_query(&arguments.manifest), sides, options, link).await
}

fn not_begun(outcome: Outcome, arguments: &VerifyArguments, error: &CopyError) -> VerifyResult {
    VerifyResult {
        outcome,
        manifest: without_query(&arguments.manifest),
        drive: None,
        blob: arguments.blob.as_deref().map(without_query),
        bytes_total: 0,
        bytes_verified: 0,
        chunks: 0,
        root_sha256: None,
        stream_sha256: None,
        differences: Vec::new(),
        unreadable: Vec::new(),
        elapsed_seconds: 0.0,
        error: Some(without_secrets(&error.to_string()).into_owned()),
    }
}
