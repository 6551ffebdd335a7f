//! The identity of a drive: a set of facts, and when two sets mean the same drive.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Sha256Digest;

/// How a drive is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriveKind {
    /// A block device of the kernel.
    Device,
    /// A loop device: a file that the kernel shows as a block device.
    Loop,
    /// A raw image: a plain file, byte for byte a drive.
    Image,
    /// A drive that is computed from a profile.
    Simulated,
}

/// What is known of a drive. A journal is bound to the whole set, since each single fact lies
/// sometimes: USB bridges report serials of their own, and two drives may share a model and a size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveIdentity {
    /// Where it was found. Not part of the comparison: a drive may be docked anywhere.
    pub path: String,
    /// How it is reached.
    pub kind: DriveKind,
    /// What the drive says its serial number is.
    #[serde(default)]
    pub serial: Option<String>,
    /// What the drive says its model is.
    #[serde(default)]
    pub model: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Logical sector size in bytes.
    pub sector_size: u64,
    /// The disk identifier of its GPT, or the disk signature of its MBR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_table_id: Option<String>,
    /// Sectors sampled across the drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sample: Option<ContentSample>,
    /// For an image, when its file was last written, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_unix_nanoseconds: Option<i64>,
}

/// Digests of sectors sampled across a drive: the first eight bytes of the SHA-256 of each, or nothing
/// where it could not be read. A sector that heals, or fails since, does not make another drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentSample(Vec<Option<[u8; 8]>>);

/// How an unreadable place is written: as long as a digest.
const UNREADABLE_PLACE: &str = "----------------";

impl ContentSample {
    /// A sample from the bytes at each place; `None` where they cannot be read.
    pub fn of_places<'bytes>(places: impl IntoIterator<Item = Option<&'bytes [u8]>>) -> Self {
        let mut sample = ContentSample(Vec::new());
        places.into_iter().for_each(|place| sample.push(place));
        sample
    }

    /// Adds a place.
    pub fn push(&mut self, bytes: Option<&[u8]>) {
        self.0.push(bytes.map(|bytes| {
            let [a, b, c, d, e, f, g, h, ..] = Sha256Digest::of(bytes).0;
            [a, b, c, d, e, f, g, h]
        }));
    }

    /// Whether place number `index` could be read and holds something else than `bytes`.
    pub fn differs_at(&self, index: usize, bytes: &[u8]) -> bool {
        let mut other = ContentSample(Vec::new());
        other.push(Some(bytes));
        matches!((self.0.get(index), other.0.first()), (Some(Some(own)), Some(Some(other))) if own != other)
    }

    /// Whether every place that could be read both times holds the same.
    pub fn agrees_with(&self, other: &ContentSample) -> bool {
        let differs = |(one, other): (&Option<[u8; 8]>, &Option<[u8; 8]>)| one.is_some() && other.is_some() && one != other;
        self.0.len() == other.0.len() && !self.0.iter().zip(&other.0).any(differs)
    }
}

impl Serialize for ContentSample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = |place: &Option<[u8; 8]>| place.map_or_else(|| UNREADABLE_PLACE.to_owned(), hex::encode);
        serializer.serialize_str(&self.0.iter().map(place).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for ContentSample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (places, []) = text.as_bytes().as_chunks::<16>() else {
            return Err(serde::de::Error::custom("a content sample has 16 characters a place"));
        };
        let place = |place: &[u8; 16]| {
            let mut digest = [0; 8];
            match place == UNREADABLE_PLACE.as_bytes() {
                true => Ok(None),
                false => hex::decode_to_slice(place, &mut digest).map(|()| Some(digest)).map_err(serde::de::Error::custom),
            }
        };
        places.iter().map(place).collect::<Result<_, _>>().map(ContentSample)
    }
}

/// Whether what is recorded of one drive holds for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sameness {
    /// The same drive with the same content.
    Same,
    /// The same content under another serial or model: a bridge that reports a wrong one, or a clone. May continue.
    SameContentOtherName,
    /// Another size, sector size, partition table or content: nothing recorded may be trusted.
    Different(&'static str),
}

