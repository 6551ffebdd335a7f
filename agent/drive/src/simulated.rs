//! A drive that is computed: its content follows from a seed, and is the same at every read.

use std::path::{Path, PathBuf};

use protocol::identity::{DriveIdentity, DriveKind};
use protocol::limits::MIB;
use protocol::units::{ByteRange, ByteSize};
use serde::{Deserialize, Deserializer};

use crate::contract::Drive;
use crate::error::DriveError;

/// What a profile (`*.toml`) says. Unknown keys are refused by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Size of the drive; a whole number of sectors.
    #[serde(deserialize_with = "byte_size")]
    pub size: u64,
    /// Logical sector size in bytes: 512 or 4096.
    #[serde(default = "default_sector_size")]
    pub sector_size: u64,
    /// Serial number.
    pub serial: String,
    /// Model name.
    #[serde(default = "default_model")]
    pub model: String,
    /// What the content follows from.
    #[serde(default)]
    pub seed: u64,
    /// Which share of the drive is zero, from 0 to 1.
    #[serde(default)]
    pub zero_share: f64,
    /// Zeros and data come in runs of this size.
    #[serde(default = "default_run_size", deserialize_with = "byte_size")]
    pub run_size: u64,
}

fn default_sector_size() -> u64 {
    512
}

fn default_model() -> String {
    "Simulated drive".into()
}

fn default_run_size() -> u64 {
    8 * MIB
}

fn byte_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Bytes(u64),
        Text(String),
    }
    match Size::deserialize(deserializer)? {
        Size::Bytes(bytes) => Ok(bytes),
        Size::Text(text) => text.parse().map(|ByteSize(bytes)| bytes).map_err(serde::de::Error::custom),
    }
}

impl Profile {
    /// Reads and checks a profile.
    pub fn load(path: &Path) -> Result<Self, DriveError> {
        let unusable = |reason: String| DriveError::Profile { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        let profile: Profile = toml::from_str(&text).map_err(|error| unusable(error.to_string().trim().replace('\n', " ")))?;
        profile.check().map_err(|reason| unusable(reason.to_owned()))?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), &'static str> {
        if ![512, 4096].contains(&self.sector_size) {
            return Err("`sector_size` must be 512 or 4096");
        }
        if !self.size.is_multiple_of(self.sector_size) {
            return Err("`size` must be a whole number of sectors");
        }
        if !(0.0..=1.0).contains(&self.zero_share) {
            return Err("`zero_share` must be between 0 and 1");
        }
        if self.run_size == 0 || !self.run_size.is_multiple_of(8) {
            return Err("`run_size` must be a multiple of 8 bytes");
        }
        Ok(())
    }
}

/// A drive computed from a [`Profile`]. It takes neither disk nor memory for its content.
pub struct SimulatedDrive {
    path: PathBuf,
    identity: DriveIdentity,
    profile: Profile,
}

impl SimulatedDrive {
    /// Opens the profile at `path`.
    pub fn open(path: &Path) -> Result<Self, DriveError> {
        Ok(Self::new(path, Profile::load(path)?))
    }

    fn new(path: &Path, profile: Profile) -> Self {
        let identity = DriveIdentity {
            path: path.display().to_string(),
            kind: DriveKind::Simulated,
            serial: Some(profile.serial.clone()),
            model: Some(profile.model.clone()),
            size: profile.size,
            sector_size: profile.sector_size,
            partition_table_id: None,
            content_sample: None,
            modified_unix_nanoseconds: None,
        };
        SimulatedDrive { path: path.to_owned(), identity, profile }
    }

    /// Whether a run is zero. The golden ratio spreads the zero runs evenly, so that even a small
    /// drive has very nearly the share that was asked for.
    fn run_is_zero(&self, run: u64) -> bool {
        const GOLDEN_RATIO_BITS: u64 = 0x9e37_79b9_7f4a_7c15;
        let place = mix(self.profile.seed).wrapping_add(run.wrapping_mul(GOLDEN_RATIO_BITS));
        (place >> 11) as f64 / (1u64 << 53) as f64 <= self.profile.zero_share && self.profile.zero_share > 0.0
    }

