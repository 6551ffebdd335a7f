//! The only file that writes to the terminal: results to standard output, everything else to standard
//! error. A reader that went away does not end the work; but a command whose result was lost has not succeeded, which
//! the printer remembers until the process ends.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;
use protocol::progress::{Notice, Progress};
use protocol::receipt::{ClassRanges, Receipt};
use protocol::result::{Direction, Evidence, PlannedAction, TransferPlan, TransferResult, VerifyResult};
use protocol::units::ByteSize;
use serde::Serialize;

use crate::cli::{Common, Output, ProgressMode};
use crate::standard_output::StandardOutput;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A bar.
    Bar,
    /// JSON lines, messages among them.
    JsonLines,
    /// A JSON line now and then; messages as text.
    FewJsonLines,
    /// Nothing.
    Nothing,
}

/// Writes results and messages.
#[derive(Clone)]
pub(crate) struct Printer {
    output: Output,
    shown: Shown,
    uses_color: bool,
    bar: Arc<Mutex<Option<ProgressBar>>>,
    is_asking: Arc<AtomicBool>,
    results: StandardOutput,
}

/// Differing ranges that are listed as text; JSON has them all.
const LISTED_RANGES_MAX: usize = 20;

impl Printer {
    /// A printer as the command line wants it.
    pub(crate) fn new(common: &Common) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let shown = match common.progress {
            ProgressMode::Bar => Shown::Bar,
            ProgressMode::Json => Shown::JsonLines,
            ProgressMode::None => Shown::Nothing,
            ProgressMode::Auto if is_terminal => Shown::Bar,
            ProgressMode::Auto => Shown::FewJsonLines,
        };
        // https://no-color.org: any value but an empty one.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Printer {
            output: common.output,
            shown,
            uses_color: is_terminal && !no_color,
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
        self.message("error", text);
    }

    pub(crate) fn warn(&self, text: &str) {
        self.message("warning", text);
    }

    pub(crate) fn inform(&self, text: &str) {
        self.message("note", text);
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Warning(text) => self.warn(text),
            Notice::Information(text) => self.inform(text),
        }
    }

    fn message(&self, level: &'static str, text: &str) {
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

    fn json_line(&self, value: &impl Serialize) {
        if let Ok(mut text) = serde_json::to_string(value) {
            text.push('\n');
            write_error(&text);
        }
    }

    /// Writes the result of a transfer.
    pub(crate) fn transfer(&self, result: &TransferResult) {
        match self.output {
            Output::Json => self.json(result),
            Output::Text => self.write(&visible(&transfer_text(result))),
        }
    }

    /// Writes what a transfer would do. What is worth knowing about it goes to standard error.
    pub(crate) fn plan(&self, plan: &TransferPlan) {
        plan.warnings.iter().for_each(|warning| self.warn(warning));
        self.document(plan, || plan_text(plan));
    }

    /// Writes the result of a verification.
    pub(crate) fn verification(&self, result: &VerifyResult) {
        match self.output {
            Output::Json => self.json(result),
            Output::Text => self.write(&visible(&verify_text(result))),
        }
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
            (Output::Json, Ok(json)) => self.write(&(json + "\n")),
            (Output::Json, Err(error)) => self.tell_of_loss(self.results.lose(error.into())),
            (Output::Text, _) => self.write(&visible(&text())),
        }
    }

    fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.write(&(text + "\n")),
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

/// Strips control characters: names of files and of drives are untrusted.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |letter: char| letter.is_control() && letter != '\n';
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|letter| if is_hidden(letter) { letter.escape_default().to_string() } else { letter.to_string() }).collect()
}

fn write_error(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Rows in columns as wide as their widest cell; the last column is as long as it is.
pub(crate) fn table(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| match column + 1 == row.len() {
            true => cell.clone(),
            false => format!("{cell:<width$}", width = widths[column]),
        });
        text += &(cells.collect::<Vec<_>>().join("  ") + "\n");
    }
    text
}

