//! Bytes, ranges and rates, and how a drive is cut into chunks.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{CHUNK_SIZE_MAX_BYTES, CHUNK_SIZE_MIN_BYTES, CHUNKS_MAX};

/// A count of bytes as people write it: `8MiB`, `200MB`, `512`.
///
/// `KiB MiB GiB TiB` are powers of 1024, `kB MB GB TB` powers of 1000; a bare number is bytes.
/// Zero, signs and unknown units are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Nothing, or no digits at the start.
    #[error("`{0}` is not a size: write a whole number and a unit, such as 8MiB or 200MB")]
    NotANumber(String),
    /// A unit that is not one of the eight.
    #[error("`{0}` has no known unit: use KiB, MiB, GiB, TiB, kB, MB, GB, TB or plain bytes")]
    UnknownUnit(String),
    /// Zero makes no sense for any size that is asked for.
    #[error("`{0}` is zero: a size must be at least one byte")]
    Zero(String),
    /// More than 2^64 bytes.
    #[error("`{0}` is larger than any drive")]
    TooLarge(String),
}

const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let trimmed = text.trim();
        let digits_end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(digits_end);
        if digits.is_empty() {
            return Err(SizeError::NotANumber(text.to_owned()));
        }
        let unit = unit.trim_start();
        let unit = if unit == "B" { "" } else { unit };
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| SizeError::UnknownUnit(text.to_owned()))?;
        let too_large = || SizeError::TooLarge(text.to_owned());
        let number: u64 = digits.parse().map_err(|_| too_large())?;
        let bytes = number.checked_mul(*factor).ok_or_else(too_large)?;
        if bytes == 0 {
            return Err(SizeError::Zero(text.to_owned()));
        }
        Ok(ByteSize(bytes))
    }
}

impl fmt::Display for ByteSize {
    /// The size in the unit a person would pick: exact where it is a whole number of a binary unit,
    /// else with one decimal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, factor) in UNITS[1..5].iter().rev() {
            if self.0 >= *factor {
                return if self.0.is_multiple_of(*factor) {
                    write!(formatter, "{} {name}", self.0 / factor)
                } else {
                    write!(formatter, "{:.1} {name}", self.0 as f64 / *factor as f64)
                };
            }
        }
        write!(formatter, "{} B", self.0)
    }
}

/// Two sizes as text that distinguishes them: in bytes, where they would read the same.
pub fn sizes_apart(first: u64, second: u64) -> (String, String) {
    let shown = |bytes| ByteSize(bytes).to_string();
    let rounded = |bytes| shown(bytes).replace(".0 ", " ");
    match first != second && rounded(first) == rounded(second) {
        true => (format!("{first} bytes"), format!("{second} bytes")),
        false => (shown(first), shown(second)),
    }
}

/// Bytes a second, as `--rate` takes it: a size and an optional `/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate {
    /// Bytes in one second.
    pub bytes_per_second: u64,
}

/// Units of rates, the largest first.
const RATE_UNITS: [(&str, u64); 6] =
    [("GiB", 1 << 30), ("GB", 1_000_000_000), ("MiB", 1 << 20), ("MB", 1_000_000), ("KiB", 1 << 10), ("kB", 1_000)];

impl fmt::Display for ByteRate {
    /// The rate exactly, as it can be written.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = RATE_UNITS
            .iter()
            .find(|(_, factor)| self.bytes_per_second >= *factor && self.bytes_per_second.is_multiple_of(*factor));
        match exact {
            Some((name, factor)) => write!(formatter, "{}{name}/s", self.bytes_per_second / factor),
            None => write!(formatter, "{}B/s", self.bytes_per_second),
        }
    }
}

impl FromStr for ByteRate {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let size = text.trim().strip_suffix("/s").unwrap_or(text);
        let ByteSize(bytes_per_second) = size.parse()?;
        Ok(ByteRate { bytes_per_second })
    }
}