    fn fill_data(&self, bytes: &mut [u8], offset: u64) {
        let word = |index: u64| mix(self.profile.seed ^ mix(index)).to_le_bytes();
        let skip = (offset % 8) as usize;
        let mut index = offset / 8;
        let (head, rest) = bytes.split_at_mut(if skip == 0 { 0 } else { bytes.len().min(8 - skip) });
        if !head.is_empty() {
            head.copy_from_slice(&word(index)[skip..skip + head.len()]);
            index += 1;
        }
        let (words, tail) = rest.as_chunks_mut::<8>();
        for target in words {
            *target = word(index);
            index += 1;
        }
        tail.copy_from_slice(&word(index)[..tail.len()]);
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit depends on every bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Drive for SimulatedDrive {
    fn identity(&self) -> &DriveIdentity {
        &self.identity
    }

    fn preferred_readers(&self) -> usize {
        2
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DriveError> {
        if offset + buffer.len() as u64 > self.profile.size {
            return Err(DriveError::Shrunk { path: self.path.clone(), end: self.profile.size, size: self.profile.size });
        }
        let mut position = offset;
        let mut left = buffer;
        while !left.is_empty() {
            let run = position / self.profile.run_size;
            let run_left = (run + 1) * self.profile.run_size - position;
            let (piece, rest) = left.split_at_mut(run_left.min(left.len() as u64) as usize);
            if self.run_is_zero(run) {
                piece.fill(0);
            } else {
                self.fill_data(piece, position);
            }
            position += piece.len() as u64;
            left = rest;
        }
        Ok(())
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> Result<(), DriveError> {
        Err(self.read_only())
    }

    fn zero_range(&self, _range: ByteRange) -> Result<(), DriveError> {
        Err(self.read_only())
    }

    fn sync(&self) -> Result<(), DriveError> {
        Err(self.read_only())
    }
}

impl SimulatedDrive {
    fn read_only(&self) -> DriveError {
        DriveError::ReadOnly { path: self.path.clone(), reason: "a simulated drive is computed" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(text: &str) -> SimulatedDrive {
        SimulatedDrive::new(Path::new("test.toml"), toml::from_str(text).unwrap())
    }

    #[test]
    fn content_is_the_same_however_it_is_read() {
        let drive = drive("size = \"1MiB\"\nserial = \"S\"\nseed = 5\nzero_share = 0.3\nrun_size = \"64KiB\"");
        let mut whole = vec![0; 1 << 20];
        drive.read_at(&mut whole, 0).unwrap();
        for (offset, length) in [(0, 512), (1, 7), (3, 100), (65_530, 20), (131_071, 70_000), ((1 << 20) - 1, 1)] {
            let mut piece = vec![0xff; length];
            drive.read_at(&mut piece, offset as u64).unwrap();
            assert_eq!(piece, whole[offset..offset + length], "{offset} {length}");
        }
    }

    #[test]
    fn the_share_of_zeros_is_kept() {
        let drive = drive("size = \"1GiB\"\nserial = \"S\"\nseed = 9\nzero_share = 0.25\nrun_size = \"1MiB\"");
        let zero_runs = (0..1024).filter(|run| drive.run_is_zero(*run)).count();
        assert!((250..=262).contains(&zero_runs), "{zero_runs}");
    }

    #[test]
    fn profiles_with_mistakes_are_refused_by_name() {
        let error = |text: &str| {
            toml::from_str::<Profile>(text)
                .map_err(|error| error.to_string())
                .and_then(|profile| profile.check().map_err(str::to_owned))
                .unwrap_err()
        };
        assert!(error("size = \"1MiB\"\nserial = \"S\"\nspeed = 3").contains("speed"));
        assert!(error("size = \"1XB\"\nserial = \"S\"").contains("no known unit"));
        assert!(error("size = 1000\nserial = \"S\"").contains("whole number of sectors"));
        assert!(error("size = 1024\nserial = \"S\"\nzero_share = 1.5").contains("zero_share"));
        assert!(error("size = 1024").contains("serial"));
    }
}
