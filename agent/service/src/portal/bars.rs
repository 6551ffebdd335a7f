//! Bars: a whole and its parts at their positions. Each has a label that says the same in words.

use protocol::progress::UnreadableSoFar;
use protocol::receipt::Receipt;
use protocol::result::{StageSeconds, TransferResult};
use protocol::units::{ByteRange, ByteSize};

/// A bar, what its colours mean, and the same in one sentence for screen readers.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) parts: Vec<BarPart>,
    pub(super) keys: Vec<BarKey>,
}

/// A part of a bar, in thousandths of it.
pub(super) struct BarPart {
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) width: String,
}

/// What a colour means, and how much there is of it.
pub(super) struct BarKey {
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// Most parts of a bar: more than a screen has pixels across.
const BAR_PARTS_MAX: usize = 4000;

/// Smallest width of a part: a single sector of a large drive could not be seen otherwise.
const PART_WIDTH_MIN: f64 = 2.0;

/// Ranges of a drive as parts of its bar; parts that touch are merged.
fn parts_of<'ranges>(
    class: &'static str,
    ranges: impl IntoIterator<Item = &'ranges ByteRange>,
    total_bytes: u64,
    width_min: f64,
) -> Vec<BarPart> {
    let share = |bytes: u64| 1000.0 * bytes as f64 / total_bytes.max(1) as f64;
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for range in ranges {
        let (start, end) = (share(range.offset), share(range.offset) + share(range.length).max(width_min));
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = last.max(end),
            _ => merged.push((start, end)),
        }
    }
    let part = |(start, end): (f64, f64)| BarPart { class, x: format!("{start:.2}"), width: format!("{:.2}", end - start) };
    merged.into_iter().take(BAR_PARTS_MAX).map(part).collect()
}

/// The four classes of a receipt.
pub(super) fn receipt_bar(receipt: &Receipt, total_bytes: u64) -> Bar {
    let classes = [
        ("before", "landed before the request", &receipt.landed_before_request),
        ("after", "landed after it", &receipt.landed_after_request),
        ("unknown", "unknown", &receipt.outcome_unknown),
        ("never", "never sent", &receipt.never_sent),
    ];
    let value = |bytes: u64| format!("{} ({bytes} bytes)", ByteSize(bytes));
    let mut words: Vec<String> = classes.iter().map(|(_, name, ranges)| format!("{name}: {}", value(ranges.bytes))).collect();
    if classes.iter().any(|(_, _, of)| of.ranges_total.is_some()) {
        words.push(FIRST_ONES.to_owned());
    }
    Bar {
        label: words.join(", "),
        parts: classes.iter().flat_map(|(class, _, of)| parts_of(class, of.ranges.as_slice(), total_bytes, 0.0)).collect(),
        keys: classes.map(|(class, name, of)| BarKey { class, name, value: value(of.bytes) }).into(),
    }
}

/// What a bar says whose list of places is cut.
const FIRST_ONES: &str = "the first places are drawn, the error log has all";

/// The whole drive with what its copy could not read; `None` where that is nothing.
pub(super) fn strip_of_result(result: &TransferResult) -> Option<Bar> {
    let unreadable = UnreadableSoFar { bad: result.unreadable.clone(), doubtful: Vec::new() };
    let mut bar = strip_map(&unreadable, result.bytes_total)?;
    if let Some(places) = result.unreadable_ranges_total {
        let value = format!("{} in {places} places", ByteSize(result.bytes_unreadable));
        bar.label = format!("unreadable: {value}; {FIRST_ONES}");
        bar.keys = vec![BarKey { class: "lost", name: "unreadable", value: format!("{value}; {FIRST_ONES}") }];
    }
    Some(bar)
}