pub(crate) fn line(name: &str, value: impl std::fmt::Display) -> String {
    format!("  {name:<12} {value}\n")
}

/// The name that a value has in JSON, so that text and JSON use the same words.
fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn plan_text(plan: &TransferPlan) -> String {
    let drive = plan.drive.path.as_str();
    let (from, to, verb) = match plan.direction {
        Direction::Import => (drive, plan.blob.as_str(), "import"),
        Direction::Export => (plan.blob.as_str(), drive, "export"),
    };
    let action = match plan.action {
        PlannedAction::Begin => "would begin".to_owned(),
        PlannedAction::Resume => format!("would resume: {} of {} chunks had landed", plan.chunks_landed, plan.chunks),
        PlannedAction::StoreManifest => "is complete but for its manifest, which would be stored".to_owned(),
    };
    let (total, chunk) = (ByteSize(plan.bytes_total), ByteSize(plan.chunk_size));
    let mut text = format!("{verb} {action}: {from} -> {to}\n");
    text += &line("size", format!("{total} ({} bytes) in {}", plan.bytes_total, chunks_text(plan.chunks, chunk)));
    text += &line("manifest", &plan.manifest);
    text += &line("changed", "nothing: this was a dry run");
    text
}

fn transfer_text(result: &TransferResult) -> String {
    let drive = result.drive.as_ref().map_or("the drive", |drive| drive.path.as_str());
    let (from, to, verb) = match result.direction {
        Direction::Import => (drive, result.blob.as_str(), "import"),
        Direction::Export => (result.blob.as_str(), drive, "export"),
    };
    if !result.outcome.is_complete() && result.receipt.is_none() {
        // Nothing was begun, and the message has said why.
        return String::new();
    }
    let mut text = format!("{verb} {}: {from} -> {to}\n", result.outcome.name());
    let (total, chunk) = (ByteSize(result.bytes_total), ByteSize(result.chunk_size));
    text += &line("size", format!("{total} ({} bytes) in {}", result.bytes_total, chunks_text(result.chunks, chunk)));
    let moved = match result.direction {
        Direction::Import => "sent",
        Direction::Export => "written",
    };
    let mut parts = vec![format!("{} {moved}", ByteSize(result.bytes_sent))];
    for (bytes, name) in [
        (result.bytes_reused, "reused"),
        (result.bytes_zero, "zero, never moved"),
        (result.bytes_unreadable, "unreadable"),
        (result.bytes_cleared, "cleared behind the blob"),
    ] {
        if bytes > 0 {
            parts.push(format!("{} {name}", ByteSize(bytes)));
        }
    }
    text += &line("moved", parts.join(", "));
    if result.failed_reads > 0 {
        text += &line("drive", format!("{} reads failed", result.failed_reads));
    }
    if result.bytes_from_image > 0 {
        text +=
            &line("image", format!("{} taken from an image of the drive, not from the drive", ByteSize(result.bytes_from_image)));
    }
    if result.source_changed {
        text += &line("source", "modified while it was read: the copy may be a mixture of two states");
    }
    text += &transfer_proof(result);
    let seconds = result.elapsed_seconds;
    let rate = ByteSize((result.bytes_sent as f64 / seconds.max(1e-3)) as u64);
    text += &line("time", format!("{seconds:.1} s, {rate}/s moved, limited by {}", name_of(&result.limited_by)));
    for range in result.unreadable.iter().take(LISTED_RANGES_MAX) {
        text += &line("unreadable", format!("{} bytes at {}", range.length, range.offset));
    }
    if result.unreadable.len() > LISTED_RANGES_MAX {
        text += &line("", format!("and {} more", result.unreadable.len() - LISTED_RANGES_MAX));
    }
    if let Some(receipt) = &result.receipt {
        text += &receipt_text(receipt);
    }
    text
}

fn chunks_text(chunks: u64, size: ByteSize) -> String {
    if chunks == 1 { "one chunk".to_owned() } else { format!("{chunks} chunks of {size}") }
}

