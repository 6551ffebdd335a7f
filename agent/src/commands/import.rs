//! `drive-agent import DRIVE BLOB`

use std::path::Path;
use std::sync::Arc;

use blob::Blob;
use blob::azure::PageForm;
use copy::{CopyError, TransferHandle, TransferOptions};
use drive::{Drive, Pace};
use protocol::manifest::MadeAs;
use protocol::result::{Direction, TransferPlan, TransferResult};

use crate::cli::{BlobFormat, ImportArguments};
use crate::commands::condition::{ConditionWatch, Release};
use crate::commands::{conclude, conclude_plan, link};
use crate::opening;
use crate::printer::Printer;
use crate::rate_file;
use crate::secrets::without_query;
use crate::settings::{
    Made, Reach, ReachedBlob, blob_properties, pace, reach_new_blob, require_two_places, rescue_options, transfer_options,
};

/// Copies a drive into a blob, or says what that would do.
pub(crate) async fn run(arguments: ImportArguments, printer: &Printer) -> u8 {
    let release = match Release::of(&arguments.drive, arguments.transfer.spin_down, printer) {
        Ok(release) => release,
        Err(exit_code) => return exit_code,
    };
    let (link, reporter) = link(printer);
    let blob = without_query(&arguments.blob);
    if arguments.transfer.dry_run {
        let plan = plan(&arguments, link).await;
        reporter.end().await;
        return conclude_plan(plan, Direction::Import, &blob, printer);
    }
    let condition = ConditionWatch::start(&arguments.drive, printer);
    let result = import(&arguments, link, printer).await;
    drop(condition);
    reporter.end().await;
    conclude(result, Direction::Import, &blob, Some(release), printer)
}

async fn import(arguments: &ImportArguments, link: TransferHandle, printer: &Printer) -> Result<TransferResult, CopyError> {
    match ends(arguments, &link) {
        Ok((drive, blob, options)) => {
            rate_file::follow(arguments.transfer.effort.rate_file.as_deref(), &options.rate, printer);
            copy::import(drive, blob, options, link).await
        }
        Err(CopyError::Cancelled) => {
            let reached = reach(arguments)?;
            copy::cancelled_unopened(&*reached.blob, &transfer_options(&arguments.transfer)?, &link).await
        }
        Err(error) => Err(error),
    }
}

async fn plan(arguments: &ImportArguments, link: TransferHandle) -> Result<TransferPlan, CopyError> {
    let (drive, blob, options) = ends(arguments, &link)?;
    let plan = copy::plan_import(drive, blob, options, link).await?;
    Ok(TransferPlan { properties: blob_properties(arguments)?.planned(), ..plan })
}

/// The blob to make.
fn reach(arguments: &ImportArguments) -> Result<ReachedBlob, CopyError> {
    let form = PageForm { is_vhd: arguments.blob_format == BlobFormat::Vhd, is_existing: arguments.into_existing };
    let made = Made { kind: arguments.blob_type, form, properties: blob_properties(arguments)? };
    reach_new_blob(&arguments.blob, made, &Reach::of(&arguments.transfer.effort)?)
}

/// What an import goes between, and how.
type Ends = (Arc<dyn Drive>, Arc<dyn Blob>, TransferOptions);

/// The drive, the blob and the options that were asked for.
fn ends(arguments: &ImportArguments, link: &TransferHandle) -> Result<Ends, CopyError> {
    let effort = &arguments.transfer.effort;
    let open_image = |path: &Path| opening::source(path, Pace::Unlimited, effort.read_timeout, &link.stop);
    let (on_unreadable, rescue) = rescue_options(&arguments.rescue, &arguments.drive, open_image)?;
    let options = TransferOptions {
        on_unreadable,
        rescue,
        fill: arguments.rescue.fill,
        overwrite: arguments.overwrite,
        staging: arguments.staging.clone(),
        made_as: MadeAs {
            is_vhd: arguments.blob_format == BlobFormat::Vhd,
            into_existing: arguments.into_existing,
            ..MadeAs::default()
        },
        ..transfer_options(&arguments.transfer)?
    };
    let reached = reach(arguments)?;
    require_two_places(&arguments.drive, &reached)?;
    let pace = pace(effort, Some(&arguments.drive))?;
    let drive = opening::source(&arguments.drive, pace, effort.read_timeout, &link.stop)?;
    Ok((drive, reached.blob, options))
}
