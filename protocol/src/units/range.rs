//! Runs of bytes, and lists of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A run of bytes of a drive or a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "ByteRangeText")]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// A range as it is written, which may have no end.
#[derive(Deserialize)]
struct ByteRangeText {
    offset: u64,
    length: u64,
}

impl TryFrom<ByteRangeText> for ByteRange {
    type Error = &'static str;

    fn try_from(text: ByteRangeText) -> Result<Self, Self::Error> {
        match text.offset.checked_add(text.length) {
            Some(_) => Ok(ByteRange::new(text.offset, text.length)),
            None => Err("a range ends below 2^64"),
        }
    }
}

impl ByteRange {
    /// The range of `length` bytes at `offset`.
    pub const fn new(offset: u64, length: u64) -> Self {
        ByteRange { offset, length }
    }

    /// The first byte after the range.
    pub const fn end(self) -> u64 {
        self.offset + self.length
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{}", self.offset, self.length)
    }
}

/// Ranges in ascending order in which neighbours are one range.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<ByteRange>", into = "Vec<ByteRange>")]
pub struct RangeList {
    ranges: Vec<ByteRange>,
}

impl TryFrom<Vec<ByteRange>> for RangeList {
    type Error = &'static str;

    /// A list that was written; others are refused.
    fn try_from(ranges: Vec<ByteRange>) -> Result<Self, Self::Error> {
        let ascend = ranges.windows(2).all(|pair| pair[0].end() < pair[1].offset);
        match ascend && ranges.iter().all(|range| range.length > 0) {
            true => Ok(RangeList { ranges }),
            false => Err("the ranges of a list ascend, do not touch, and have at least one byte"),
        }
    }
}

impl From<RangeList> for Vec<ByteRange> {
    fn from(list: RangeList) -> Self {
        list.ranges
    }
}

impl RangeList {
    /// Adds a range that starts at or after the end of the last one; empty ones are dropped.
    ///
    /// # Panics
    /// When ranges are not added in order: that is a fault of the caller.
    pub fn push(&mut self, range: ByteRange) {
        if range.length == 0 {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.end() == range.offset => last.length += range.length,
            Some(last) => {
                assert!(last.end() < range.offset, "ranges are added in order");
                self.ranges.push(range);
            }
            None => self.ranges.push(range),
        }
    }

    /// The sum of all lengths, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.length).sum()
    }

    /// The ranges, ascending, no two of them touching.
    pub fn as_slice(&self) -> &[ByteRange] {
        &self.ranges
    }

    /// The first byte after the last range.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |last| last.end())
    }

    /// Keeps the first `ranges_max` ranges.
    pub fn truncate(&mut self, ranges_max: usize) {
        self.ranges.truncate(ranges_max);
    }

    /// Whether there is no range at all.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<ByteRange> for RangeList {
    /// Collects ranges in any order, overlapping ones too.
    fn from_iter<I: IntoIterator<Item = ByteRange>>(iterator: I) -> Self {
        let mut sorted: Vec<ByteRange> = iterator.into_iter().collect();
        sorted.sort();
        let mut list = RangeList::default();
        for range in sorted {
            let start = list.ranges.last().map_or(0, |last| last.end()).max(range.offset);
            if range.end() > start {
                list.push(ByteRange::new(start, range.end() - start));
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_become_one() {
        let list: RangeList =
            [ByteRange::new(8, 8), ByteRange::new(0, 8), ByteRange::new(4, 6), ByteRange::new(32, 1)].into_iter().collect();
        assert_eq!(list.as_slice(), [ByteRange::new(0, 16), ByteRange::new(32, 1)]);
        assert_eq!(list.total_bytes(), 17);
    }

    #[test]
    fn ranges_that_cannot_be_are_refused() {
        let range = |text: &str| serde_json::from_str::<ByteRange>(text).map_err(|error| error.to_string());
        assert_eq!(range("{\"offset\":512,\"length\":1}"), Ok(ByteRange::new(512, 1)));
        assert!(range("{\"offset\":18446744073709551615,\"length\":1}").unwrap_err().contains("below 2^64"));
        let list = |text: &str| serde_json::from_str::<RangeList>(text).is_ok();
        assert!(list("[]") && list("[{\"offset\":0,\"length\":1},{\"offset\":2,\"length\":1}]"));
        for wrong in [
            "[{\"offset\":0,\"length\":1},{\"offset\":1,\"length\":1}]",
            "[{\"offset\":2,\"length\":1},{\"offset\":0,\"length\":1}]",
            "[{\"offset\":0,\"length\":0}]",
        ] {
            assert!(!list(wrong), "{wrong}");
        }
    }
}
