//! Progress on standard error: a bar, JSON lines, or nothing. The only file that knows indicatif.

use std::sync::Arc;
use std::time::Duration;

use copy::Counters;
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::limits::PROGRESS_LINES_PER_SECOND_MAX;
use protocol::progress::{Phase, Progress};
use tokio::task::JoinHandle;

use crate::printer::{Printer, Shown};

/// Bars are redrawn this often; they change less often than a person can read.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// JSON lines that were not asked for come this often.
const QUIET_BEAT: Duration = Duration::from_secs(2);

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
                Self::lines(counters, printer, interval)
            }
            Shown::FewJsonLines => Self::lines(counters, printer, QUIET_BEAT),
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

    fn lines(counters: Arc<Counters>, printer: Printer, interval: Duration) -> Self {
        let (source, output) = (counters.clone(), printer.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                output.progress_line(&source.snapshot());
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
    let template = format!("{{prefix}} {bar} {{percent:>3}}% {{msg}}");
    // The template is a constant but for the colour; a mistake in it would show in every test.
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸ ")
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.bytes_total.max(1));
    bar.set_position(progress.bytes_done.min(progress.bytes_total));
    bar.set_prefix(match progress.phase {
        Phase::Preparing => "preparing",
        Phase::Copying => "copying",
        Phase::Rescuing => "rescuing",
        Phase::Draining => "draining",
        Phase::Committing => "committing",
        Phase::Clearing => "clearing behind the blob",
        Phase::Verifying => "verifying",
        Phase::Done => "done",
    });
    bar.set_message(message(progress));
}

fn message(progress: &Progress) -> String {
    let mut text = format!("{} of {}", HumanBytes(progress.bytes_done), HumanBytes(progress.bytes_total));
    let is_moving = !matches!(progress.phase, Phase::Done);
    if is_moving {
        text += &format!(", {}/s", HumanBytes(progress.bytes_per_second as u64));
        if let Some(eta) = progress.eta_seconds.filter(|eta| eta.is_finite() && *eta < 1e9) {
            text += &format!(", {} left", HumanDuration(Duration::from_secs_f64(eta)));
        }
    }
    for (bytes, name) in
        [(progress.bytes_zero, "zero"), (progress.bytes_reused, "reused"), (progress.bytes_unreadable, "unreadable")]
    {
        if bytes > 0 {
            text += &format!(", {} {name}", HumanBytes(bytes));
        }
    }
    if progress.retries > 0 {
        text += &format!(", {} repeated", progress.retries);
    }
    text
}