/// The whole drive with its unreadable places; `None` where there are none.
pub(super) fn strip_map(unreadable: &UnreadableSoFar, total_bytes: u64) -> Option<Bar> {
    let UnreadableSoFar { bad, doubtful } = unreadable;
    let first = bad.iter().chain(doubtful).map(|range| range.offset).min()?;
    let sum = |ranges: &[ByteRange]| ByteSize(ranges.iter().map(|range| range.length).sum()).to_string();
    let places = |ranges: &[ByteRange]| match ranges.len() {
        0 => "nothing yet".to_owned(),
        1 => format!("{} in one place", sum(ranges)),
        count => format!("{} in {count} places", sum(ranges)),
    };
    let mut parts = vec![BarPart { class: "well", x: "0".to_owned(), width: "1000".to_owned() }];
    parts.extend(parts_of("doubtful", doubtful, total_bytes, PART_WIDTH_MIN));
    parts.extend(parts_of("lost", bad, total_bytes, PART_WIDTH_MIN));
    let mut keys = vec![BarKey { class: "lost", name: "unreadable", value: places(bad) }];
    if !doubtful.is_empty() {
        keys.push(BarKey { class: "doubtful", name: "failed, tried again", value: places(doubtful) });
    }
    let words: Vec<String> = keys.iter().map(|key| format!("{}: {}", key.name, key.value)).collect();
    Some(Bar { label: format!("{}; the first at byte {first}", words.join(", ")), parts, keys })
}

/// The time of each stage, summed over its threads and requests; `None` where there was none.
pub(super) fn stage_bar(stages: &StageSeconds) -> Option<Bar> {
    let named = [
        ("read", stages.read),
        ("hash", stages.hash),
        ("wait", stages.wait),
        ("send", stages.send),
        ("write", stages.write),
        ("sync", stages.sync),
    ];
    let total: f64 = named.iter().map(|(_, seconds)| seconds).sum();
    let (mut x, mut parts, mut keys) = (0.0, Vec::new(), Vec::new());
    for (class, seconds) in named.into_iter().filter(|(_, seconds)| *seconds >= 0.001) {
        let width = 1000.0 * seconds / total;
        parts.push(BarPart { class, x: format!("{x:.2}"), width: format!("{width:.2}") });
        keys.push(BarKey { class, name: class, value: format!("{seconds:.2} s") });
        x += width;
    }
    let words: Vec<String> = keys.iter().map(|key| format!("{} {}", key.name, key.value)).collect();
    (!parts.is_empty()).then(|| Bar { label: words.join(", "), parts, keys })
}

#[cfg(test)]
mod tests {
    use protocol::outcome::Outcome;
    use protocol::result::Direction;

    use super::*;

    #[test]
    fn places_that_touch_on_a_screen_are_one_part_and_a_sector_is_seen() {
        let bad = [0, 512, 4096].map(|offset| ByteRange::new(offset, 512)).to_vec();
        let bar = strip_map(&UnreadableSoFar { bad, doubtful: vec![ByteRange::new(9 << 40, 512)] }, 10 << 40).unwrap();
        let shown: Vec<_> = bar.parts.iter().map(|part| (part.class, part.x.as_str(), part.width.as_str())).collect();
        assert_eq!(shown, [("well", "0", "1000"), ("doubtful", "900.00", "2.00"), ("lost", "0.00", "2.00")]);
        assert!(bar.label.contains("1.5 KiB in 3 places") && bar.label.ends_with("the first at byte 0"), "{}", bar.label);
        assert!(strip_map(&UnreadableSoFar::default(), 1).is_none());
    }

    #[test]
    fn a_bar_of_a_list_that_is_cut_says_so() {
        let unreadable: Vec<ByteRange> = (0..100).map(|index| ByteRange::new(index * 1024, 512)).collect();
        let result = TransferResult::not_begun(Outcome::CompleteWithUnreadable, Direction::Import, "");
        let result = TransferResult { bytes_total: 1 << 20, bytes_unreadable: 51200, unreadable, ..result };
        assert!(!strip_of_result(&result).unwrap().label.contains("error log"));
        let label = strip_of_result(&result.with_lists_cut(10)).unwrap().label;
        assert!(label.contains("50 KiB in 100 places") && label.contains("error log"), "{label}");
    }
}
