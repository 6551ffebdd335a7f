//! Copy logs in the published XML (`DriveLog Version="2014-11-01"`).
//!
//! A drive is one blob, and its `FilePath` is the whole drive: `\`. Where the published logs have MD5 in `Hash`, these
//! have SHA-256. Blocks that a transfer did not land are listed by range, not by chunk.

use std::io::Write;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use crate::digest::Sha256Digest;
use crate::outcome::Outcome;
use crate::result::TransferResult;
use crate::units::ByteRange;

/// The version of the format.
const VERSION: &str = "2014-11-01";

/// Whose log it is.
#[derive(Debug, Clone)]
pub struct LogHead<'log> {
    /// The drive's serial number.
    pub drive_id: &'log str,
    /// `container/name`.
    pub blob_path: &'log str,
    /// Whether the blob was written (import), or read (export).
    pub is_import: bool,
}

/// A chunk that landed, and its digest; `None` where it is zeros that were never sent.
pub type LoggedChunk = (ByteRange, Option<Sha256Digest>);

/// What a drive's last state is called.
pub fn drive_status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "Completed",
        Outcome::CompleteWithUnreadable | Outcome::Mismatch | Outcome::Cancelled => "CompletedWithErrors",
        Outcome::DriveFailed => "DiskOperationFailed",
        Outcome::StoreFailed => "BlobRequestForbidden",
        Outcome::Failed | Outcome::Refused => "InternalError",
    }
}

fn blob_status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "Completed",
        Outcome::CompleteWithUnreadable => "CompletedWithErrors",
        Outcome::DriveFailed => "IOFailed",
        Outcome::StoreFailed => "BlobRequestFailed",
        Outcome::Cancelled | Outcome::Failed | Outcome::Refused | Outcome::Mismatch => "Failed",
    }
}

