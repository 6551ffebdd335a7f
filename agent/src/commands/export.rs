//! `drive-agent export BLOB DRIVE`

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use blob::Blob;
use copy::{CopyError, Footer, Target, TransferHandle, TransferOptions};
use drive::{Confirmation, Drive, Pace, TargetRequest};
use protocol::result::{Direction, TransferPlan, TransferResult};

use crate::cli::{BlobFormat, ExportArguments};
use crate::commands::condition::{ConditionWatch, Release};
use crate::commands::{conclude, conclude_plan, link};
use crate::opening;
use crate::printer::{Printer, visible};
use crate::rate_file;
use crate::secrets::without_query;
use crate::settings::{Reach, pace, reach_blob, require_two_places, transfer_options};

/// Writes a blob onto a drive, or says what that would do.
pub(crate) async fn run(arguments: ExportArguments, printer: &Printer) -> u8 {
    let release = match Release::of(&arguments.drive, arguments.transfer.spin_down, printer) {
        Ok(release) => release,
        Err(exit_code) => return exit_code,
    };
    let (link, reporter) = link(printer);
    let blob = without_query(&arguments.blob);
    if arguments.transfer.dry_run {
        let plan = plan(&arguments, link).await;
        reporter.end().await;
        return conclude_plan(plan, Direction::Export, &blob, printer);
    }
    let condition = ConditionWatch::start(&arguments.drive, printer);
    let result = export(&arguments, link, printer).await;
    drop(condition);
    reporter.end().await;
    conclude(result, Direction::Export, &blob, Some(release), printer)
}

async fn export(arguments: &ExportArguments, link: TransferHandle, printer: &Printer) -> Result<TransferResult, CopyError> {
    let (blob, options, pace) = settle(arguments)?;
    rate_file::follow(arguments.transfer.effort.rate_file.as_deref(), &options.rate, printer);
    let may_ask = !arguments.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let (stop, timeout) = (link.stop.clone(), options.read_timeout);
    let open = |Target { needed_bytes, warning }| {
        let (path, word, asker) = (arguments.drive.clone(), arguments.confirm.clone(), printer.clone());
        let open = move || {
            let before = warning.map_or_else(String::new, |warning| format!("warning: {warning}\n"));
            let ask = |question: &str| asker.ask(&format!("{before}{question}"));
            let confirmation = match &word {
                Some(word) => Confirmation::Word(word),
                None if may_ask => Confirmation::Ask(&ask),
                None => Confirmation::None,
            };
            drive::open_target(&path, &TargetRequest { needed_bytes, confirmation, pace })
        };
        opening::in_time(&arguments.drive, timeout, &stop, || printer.is_asking(), open)
    };
    opening::or_cancelled(copy::export(&arguments.drive, open, blob, options, link).await, &stop)
}

async fn plan(arguments: &ExportArguments, link: TransferHandle) -> Result<TransferPlan, CopyError> {
    let (blob, options, pace) = settle(arguments)?;
    let (stop, timeout) = (link.stop.clone(), options.read_timeout);
    let open = |Target { needed_bytes, .. }| {
        let (path, word) = (arguments.drive.clone(), arguments.confirm.clone());
        let open = move || {
            // Nothing is written, so nothing has to be confirmed; a word that was given is checked.
            let any = |_: &dyn Drive| Ok(());
            let confirmation = word.as_deref().map_or(Confirmation::Check(&any), Confirmation::Word);
            drive::open_target(&path, &TargetRequest { needed_bytes, confirmation, pace })
        };
        opening::in_time(&arguments.drive, timeout, &stop, || false, open)
    };
    opening::or_cancelled(copy::plan_export(open, blob, options, link).await, &stop)
}

fn settle(arguments: &ExportArguments) -> Result<(Arc<dyn Blob>, TransferOptions, Pace), CopyError> {
    let footer = match arguments.blob_format {
        None => Footer::DroppedWhereFound,
        Some(BlobFormat::Vhd) => Footer::Dropped,
        Some(BlobFormat::Raw) => Footer::Written,
    };
    let options = TransferOptions { overwrite: arguments.overwrite, footer, ..transfer_options(&arguments.transfer)? };
    let reached = reach_blob(&arguments.blob, &Reach::of(&arguments.transfer.effort)?)?;
    require_two_places(&arguments.drive, &reached)?;
    Ok((reached.blob, options, pace(&arguments.transfer.effort, Some(&arguments.drive))?))
}

impl Printer {
    /// Asks the person at the terminal; `None` where there is no answer.
    fn ask(&self, question: &str) -> Option<String> {
        self.set_asking(true);
        let answer = self.without_bar(|| {
            let mut terminal = std::io::stderr().lock();
            terminal.write_all(visible(question).as_bytes()).and_then(|()| terminal.flush()).ok()?;
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer).ok()?;
            Some(answer)
        });
        self.set_asking(false);
        answer
    }
}
