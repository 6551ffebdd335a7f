//! Whether a blob is the bytes of a disk: a look at its first bytes before any drive is written.

use std::time::Duration;

use blob::{Blob, BlobFacts};
use futures::StreamExt;
use protocol::image_format::{FIRST_BYTES, ImageFormat};
use protocol::units::ByteRange;

/// Longest wait for them: what they say is a warning, and no reason to wait for.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is said of a blob that is not the bytes of a disk. A blob whose first bytes cannot be read says so when it is read.
pub(super) async fn warning(blob: &dyn Blob, facts: &BlobFacts) -> Option<String> {
    let range = ByteRange::new(0, facts.size_bytes.min(FIRST_BYTES as u64));
    let bytes = match (range.length, blob.local()) {
        (0, _) => return None,
        (length, Some(local)) => {
            let version = facts.version.clone();
            let read = tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; length as usize];
                local.read_at(&mut bytes, 0, &version).ok().map(|()| bytes)
            });
            tokio::time::timeout(LOOK_TIMEOUT, read).await.ok()?.ok()??
        }
        (_, None) => tokio::time::timeout(LOOK_TIMEOUT, fetch(blob, range, &facts.version)).await.ok()??,
    };
    ImageFormat::of(&bytes).map(|format| format.warning(&blob.address()))
}

async fn fetch(blob: &dyn Blob, range: ByteRange, version: &str) -> Option<Vec<u8>> {
    let mut body = blob.read(range, version, false).await.ok()?;
    let mut bytes = Vec::new();
    while let Some(piece) = body.pieces.next().await {
        let wanted = FIRST_BYTES - bytes.len();
        let piece = piece.ok()?;
        bytes.extend_from_slice(&piece[..piece.len().min(wanted)]);
        if bytes.len() == FIRST_BYTES {
            break;
        }
    }
    Some(bytes)
}
