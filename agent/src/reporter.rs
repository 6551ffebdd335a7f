//! Progress on standard error: a bar, lines, or nothing. The only file that knows indicatif.

use std::sync::Arc;
use std::time::Duration;

use copy::Counters;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::limits::PROGRESS_LINES_PER_SECOND_MAX;
use protocol::progress::Progress;
use tokio::task::JoinHandle;

use crate::printer::{Printer, Shown};
use crate::progress_text::{BesideBar, beside_bar, log_line};

/// Bars are redrawn this often; they change less often than a person can read.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Lines of text come this often: a copy of hours must not fill a log.
const TEXT_INTERVAL: Duration = Duration::from_secs(10);

/// Shows progress until it is asked to end.
pub(crate) struct Reporter {
    task: Option<JoinHandle<()>>,
    bar: Option<ProgressBar>,
    counters: Arc<Counters>,
    printer: Printer,
}

impl Reporter {
    /// Begins to show how far `counters` are.
    pub(crate) fn start(counters: Arc<Counters>, printer: &Printer) -> Self {
        let printer = printer.clone();
        match printer.shown() {
            Shown::Bar => Self::bar(counters, printer),
            Shown::JsonLines => {
                let interval = Duration::from_secs(1) / PROGRESS_LINES_PER_SECOND_MAX;
                Self::lines(counters, printer, interval, Printer::progress_line)
            }
            Shown::TextLines => Self::lines(counters, printer, TEXT_INTERVAL, |printer, progress| {
                printer.progress_text(&log_line(progress));
            }),
            Shown::Nothing => Reporter { task: None, bar: None, counters, printer },
        }
    }

    fn bar(counters: Arc<Counters>, printer: Printer) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style(printer.uses_color()));
        printer.attach(bar.clone());
        let (shown, source) = (bar.clone(), counters.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(BAR_INTERVAL);
            loop {
                ticks.tick().await;
                draw(&shown, &source.snapshot());
            }
        });
        Reporter { task: Some(task), bar: Some(bar), counters, printer }
    }

    fn lines(counters: Arc<Counters>, printer: Printer, interval: Duration, write: fn(&Printer, &Progress)) -> Self {
        let (source, output) = (counters.clone(), printer.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                write(&output, &source.snapshot());
            }
        });
        Reporter { task: Some(task), bar: None, counters, printer }
    }

    /// Writes the last line, or takes the bar away, and lets go of the terminal.
    pub(crate) async fn end(self) {
        if let Some(task) = self.task {
            task.abort();
            // Until it has ended it may still be writing.
            let _ = task.await;
            if self.printer.shown() == Shown::JsonLines {
                self.printer.progress_line(&self.counters.snapshot());
            }
        }
        if let Some(bar) = self.bar {
            // The result says all that the bar could.
            bar.finish_and_clear();
            self.printer.detach();
        }
    }
}

fn style(uses_color: bool) -> ProgressStyle {
    let bar = if uses_color { "{wide_bar:.green}" } else { "{wide_bar}" };
    let template = format!("{{prefix}} {bar} {{msg}}");
    // The template is a constant but for the colour; a mistake in it would show in every test.
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸ ")
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.bytes_total.max(1));
    bar.set_position(progress.bytes_done.min(progress.bytes_total));
    let BesideBar { before, behind } = beside_bar(progress, columns());
    bar.set_prefix(before);
    bar.set_message(behind);
}

/// Of the terminal as it is now: windows change.
fn columns() -> usize {
    const USUAL: usize = 80;
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => USUAL,
    }
}
