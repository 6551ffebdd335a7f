//! What a transfer knows of its drive, as a map that ddrescue understands.

use super::map::{ReadMap, ReadStatus};
use super::plan::RescuePhase;
use crate::result::TransferResult;
use crate::units::ByteRange;

/// The map of a drive after a transfer: `+` is what landed, `-` what could not be read, `?` the rest. Where a list of the
/// result is cut, what is behind its last range counts as not tried: nothing of it is known here.
pub fn map_of_result(result: &TransferResult) -> (ReadMap, RescuePhase) {
    let mut map = ReadMap::new(result.bytes_total, ReadStatus::Finished);
    let not_landed = result.receipt.iter().flat_map(|receipt| [&receipt.never_sent, &receipt.outcome_unknown]);
    for range in not_landed.flat_map(|class| class.ranges.as_slice()) {
        map.set(*range, ReadStatus::NonTried);
    }
    for range in &result.unreadable {
        map.set(*range, ReadStatus::Bad);
    }
    let cut_classes = result.receipt.iter().flat_map(|receipt| [&receipt.never_sent, &receipt.outcome_unknown]);
    let ends = cut_classes.filter(|class| class.ranges_total.is_some()).map(|class| class.ranges.end());
    let bad_end = result.unreadable_ranges_total.and(result.unreadable.last().map(|last| last.end()));
    if let Some(end) = ends.chain(bad_end).min().filter(|end| *end < result.bytes_total) {
        map.set(ByteRange::new(end, result.bytes_total - end), ReadStatus::NonTried);
    }
    let is_finished = map.bytes(ReadStatus::NonTried) == 0;
    (map, if is_finished { RescuePhase::Finished } else { RescuePhase::Copying(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::result::Direction;

    #[test]
    fn what_a_cut_list_does_not_tell_counts_as_not_tried() {
        let unreadable: Vec<ByteRange> = (0..100).map(|index| ByteRange::new(index * 1024, 512)).collect();
        let whole = TransferResult::not_begun(Outcome::CompleteWithUnreadable, Direction::Import, "");
        let whole = TransferResult { bytes_total: 200 << 10, unreadable, ..whole };
        let (map, phase) = map_of_result(&whole);
        assert_eq!((map.bytes(ReadStatus::Bad), phase), (51200, RescuePhase::Finished));
        let (map, phase) = map_of_result(&whole.with_lists_cut(10));
        assert_eq!((map.bytes(ReadStatus::Bad), map.bytes(ReadStatus::Finished)), (5120, 9 * 512));
        assert_eq!((map.bytes(ReadStatus::NonTried), phase), ((200 << 10) - 9 * 1024 - 512, RescuePhase::Copying(1)));
    }
}