/// The longest span of time that can be asked for: 100 years. A deadline is a sum of several, and must not be behind the end of
/// what a clock can express.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A span of time as people write it: `500ms`, `30s`, `2m`, `1h`; a bare number is seconds.
///
/// # Errors
/// A sentence that says what is understood.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let unit_start = trimmed.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(unit_start);
    let unknown = || format!("`{text}` is not a span of time: write a number and a unit, such as 0.1ms, 500ms, 30s, 2m or 1h");
    let nanoseconds_each: u128 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(unknown()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return Err(unknown());
    }
    let whole: u64 = whole.parse().map_err(|_| unknown())?;
    let parts: u64 = fraction.parse().map_err(|_| unknown())?;
    let parts_each = fraction.bytes().fold(1, |parts_each, _| parts_each * 10);
    let nanoseconds = u128::from(whole) * nanoseconds_each + u128::from(parts) * nanoseconds_each / parts_each;
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).map_err(|_| unknown())?;
    let rest = u32::try_from(nanoseconds % 1_000_000_000).map_err(|_| unknown())?;
    let duration = Duration::new(seconds, rest);
    if duration > DURATION_MAX {
        return Err(format!("`{text}` is longer than 100 years: write a shorter span of time"));
    }
    Ok(duration)
}

/// A run of bytes of a drive or a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// Which chunk, counted from the start of the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkIndex(pub u64);

/// How a drive is cut: chunks of one size, the last one as long as what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkGeometry {
    total_bytes: u64,
    chunk_size_bytes: u64,
}

/// Why a drive cannot be cut this way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// Smaller than a sector or larger than a block may be.
    #[error("a chunk size of {0} is out of bounds: it must be between 512 bytes and 4000 MiB")]
    OutOfBounds(ByteSize),
    /// Not a whole number of sectors.
    #[error("a chunk size of {chunk_size_bytes} bytes is not a multiple of the drive's sector size of {sector_size_bytes} bytes")]
    NotAligned {
        /// What was asked for.
        chunk_size_bytes: u64,
        /// What the drive has.
        sector_size_bytes: u64,
    },
    /// More chunks than a manifest may have.
    #[error("{total} in chunks of {chunk_size} are more than {max} chunks: choose a larger --chunk-size", total = ByteSize(*.total_bytes), chunk_size = ByteSize(*.chunk_size_bytes), max = CHUNKS_MAX)]
    TooManyChunks {
        /// Size of the drive.
        total_bytes: u64,
        /// What was asked for.
        chunk_size_bytes: u64,
    },
}

impl ChunkGeometry {
    /// Cuts `total_bytes` into chunks of `chunk_size_bytes`.
    pub fn new(total_bytes: u64, chunk_size_bytes: u64) -> Result<Self, GeometryError> {
        if !(CHUNK_SIZE_MIN_BYTES..=CHUNK_SIZE_MAX_BYTES).contains(&chunk_size_bytes) {
            return Err(GeometryError::OutOfBounds(ByteSize(chunk_size_bytes)));
        }
        if total_bytes.div_ceil(chunk_size_bytes) > CHUNKS_MAX {
            return Err(GeometryError::TooManyChunks { total_bytes, chunk_size_bytes });
        }
        Ok(ChunkGeometry { total_bytes, chunk_size_bytes })
    }

    /// The same, for a drive whose sectors have `sector_size_bytes`.
    pub fn for_drive(total_bytes: u64, chunk_size_bytes: u64, sector_size_bytes: u64) -> Result<Self, GeometryError> {
        if !chunk_size_bytes.is_multiple_of(sector_size_bytes) {
            return Err(GeometryError::NotAligned { chunk_size_bytes, sector_size_bytes });
        }
        Self::new(total_bytes, chunk_size_bytes)
    }

    /// Size of the whole, in bytes.
    pub fn total_bytes(self) -> u64 {
        self.total_bytes
    }

    /// Size of every chunk but the last, in bytes.
    pub fn chunk_size_bytes(self) -> u64 {
        self.chunk_size_bytes
    }

    /// How many chunks there are; none for an empty drive.
    pub fn chunk_count(self) -> u64 {
        self.total_bytes.div_ceil(self.chunk_size_bytes)
    }

