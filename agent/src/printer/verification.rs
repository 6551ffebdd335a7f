//! What a verification found, as text.

use protocol::result::VerifyResult;
use protocol::units::ByteSize;

use super::layout::{LISTED_RANGES_MAX, line, name_of};

pub(super) fn verify_text(result: &VerifyResult) -> String {
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
