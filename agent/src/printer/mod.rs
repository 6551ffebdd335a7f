//! Output: results on standard output, everything else on standard error. A reader that went away does not end the
//! work; but a command whose result was lost has not succeeded, which the printer remembers until the process ends.
//!
//! | file | responsibility |
//! |---|---|
//! | here | where each thing is written, and whether as JSON or as text |
//! | [`transfer`] | the text of a plan, of a result and of a receipt |
//! | [`verification`] | the text of what a verification found |
//! | [`layout`] | lines, tables that fit into the terminal, and none of its control characters |

mod layout;
mod transfer;
mod verification;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;
use protocol::progress::{Notice, Progress};
use protocol::result::{TransferPlan, TransferResult, VerifyResult};
use serde::Serialize;

use crate::cli::{ColorMode, Common, Output, ProgressMode};
use crate::logging::SHOWN;
use crate::secrets::without_secrets;
use crate::standard_output::StandardOutput;

use layout::visible_json;
pub(crate) use layout::{line, table, table_rows, visible};
use transfer::{plan_text, transfer_text};
use verification::verify_text;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A bar.
    Bar,
    /// JSON lines, messages among them.
    JsonLines,
    /// A line of text now and then.
    TextLines,
    /// Nothing.
    Nothing,
}

/// Writes results and messages.
#[derive(Clone)]
pub(crate) struct Printer {
    output: Output,
    shown: Shown,
    is_quiet: bool,
    uses_color: bool,
    bar: Arc<Mutex<Option<ProgressBar>>>,
    is_asking: Arc<AtomicBool>,
    results: StandardOutput,
}

impl Printer {
    /// A printer as the command line wants it.
    pub(crate) fn new(common: &Common) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let shown = match common.progress {
            ProgressMode::Bar => Shown::Bar,
            ProgressMode::Text => Shown::TextLines,
            ProgressMode::Json => Shown::JsonLines,
            ProgressMode::None => Shown::Nothing,
            ProgressMode::Auto if common.quiet => Shown::Nothing,
            ProgressMode::Auto if is_terminal && !is_dumb() => Shown::Bar,
            ProgressMode::Auto => Shown::TextLines,
        };
        // https://no-color.org: any value but an empty one.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Printer {
            output: common.output,
            shown,
            is_quiet: common.quiet,
            uses_color: match common.color {
                ColorMode::Always => true,
                ColorMode::Never => false,
                ColorMode::Auto => is_terminal && !no_color && !is_dumb(),
            },
            bar: Arc::default(),
            is_asking: Arc::default(),
            results: StandardOutput::default(),
        }
    }

    /// Whether a question waits for its answer.
    pub(crate) fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::Relaxed)
    }

    pub(crate) fn set_asking(&self, is_asking: bool) {
        self.is_asking.store(is_asking, Ordering::Relaxed);
    }

    /// Whether something that belongs to the result could not be written.
    pub(crate) fn has_lost_result(&self) -> bool {
        self.results.has_lost_result()
    }

    /// Returns when the reader of standard output has gone.
    pub(crate) async fn reader_gone(&self) {
        self.results.reader_gone().await;
    }

    pub(crate) fn shown(&self) -> Shown {
        self.shown
    }

    pub(crate) fn uses_color(&self) -> bool {
        self.uses_color
    }

    /// From now on messages go above `bar`.
    pub(crate) fn attach(&self, bar: ProgressBar) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    pub(crate) fn detach(&self) {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Runs `work` with the terminal to itself.
    pub(crate) fn without_bar<T>(&self, work: impl FnOnce() -> T) -> T {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match &*bar {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }

    pub(crate) fn error(&self, text: &str) {
        tracing::error!(target: SHOWN, "{}", visible(&without_secrets(text)));
        self.message("error", text);
    }

    pub(crate) fn warn(&self, text: &str) {
        tracing::warn!(target: SHOWN, "{}", visible(&without_secrets(text)));
        self.message("warning", text);
    }

    pub(crate) fn inform(&self, text: &str) {
        tracing::info!(target: SHOWN, "{}", visible(&without_secrets(text)));
        if !self.is_quiet {
            self.message("note", text);
        }
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Warning(text) => self.warn(text),
            Notice::Information(text) => self.inform(text),
        }
    }

    fn message(&self, level: &'static str, text: &str) {
        // It may repeat an address that came in the wrong place, which nothing has taken for an address.
        let text = &without_secrets(text);
        if self.shown == Shown::JsonLines {
            self.json_line(&serde_json::json!({ "type": level, "message": text }));
            return;
        }
        let line = format!("drive-agent: {level}: {}\n", visible(text));
        self.without_bar(|| write_error(&line));
    }

    pub(crate) fn progress_line(&self, progress: &Progress) {
        #[derive(Serialize)]
        struct Line<'progress> {
            r#type: &'static str,
            #[serde(flatten)]
            progress: &'progress Progress,
        }
        self.json_line(&Line { r#type: "progress", progress });
    }

    /// Writes a line of progress as text.
    pub(crate) fn progress_text(&self, text: &str) {
        write_error(&format!("drive-agent: {text}\n"));
    }

    fn json_line(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            write_error(&(visible_json(&text) + "\n"));
        }
    }

    /// Writes the result of a transfer. `is_removable`: its drive may be taken out.
    pub(crate) fn transfer(&self, result: &TransferResult, is_removable: bool) {
        let text = transfer_text(result, is_removable);
        log_lines(&text);
        match self.output {
            Output::Json => self.json(result),
            Output::Text => self.write(&visible(&text)),
        }
    }

    /// Writes what a transfer would do. What is worth knowing about it goes to standard error.
    pub(crate) fn plan(&self, plan: &TransferPlan) {
        plan.warnings.iter().for_each(|warning| self.warn(warning));
        self.document(plan, || plan_text(plan));
    }

    /// Writes the result of a verification.
    pub(crate) fn verification(&self, result: &VerifyResult) {
        log_lines(&verify_text(result));
        match self.output {
            Output::Json => self.json(result),
            Output::Text => self.write(&visible(&verify_text(result))),
        }
    }

    /// Writes what is text whatever `--output` says, such as a script for a shell.
    pub(crate) fn raw(&self, text: &str) {
        self.write(text);
    }

    /// Writes a document: as JSON, or as the text that `text` makes of it.
    pub(crate) fn document(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        match self.output {
            Output::Json => self.json(value),
            Output::Text => self.write(&visible(&text())),
        }
    }

    /// Writes one of many documents, as a line.
    pub(crate) fn line(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        match (self.output, serde_json::to_string(value)) {
            (Output::Json, Ok(json)) => self.write(&(visible_json(&json) + "\n")),
            (Output::Json, Err(error)) => self.tell_of_loss(self.results.lose(error.into())),
            (Output::Text, _) => self.write(&visible(&text())),
        }
    }

    fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.write(&(visible_json(&text) + "\n")),
            Err(error) => self.tell_of_loss(self.results.lose(error.into())),
        }
    }

    fn write(&self, text: &str) {
        let written = self.results.write(text);
        self.tell_of_loss(written);
    }

    fn tell_of_loss(&self, written: io::Result<()>) {
        if let Err(error) = written {
            self.error(&format!("the result cannot be written to standard output: {error}"));
        }
    }
}

/// A terminal that cannot move its cursor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}

/// A result, for the file of `--log-file`.
fn log_lines(text: &str) {
    text.lines().for_each(|line| tracing::info!(target: SHOWN, "{}", visible(line)));
}

fn write_error(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