    /// Where chunk `index` lies, or `None` past the last one.
    pub fn range(self, index: ChunkIndex) -> Option<ByteRange> {
        let offset = index.0.checked_mul(self.chunk_size_bytes)?;
        (offset < self.total_bytes).then(|| ByteRange::new(offset, self.chunk_size_bytes.min(self.total_bytes - offset)))
    }

    /// Which chunk is exactly `range`, or `None` where it is not one of the chunks.
    pub fn index_of(self, range: ByteRange) -> Option<ChunkIndex> {
        let index = ChunkIndex(range.offset / self.chunk_size_bytes);
        (self.range(index) == Some(range)).then_some(index)
    }

    /// All chunks in drive order.
    pub fn chunks(self) -> impl Iterator<Item = (ChunkIndex, ByteRange)> {
        (0..self.chunk_count()).filter_map(move |index| {
            let index = ChunkIndex(index);
            self.range(index).map(|range| (index, range))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("512", 512), ("8MiB", 8 << 20), ("200MB", 200_000_000), ("1 TiB", 1 << 40), ("4kB", 4000), ("7B", 7)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn nonsense_sizes_are_refused_with_a_reason() {
        assert!(matches!("0".parse::<ByteSize>(), Err(SizeError::Zero(_))));
        assert!(matches!("-1".parse::<ByteSize>(), Err(SizeError::NotANumber(_))));
        assert!(matches!("8XB".parse::<ByteSize>(), Err(SizeError::UnknownUnit(_))));
        assert!(matches!("".parse::<ByteSize>(), Err(SizeError::NotANumber(_))));
        assert!(matches!("99999999999TiB".parse::<ByteSize>(), Err(SizeError::TooLarge(_))));
    }

    #[test]
    fn spans_of_time_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1.5s", 1_500),
            ("2.25m", 135_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-1s", "1d", "s", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_chunk_is_what_is_left() {
        let geometry = ChunkGeometry::new(1000, 512).unwrap();
        let ranges: Vec<_> = geometry.chunks().map(|(_, range)| range).collect();
        assert_eq!(ranges, [ByteRange::new(0, 512), ByteRange::new(512, 488)]);
        assert_eq!(geometry.index_of(ByteRange::new(512, 488)), Some(ChunkIndex(1)));
        assert_eq!(geometry.index_of(ByteRange::new(512, 400)), None);
        assert_eq!(ChunkGeometry::new(0, 512).unwrap().chunk_count(), 0);
    }

    #[test]
    fn touching_ranges_become_one() {
        let list: RangeList =
            [ByteRange::new(8, 8), ByteRange::new(0, 8), ByteRange::new(4, 6), ByteRange::new(32, 1)].into_iter().collect();
        assert_eq!(list.as_slice(), [ByteRange::new(0, 16), ByteRange::new(32, 1)]);
        assert_eq!(list.total_bytes(), 17);
    }

    #[test]
    fn sizes_that_differ_never_read_the_same() {
        let apart = |first, second| sizes_apart(first, second);
        let text = |first: &str, second: &str| (first.to_owned(), second.to_owned());
        assert_eq!(apart(5 << 20, (5 << 20) + 512), text("5242880 bytes", "5243392 bytes"));
        assert_eq!(apart((5 << 20) + 1, (5 << 20) + 512), text("5242881 bytes", "5243392 bytes"));
        assert_eq!(apart(9 << 10, 10 << 10), text("9 KiB", "10 KiB"));
        assert_eq!(apart(5 << 20, 5 << 20), text("5 MiB", "5 MiB"));
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

    #[test]
    fn a_span_of_time_ends_while_clocks_still_tell_it() {
        assert_eq!(parse_duration("876000h"), Ok(Duration::from_secs(876_000 * 3600)));
        for endless in ["876001h", "18446744073709551615s"] {
            assert!(parse_duration(endless).unwrap_err().contains("100 years"), "{endless}");
        }
    }
}