fn transfer_proof(result: &TransferResult) -> String {
    let mut text = String::new();
    if let Some(root) = &result.root_sha256 {
        text += &line("root sha256", root);
    }
    if let Some(stream) = &result.stream_sha256 {
        text += &line("sha256", stream);
    }
    if result.outcome.is_complete() {
        text += &line(
            "evidence",
            match (result.evidence, result.checked_against_manifest) {
                (Evidence::ReadBack, _) => "read-back: the whole target was read again and hashed",
                (Evidence::Transport, Some(true)) => "transport: every chunk has the digest that its manifest states",
                (Evidence::Transport, _) => "transport: a checksum of every body was checked on arrival",
                (Evidence::Sampled, _) if result.from_image.is_empty() => {
                    "sampled: what an earlier run left was compared at a few places only"
                }
                (Evidence::Sampled, _) => {
                    "sampled: parts come from an image that was compared with the drive at a few places only"
                }
                (Evidence::Read, Some(_)) => "read: nothing states what the blob should be; digests are of what came",
                (Evidence::Read, None) => "read: digests are of what was read from the drive",
            },
        );
    }
    if let Some(manifest) = &result.manifest {
        text += &line(if result.outcome.is_complete() { "manifest" } else { "journal" }, manifest);
    }
    text
}

fn receipt_text(receipt: &Receipt) -> String {
    let class = |ranges: &ClassRanges| {
        let count = match ranges.ranges.as_slice().len() {
            1 => "1 range".to_owned(),
            count => format!("{count} ranges"),
        };
        let first = ranges.ranges.as_slice().first().map(|range| format!(", the first at {}", range.offset));
        format!("{} ({} bytes) in {count}{}", ByteSize(ranges.bytes), ranges.bytes, first.unwrap_or_default())
    };
    let drained = receipt.drained_at - receipt.requested_at;
    let mut text = format!("receipt ({}, drained in {:.1} s)\n", name_of(&receipt.reason), drained.as_seconds_f64());
    let event = if receipt.reason.is_cancel() { "request" } else { "failure" };
    text += &line("before", format!("{} landed before the {event}", class(&receipt.landed_before_request)));
    text += &line("after", format!("{} landed after it", class(&receipt.landed_after_request)));
    text += &line("unknown", class(&receipt.outcome_unknown));
    text += &line("never sent", class(&receipt.never_sent));
    if let Some(residue) = &receipt.residue {
        let lives = residue.lives_days.map(|days| format!("; kept {days} days")).unwrap_or_default();
        text += &line("left behind", format!("{} ({} bytes{lives})", residue.description, residue.bytes));
    }
    text + &line("to resume", &receipt.resume)
}

fn verify_text(result: &VerifyResult) -> String {
    if result.root_sha256.is_none() {
        // Nothing was begun, and the message has said why.
        return String::new();
    }
    let mut text = format!("verify {}: {}\n", result.outcome.name(), result.manifest);
    if let Some(drive) = &result.drive {
        text += &line("drive", &drive.path);
    }
    if let Some(blob) = &result.blob {
        text += &line("blob", blob);
    }
    text += &line(
        "verified",
        format!(
            "{} ({} bytes); the manifest has {}",
            ByteSize(result.bytes_verified),
            result.bytes_verified,
            if result.chunks == 1 { "one chunk".to_owned() } else { format!("{} chunks", result.chunks) }
        ),
    );
    for range in result.unreadable.iter().take(LISTED_RANGES_MAX) {
        text += &line("unreadable", format!("drive: {} bytes at {}, as when the manifest was made", range.length, range.offset));
    }
    for difference in result.differences.iter().take(LISTED_RANGES_MAX) {
        text += &line(
            "differs",
            format!(
                "{}: {} bytes at {} ({})",
                name_of(&difference.side),
                difference.range.length,
                difference.range.offset,
                name_of(&difference.reason)
            ),
        );
    }
    if result.differences.len() > LISTED_RANGES_MAX {
        text += &line("", format!("and {} more", result.differences.len() - LISTED_RANGES_MAX));
    }
    text
}
