//! Counts of bytes.

use std::fmt;
use std::str::FromStr;

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
    fn sizes_that_differ_never_read_the_same() {
        let apart = |first, second| sizes_apart(first, second);
        let text = |first: &str, second: &str| (first.to_owned(), second.to_owned());
        assert_eq!(apart(5 << 20, (5 << 20) + 512), text("5242880 bytes", "5243392 bytes"));
        assert_eq!(apart((5 << 20) + 1, (5 << 20) + 512), text("5242881 bytes", "5243392 bytes"));
        assert_eq!(apart(9 << 10, 10 << 10), text("9 KiB", "10 KiB"));
        assert_eq!(apart(5 << 20, 5 << 20), text("5 MiB", "5 MiB"));
    }
}
