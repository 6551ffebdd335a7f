//! Is an answer the range that was asked for? A proxy on the way may drop `Range`, and a cache may answer with another one.

use protocol::units::ByteRange;

/// Compares what an answer says of itself with the range that was asked for, and with the blob's length where that is
/// known. A whole blob (200) may answer a request for all of it.
pub(crate) fn is_asked_range(
    content_range: Option<&str>,
    content_bytes: Option<u64>,
    asked: ByteRange,
    length_bytes: Option<u64>,
) -> Result<(), String> {
    let asked_text = format!("bytes {}-{}", asked.offset, (asked.offset + asked.length).saturating_sub(1));
    let Some(content_range) = content_range else {
        let is_all = asked.offset == 0 && content_bytes.is_none_or(|content| content <= asked.length);
        let message = format!(
            "{asked_text} were asked for, and the answer is the whole blob: a proxy on the way that drops `Range` does this"
        );
        return if is_all { Ok(()) } else { Err(message) };
    };
    let other = || Err(format!("{asked_text} were asked for, and the answer is `{}`", content_range.escape_default()));
    let Some((first, last, total)) = parse(content_range) else { return other() };
    let is_total = length_bytes.is_none_or(|length| length == total);
    let is_range = first == asked.offset && last.checked_add(1) == Some((asked.offset + asked.length).min(total));
    if is_range && is_total { Ok(()) } else { other() }
}

/// `bytes FIRST-LAST/TOTAL`.
fn parse(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_that_was_asked_for_is_taken() {
        let asked = ByteRange::new(512, 1024);
        for (content_range, content, length, is_taken) in [
            (Some("bytes 512-1535/4096"), None, Some(4096), true),
            (Some("bytes 512-1535/4096"), None, None, true),
            (Some("bytes 512-1535/8192"), None, Some(4096), false),
            (Some("bytes 0-1023/4096"), None, Some(4096), false),
            (Some("bytes 512-1023/4096"), None, Some(4096), false),
            (Some("bytes 512-2047/4096"), None, Some(4096), false),
            // The blob ends inside of the range.
            (Some("bytes 512-1023/1024"), None, Some(1024), true),
            (Some("bytes 512-1023/1024"), None, Some(4096), false),
            (Some("bytes 512-18446744073709551615/18446744073709551615"), None, None, false),
            (Some("bytes */4096"), None, None, false),
            (Some("garbage"), None, None, false),
            (None, Some(1024), None, false),
        ] {
            assert_eq!(is_asked_range(content_range, content, asked, length).is_ok(), is_taken, "{content_range:?} {length:?}");
        }
        let from_start = ByteRange::new(0, 1024);
        for (content, is_taken) in [(Some(1024), true), (Some(100), true), (Some(1025), false), (None, true)] {
            assert_eq!(is_asked_range(None, content, from_start, None).is_ok(), is_taken, "{content:?}");
        }
    }
}
