//! `drive-agent import DRIVE BLOB`

use copy::{CopyError, Link, OnUnreadable, TransferOptions};
use protocol::result::{Direction, TransferResult};

use crate::cli::{ImportArguments, Unreadable};
use crate::commands::{conclude, link};
use crate::printer::Printer;
use crate::settings::{pace, reach_blob, require_two_places, transfer_options, without_query};

/// Copies a drive into a blob.
pub(crate) async fn run(arguments: ImportArguments, printer: &Printer) -> u8 {
    let (link, reporter) = link(printer);
    let result = import(&arguments, link).await;
    reporter.end().await;
    conclude(result, Direction::Import, without_query(&arguments.blob), printer)
}

async fn import(arguments: &ImportArguments, link: Link) -> Result<TransferResult, CopyError> {
    let options = TransferOptions {
        on_unreadable: match arguments.on_unreadable {
            Unreadable::Stop => OnUnreadable::Stop,
            Unreadable::Skip => OnUnreadable::Skip,
            Unreadable::Rescue => OnUnreadable::Rescue,
        },
        overwrite: arguments.overwrite,
        ..transfer_options(&arguments.transfer)?
    };
    let reached = reach_blob(&arguments.blob, arguments.blob_type)?;
    require_two_places(&arguments.drive, &reached)?;
    let pace = pace(&arguments.transfer.effort, Some(&arguments.drive))?;
    let drive = drive::open_source(&arguments.drive, pace)?;
    copy::import(drive, reached.blob, options, link).await
}