/// Ranges that did not land, with the published word for why.
fn missing(result: &TransferResult) -> Vec<(ByteRange, &'static str)> {
    let mut missing: Vec<(ByteRange, &'static str)> = result.unreadable.iter().map(|range| (*range, "IOFailed")).collect();
    if let Some(receipt) = &result.receipt {
        // Unreadable ranges are among those that were never sent.
        let other = without(receipt.never_sent.ranges.as_slice(), &result.unreadable);
        missing.extend(other.into_iter().map(|range| (range, "Cancelled")));
        missing.extend(receipt.outcome_unknown.ranges.as_slice().iter().map(|range| (*range, "Failed")));
    }
    missing.sort_by_key(|(range, _)| range.offset);
    missing
}

/// What is left of `ranges` without `holes`; both ascend.
fn without(ranges: &[ByteRange], holes: &[ByteRange]) -> Vec<ByteRange> {
    let mut left = Vec::new();
    for range in ranges {
        let mut offset = range.offset;
        let first = holes.partition_point(|hole| hole.end() <= range.offset);
        for hole in holes[first..].iter().take_while(|hole| hole.offset < range.end()) {
            if hole.offset > offset {
                left.push(ByteRange::new(offset, hole.offset - offset));
            }
            offset = hole.end();
        }
        if offset < range.end() {
            left.push(ByteRange::new(offset, range.end() - offset));
        }
    }
    left
}

/// Ranges that landed and are not in a blob that exists.
fn uncommitted(result: &TransferResult) -> Vec<(ByteRange, &'static str)> {
    let Some(receipt) = &result.receipt else { return Vec::new() };
    let classes = [&receipt.landed_before_request, &receipt.landed_after_request];
    let mut landed: Vec<_> =
        classes.iter().flat_map(|class| class.ranges.as_slice()).map(|range| (*range, "Uncommitted")).collect();
    landed.sort_by_key(|(range, _)| range.offset);
    landed
}

/// Writes the error log: what did not land. A complete transfer has only its status.
///
/// # Errors
/// When `output` cannot be written to.
pub fn write_error_log(output: impl Write, head: &LogHead<'_>, result: &TransferResult) -> std::io::Result<()> {
    let mut log = Log::begin(output, head.drive_id)?;
    if result.outcome != Outcome::Complete {
        log.begin_blob(head, result)?;
        for (range, status) in missing(result) {
            log.block(range, None, status)?;
        }
        log.end_blob()?;
    }
    log.end(result)
}

/// Writes the verbose log: every chunk of a complete transfer, or the ranges that one has that is not.
///
/// # Errors
/// When `chunks` fails, or `output` cannot be written to.
pub fn write_verbose_log(
    output: impl Write,
    head: &LogHead<'_>,
    result: &TransferResult,
    chunks: impl Iterator<Item = std::io::Result<LoggedChunk>>,
) -> std::io::Result<()> {
    let mut log = Log::begin(output, head.drive_id)?;
    log.begin_blob(head, result)?;
    if result.outcome.is_complete() {
        for chunk in chunks {
            let (range, digest) = chunk?;
            let next = result.unreadable.partition_point(|bad| bad.end() <= range.offset);
            let is_bad = result.unreadable.get(next).is_some_and(|bad| bad.offset < range.end());
            let status = if is_bad { "IOFailed" } else { "Completed" };
            log.block(range, digest, status)?;
        }
    } else {
        let mut all = missing(result);
        all.extend(uncommitted(result));
        all.sort_by_key(|(range, _)| range.offset);
        for (range, status) in all {
            log.block(range, None, status)?;
        }
    }
    log.end_blob()?;
    log.end(result)
}

struct Log<W: Write> {
    writer: Writer<W>,
}

impl<W: Write> Log<W> {
    fn begin(output: W, drive_id: &str) -> std::io::Result<Self> {
        let mut log = Log { writer: Writer::new_with_indent(output, b' ', 2) };
        log.writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
        log.writer.write_event(Event::Start(BytesStart::new("DriveLog").with_attributes([("Version", VERSION)])))?;
        log.text("DriveId", drive_id, None)?;
        Ok(log)
    }

    fn text(&mut self, name: &str, text: &str, status: Option<&str>) -> std::io::Result<()> {
        let mut element = BytesStart::new(name);
        if let Some(status) = status {
            element.push_attribute(("Status", status));
        }
        self.writer.write_event(Event::Start(element))?;
        self.writer.write_event(Event::Text(BytesText::new(text)))?;
        self.writer.write_event(Event::End(BytesEnd::new(name)))
    }

    fn begin_blob(&mut self, head: &LogHead<'_>, result: &TransferResult) -> std::io::Result<()> {
        let blob = BytesStart::new("Blob").with_attributes([("Status", blob_status(result.outcome))]);
        self.writer.write_event(Event::Start(blob))?;
        self.text("BlobPath", head.blob_path, None)?;
        self.text("FilePath", "\\", None)?;
        self.text("Length", &result.bytes_total.to_string(), None)?;
        if head.is_import {
            let status = if result.outcome.is_complete() { "Created" } else { "Cancelled" };
            self.text("ImportDisposition", "no-overwrite", Some(status))?;
        }
        self.writer.write_event(Event::Start(BytesStart::new("BlockList")))
    }

    fn block(&mut self, range: ByteRange, digest: Option<Sha256Digest>, status: &str) -> std::io::Result<()> {
        let mut block = BytesStart::new("Block");
        block.push_attribute(("Offset", range.offset.to_string().as_str()));
        block.push_attribute(("Length", range.length.to_string().as_str()));
        if let Some(digest) = digest {
            block.push_attribute(("Hash", digest.to_string().to_uppercase().as_str()));
        }
        block.push_attribute(("Status", status));
        self.writer.write_event(Event::Empty(block))
    }

    fn end_blob(&mut self) -> std::io::Result<()> {
        self.writer.write_event(Event::End(BytesEnd::new("BlockList")))?;
        self.writer.write_event(Event::End(BytesEnd::new("Blob")))
    }

    fn end(mut self, result: &TransferResult) -> std::io::Result<()> {
        self.text("Status", drive_status(result.outcome), None)?;
        self.writer.write_event(Event::End(BytesEnd::new("DriveLog")))?;
        let mut output = self.writer.into_inner();
        output.write_all(b"\n")?;
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::receipt::{ByteClass, Receipt};
    use crate::result::Direction;
    use crate::stop::StopReason;

    fn result(outcome: Outcome) -> TransferResult {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut receipt = Receipt::new(StopReason::JobCancelled, now, now, "drive-agent".to_owned());
        receipt.add(ByteClass::LandedBeforeRequest, ByteRange::new(0, 100));
        receipt.add(ByteClass::NeverSent, ByteRange::new(100, 300));
        TransferResult {
            bytes_total: 400,
            bytes_sent: 100,
            bytes_unreadable: 50,
            chunk_size: 100,
            chunks: 4,
            unreadable: vec![ByteRange::new(150, 50)],
            receipt: (!outcome.is_complete()).then_some(receipt),
            ..TransferResult::not_begun(outcome, Direction::Import, "")
        }
    }

    const HEAD: LogHead<'_> = LogHead { drive_id: "A<&>\"B", blob_path: "imports/job/A.img", is_import: true };

    fn log(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_error_log_of_a_complete_copy_has_its_status_alone() {
        let text = log(|bytes| write_error_log(bytes, &HEAD, &result(Outcome::Complete)));
        let expected = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<DriveLog Version=\"2014-11-01\">\n  \
                        <DriveId>A&lt;&amp;&gt;&quot;B</DriveId>\n  <Status>Completed</Status>\n</DriveLog>\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_cancelled_copy_says_of_each_byte_what_became_of_it() {
        let text = log(|bytes| write_error_log(bytes, &HEAD, &result(Outcome::Cancelled)));
        let blocks: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("<Block ")).collect();
        assert_eq!(
            blocks,
            [
                "<Block Offset=\"100\" Length=\"50\" Status=\"Cancelled\"/>",
                "<Block Offset=\"150\" Length=\"50\" Status=\"IOFailed\"/>",
                "<Block Offset=\"200\" Length=\"200\" Status=\"Cancelled\"/>",
            ]
        );
        let verbose = log(|bytes| write_verbose_log(bytes, &HEAD, &result(Outcome::Cancelled), std::iter::empty()));
        assert!(verbose.contains("<Block Offset=\"0\" Length=\"100\" Status=\"Uncommitted\"/>"), "{verbose}");
        assert_eq!(verbose.matches("<Block ").count(), 4);
    }

    #[test]
    fn the_verbose_log_of_a_copy_has_every_chunk() {
        let digest = Sha256Digest::of(b"x");
        let chunks = (0..4).map(|index| Ok((ByteRange::new(index * 100, 100), (index > 0).then_some(digest))));
        let text = log(|bytes| write_verbose_log(bytes, &HEAD, &result(Outcome::CompleteWithUnreadable), chunks));
        let statuses: Vec<bool> =
            text.lines().filter(|line| line.contains("<Block ")).map(|line| line.contains("\"Completed\"")).collect();
        assert_eq!(statuses, [true, false, true, true]);
        assert!(text.contains(&format!("Hash=\"{}\"", digest.to_string().to_uppercase())), "{text}");
        assert!(text.contains("<Status>CompletedWithErrors</Status>"));
    }
}
