//! `drive-agent import DRIVE BLOB`

use copy::{CopyError, Link, TransferOptions};
use protocol::result::{Direction, TransferResult};

use crate::cli::ImportArguments;
use crate::commands::{conclude, link};
use crate::printer::Printer;
use crate::settings::{pace, reach_blob, require_two_places, rescue_options, transfer_options, without_query};

/// Copies a drive into a blob.
pub(crate) async fn run(arguments: ImportArguments, printer: &Printer) -> u8 {
    let (link, reporter) = link(printer);
    let result = import(&arguments, link).await;
    reporter.end().await;
    conclude(result, Direction::Import, without_query(&arguments.blob), printer)
}

async fn import(arguments: &ImportArguments, link: Link) -> Result<TransferResult, CopyError> {
    let (on_unreadable, rescue) = rescue_options(&arguments.rescue, &arguments.drive)?;
    let options = TransferOptions {
        on_unreadable,
        rescue,
        fill: arguments.rescue.fill,
        overwrite: arguments.overwrite,
        ..transfer_options(&arguments.transfer)?
    };
    let reached = reach_blob(&arguments.blob, arguments.blob_type)?;
    require_two_places(&arguments.drive, &reached)?;
    let pace = pace(&arguments.transfer.effort, Some(&arguments.drive))?;
    let drive = drive::open_source(&arguments.drive, pace)?;
    copy::import(drive, reached.blob, options, link).await
}
