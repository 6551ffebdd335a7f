//! What a transfer would do, and what it did, as text.

use protocol::receipt::{ClassRanges, Receipt};
use protocol::result::{Direction, Evidence, PlannedAction, PlannedProperties, TransferPlan, TransferResult};
use protocol::units::ByteSize;

use super::layout::{LISTED_RANGES_MAX, line, name_of};

pub(super) fn plan_text(plan: &TransferPlan) -> String {
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
    if let Some(PlannedProperties { tier, content_type, metadata }) = &plan.properties {
        let metadata: Vec<String> = metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for (name, value) in [("tier", tier.as_deref()), ("content type", content_type.as_deref())] {
            text += &value.map(|value| line(name, value)).unwrap_or_default();
        }
        if !metadata.is_empty() {
            text += &line("metadata", metadata.join(", "));
        }
    }
    text += &plan.staging.as_ref().map(|place| line("pieces", format!("in {place} until it is complete"))).unwrap_or_default();
    text += &line("changed", "nothing: this was a dry run");
    text
}

/// `is_removable`: the drive was looked at after the transfer, and may be taken out.
pub(super) fn transfer_text(result: &TransferResult, is_removable: bool) -> String {
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
    if is_removable {
        text += &line("removal", "the drive is closed, all of it is flushed, and it may be unplugged");
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
