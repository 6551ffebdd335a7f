//! Bytes a second.

use std::fmt;
use std::str::FromStr;

use super::size::{ByteSize, SizeError};

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
