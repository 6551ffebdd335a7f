//! What stands in a blob where the drive could not be read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What unreadable ranges are filled with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Fill {
    /// Zeros.
    #[default]
    Zeros,
    /// The text `UNREADABLE-BYTES` again and again, so that it is not taken for data.
    Marker,
    /// One byte again and again.
    Byte(u8),
}

/// Sixteen bytes, so that sectors of any size begin with it.
const MARKER: &[u8; 16] = b"UNREADABLE-BYTES";

impl Fill {
    /// Fills `bytes`, which lie at `offset` of the drive.
    pub fn fill(self, bytes: &mut [u8], offset: u64) {
        match self {
            Fill::Zeros => bytes.fill(0),
            Fill::Byte(byte) => bytes.fill(byte),
            Fill::Marker => {
                // The length of the marker divides 256, so the lowest byte is the place of an offset in it.
                let [.., lowest] = offset.to_be_bytes();
                let marker = MARKER.iter().cycle().skip(usize::from(lowest) % MARKER.len());
                bytes.iter_mut().zip(marker).for_each(|(byte, mark)| *byte = *mark);
            }
        }
    }

    /// Whether it is the usual one.
    pub fn is_zeros(&self) -> bool {
        *self == Fill::Zeros
    }
}

impl FromStr for Fill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "zeros" => Ok(Fill::Zeros),
            "marker" => Ok(Fill::Marker),
            _ => text
                .strip_prefix("0x")
                .filter(|digits| digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .map(Fill::Byte)
                .ok_or_else(|| format!("`{text}` is not a fill: write `zeros`, `marker`, or one byte such as 0xff")),
        }
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fill::Zeros => formatter.write_str("zeros"),
            Fill::Marker => formatter.write_str("marker"),
            Fill::Byte(byte) => write!(formatter, "{byte:#04x}"),
        }
    }
}

impl TryFrom<String> for Fill {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Fill> for String {
    fn from(fill: Fill) -> String {
        fill.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fillings_are_understood_as_they_are_written() {
        for fill in [Fill::Zeros, Fill::Marker, Fill::Byte(0xa5), Fill::Byte(3)] {
            assert_eq!(fill.to_string().parse(), Ok(fill));
        }
        assert!("0x1ff".parse::<Fill>().is_err() && "ones".parse::<Fill>().is_err() && "0x+1".parse::<Fill>().is_err());
    }

    #[test]
    fn the_marker_does_not_depend_on_how_it_is_cut() {
        let mut whole = [0; 64];
        Fill::Marker.fill(&mut whole, 512);
        let mut piece = [0; 10];
        Fill::Marker.fill(&mut piece, 530);
        assert_eq!(piece, whole[18..28]);
        assert!(whole.starts_with(MARKER));
    }
}
