//! `drive-agent export BLOB DRIVE`

use std::io::{BufRead, IsTerminal, Write};

use copy::{CopyError, Link};
use drive::{Confirmation, TargetRequest};
use protocol::result::{Direction, TransferResult};

use crate::cli::{BlobType, ExportArguments};
use crate::commands::{conclude, link};
use crate::printer::{Printer, visible};
use crate::settings::{pace, reach_blob, require_two_places, transfer_options, without_query};

/// Writes a blob onto a drive.
pub(crate) async fn run(arguments: ExportArguments, printer: &Printer) -> u8 {
    let (link, reporter) = link(printer);
    let ask = |question: &str| printer.ask(question);
    let result = export(&arguments, link, &ask).await;
    reporter.end().await;
    conclude(result, Direction::Export, without_query(&arguments.blob), printer)
}

async fn export(
    arguments: &ExportArguments,
    link: Link,
    ask: &dyn Fn(&str) -> Option<String>,
) -> Result<TransferResult, CopyError> {
    let options = transfer_options(&arguments.transfer)?;
    let reached = reach_blob(&arguments.blob, BlobType::Block)?;
    require_two_places(&arguments.drive, &reached)?;
    let may_ask = !arguments.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let pace = pace(&arguments.transfer.effort, Some(&arguments.drive))?;
    let open = |needed_bytes| {
        let confirmation = match &arguments.confirm {
            Some(word) => Confirmation::Word(word),
            None if may_ask => Confirmation::Ask(ask),
            None => Confirmation::None,
        };
        drive::open_target(&arguments.drive, &TargetRequest { needed_bytes, confirmation, pace })
    };
    copy::export(open, reached.blob, options, link).await
}

impl Printer {
    /// Asks the person at the terminal; `None` where nobody answers.
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