impl DriveIdentity {
    /// Compares what was recorded (`self`) with what is docked now.
    pub fn compare(&self, now: &DriveIdentity) -> Sameness {
        if self.size != now.size {
            return Sameness::Different("its size is another");
        }
        if self.sector_size != now.sector_size {
            return Sameness::Different("its sector size is another");
        }
        // A table that cannot be read says nothing; one that is new shows in the first place of the sample.
        let tables = (&self.partition_table_id, &now.partition_table_id);
        if matches!(tables, (Some(recorded), Some(now)) if recorded != now) {
            return Sameness::Different("its partition table is another");
        }
        let agrees = match (&self.content_sample, &now.content_sample) {
            (Some(recorded), Some(now)) => recorded.agrees_with(now),
            (recorded, now) => recorded == now,
        };
        if !agrees {
            return Sameness::Different("its content is another");
        }
        if self.serial == now.serial && self.model == now.model { Sameness::Same } else { Sameness::SameContentOtherName }
    }

    /// A short name for messages: the serial where there is one, else the path.
    pub fn label(&self) -> &str {
        self.serial.as_deref().unwrap_or(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive() -> DriveIdentity {
        DriveIdentity {
            path: "/dev/sdb".into(),
            kind: DriveKind::Device,
            serial: Some("S1".into()),
            model: Some("M".into()),
            size: 1 << 30,
            sector_size: 512,
            partition_table_id: None,
            content_sample: Some(ContentSample::of_places([Some(&b"first"[..]), Some(b"last")])),
            modified_unix_nanoseconds: None,
        }
    }

    #[test]
    fn a_drive_in_another_bay_is_the_same_drive() {
        assert_eq!(drive().compare(&DriveIdentity { path: "/dev/sdx".into(), ..drive() }), Sameness::Same);
    }

    #[test]
    fn a_bridge_that_changes_the_serial_does_not_stop_a_resume() {
        assert_eq!(drive().compare(&DriveIdentity { serial: None, ..drive() }), Sameness::SameContentOtherName);
    }

    #[test]
    fn a_sector_that_fails_or_heals_does_not_make_another_drive() {
        let failing = ContentSample::of_places([Some(&b"first"[..]), None]);
        let text = serde_json::to_string(&failing).unwrap();
        assert_eq!(serde_json::from_str::<ContentSample>(&text).unwrap(), failing);
        let now = DriveIdentity { content_sample: Some(failing), ..drive() };
        assert_eq!(drive().compare(&now), Sameness::Same);
        assert_eq!(now.compare(&drive()), Sameness::Same);
        assert!(serde_json::from_str::<ContentSample>("\"abc\"").is_err());
    }

    #[test]
    fn a_partition_table_that_cannot_be_read_does_not_make_another_drive() {
        let with = |id: Option<&str>| DriveIdentity { partition_table_id: id.map(str::to_owned), ..drive() };
        assert_eq!(with(Some("gpt:1")).compare(&with(None)), Sameness::Same);
        assert_eq!(with(None).compare(&with(Some("gpt:1"))), Sameness::Same);
        assert!(matches!(with(Some("gpt:1")).compare(&with(Some("gpt:2"))), Sameness::Different(_)));
    }

    #[test]
    fn the_same_serial_with_other_content_is_another_drive() {
        let other =
            DriveIdentity { content_sample: Some(ContentSample::of_places([Some(&b"first"[..]), Some(b"other")])), ..drive() };
        assert!(matches!(drive().compare(&other), Sameness::Different(_)));
        assert!(matches!(drive().compare(&DriveIdentity { size: 1, ..drive() }), Sameness::Different(_)));
        assert!(matches!(drive().compare(&DriveIdentity { sector_size: 4096, ..drive() }), Sameness::Different(_)));
    }
}
