//! What a profile (`*.toml`) says, read and checked whole before anything uses it.
//!
//! Two layers: `*Text` is what can be written, with the places where it was written; [`Profile`] is what it
//! means. Unknown keys are refused, and every message names file and line.

use std::path::{Path, PathBuf};

use protocol::limits::MIB;
use protocol::units::ByteRange;
use serde::Deserialize;
use toml::Spanned;

use super::content::{Content, ContentKind};
use super::faults::{Fault, FaultText};
use super::files::{NamedFile, read_file};
use super::rule::ProfileRule;
use super::text::{Mistake, optional_size, size};
use super::timing::{Published, Timing, TimingText};
use crate::error::DriveError;
use crate::naming::SimulatedBridge;
use crate::opened_as::OpenedAs;

/// A drive as a profile describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// A real drive or image whose content it has, in place of computed content.
    pub(super) drive: Option<PathBuf>,
    /// Size in bytes; that of `drive` where it is absent.
    pub(super) size: Option<u64>,
    pub(super) sector_size: u64,
    pub(super) physical_sector_size: u64,
    pub(super) serial: Option<String>,
    pub(super) model: String,
    pub(super) bridge: Option<SimulatedBridge>,
    pub(super) content: Content,
    pub(super) overlays: Vec<Overlay>,
    pub(super) backing: Option<Backing>,
    pub(super) timing: Option<Timing>,
    pub(super) published: Option<Published>,
    pub(super) faults: Vec<Fault>,
    pub(super) note: Option<String>,
}

/// A real image that lies somewhere on the drive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Overlay {
    pub(super) offset: u64,
    pub(super) image: PathBuf,
}

/// Where what is written goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Backing {
    /// Gone with the process.
    Memory,
    /// A sparse file with only what was written.
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileText {
    drive: Option<PathBuf>,
    #[serde(default, deserialize_with = "optional_size")]
    size: Option<Spanned<u64>>,
    sector_size: Option<Spanned<u64>>,
    physical_sector_size: Option<Spanned<u64>>,
    serial: Option<String>,
    model: Option<String>,
    bridge: Option<BridgeText>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    content: ContentKind,
    zero_share: Option<Spanned<f64>>,
    #[serde(default, deserialize_with = "optional_size")]
    run_size: Option<Spanned<u64>>,
    #[serde(default)]
    reports_holes: bool,
    #[serde(default, deserialize_with = "optional_size")]
    block_size: Option<Spanned<u64>>,
    #[serde(default)]
    overlay: Vec<Spanned<OverlayText>>,
    backing: Option<PathBuf>,
    timing: Option<Spanned<TimingText>>,
    published: Option<Published>,
    #[serde(default)]
    fault: Vec<Spanned<FaultText>>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BridgeText {
    serial: Option<String>,
    #[serde(default)]
    passes_serial: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverlayText {
    #[serde(deserialize_with = "size")]
    offset: u64,
    image: PathBuf,
}

impl Profile {
    /// Reads and checks a profile.
    pub fn load(path: &Path) -> Result<Self, DriveError> {
        Self::load_opened(path).map(|(profile, _)| profile)
    }

    /// The same, and which file it is.
    pub(super) fn load_opened(path: &Path) -> Result<(Self, OpenedAs), DriveError> {
        ProfileRule::of_process().require_profiles(path)?;
        let unusable = |line: Option<usize>, reason: String| DriveError::Profile { path: path.to_owned(), line, reason };
        let read = read_file(path, NamedFile::ByCaller).and_then(|(file, text)| Ok((OpenedAs::of(&file.metadata()?), text)));
        let (opened_as, text) = read.map_err(|error| unusable(None, error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let profile = Self::parse(&text, folder).map_err(|mistake| {
            let line = mistake.place.map(|place| 1 + text[..place.start.min(text.len())].matches('\n').count());
            unusable(line, mistake.expected)
        })?;
        Ok((profile, opened_as))
    }

    /// Understands a profile; paths in it are relative to `folder`.
    pub(super) fn parse(text: &str, folder: &Path) -> Result<Self, Mistake> {
        let read: ProfileText = toml::from_str(text)
            .map_err(|error| Mistake { place: error.span(), expected: error.message().replace('\n', " ") })?;
        let sector_size = sector_size(read.sector_size, 512)?;
        let physical_sector_size = sector_size_of_kind(read.physical_sector_size, sector_size)?;
        if read.size.is_none() && read.drive.is_none() {
            return Err(Mistake { place: None, expected: "`size` is missing: how large is the drive?".to_owned() });
        }
        if let Some(size) = read.size.as_ref().filter(|size| !size.get_ref().is_multiple_of(sector_size)) {
            return Err(Mistake::at(size.span(), format!("`size` is a whole number of sectors of {sector_size} bytes")));
        }
        if read.serial.is_none() && read.drive.is_none() {
            return Err(Mistake { place: None, expected: "`serial` is missing: what does the drive call itself?".to_owned() });
        }
        let content = Content {
            kind: read.content,
            seed: read.seed,
            zero_share: zero_share(read.zero_share)?,
            run_bytes: whole_words(read.run_size, "run_size", 8 * MIB)?,
            block_bytes: whole_words(read.block_size, "block_size", MIB)?,
            reports_holes: read.reports_holes,
        };
        let size = read.size.map(Spanned::into_inner);
        let timing = read.timing.map(|timing| Timing::check(timing.span(), timing.into_inner())).transpose()?;
        Ok(Profile {
            drive: read.drive.map(|path| folder.join(path)),
            faults: super::faults::check(read.fault, size, sector_size)?,
            overlays: overlays(read.overlay, folder, size)?,
            size,
            sector_size,
            physical_sector_size,
            serial: read.serial,
            model: read.model.unwrap_or_else(|| "Simulated drive".to_owned()),
            bridge: read.bridge.map(|bridge| SimulatedBridge {
                serial: bridge.serial.filter(|serial| !serial.trim().is_empty()),
                passes_serial: bridge.passes_serial,
            }),
            content,
            backing: read.backing.map(|path| match path.as_os_str() == "memory" {
                true => Backing::Memory,
                false => Backing::File(folder.join(path)),
            }),
            timing,
            published: read.published,
            note: read.note,
        })
    }
}

fn sector_size(asked: Option<Spanned<u64>>, default: u64) -> Result<u64, Mistake> {
    match asked {
        Some(size) if ![512, 4096].contains(size.get_ref()) => Err(Mistake::at(size.span(), "a sector size is 512 or 4096")),
        asked => Ok(asked.map_or(default, Spanned::into_inner)),
    }
}

fn sector_size_of_kind(asked: Option<Spanned<u64>>, logical: u64) -> Result<u64, Mistake> {
    let place = asked.as_ref().map(Spanned::span);
    let physical = sector_size(asked, logical)?;
    match physical < logical {
        true => Err(Mistake { place, expected: format!("a physical sector is no smaller than a logical one of {logical}") }),
        false => Ok(physical),
    }
}

fn zero_share(asked: Option<Spanned<f64>>) -> Result<f64, Mistake> {
    match asked {
        Some(share) if !(0.0..=1.0).contains(share.get_ref()) => {
            Err(Mistake::at(share.span(), "`zero_share` is a number from 0 to 1"))
        }
        asked => Ok(asked.map_or(0.0, Spanned::into_inner)),
    }
}

fn whole_words(asked: Option<Spanned<u64>>, name: &str, default: u64) -> Result<u64, Mistake> {
    match asked {
        Some(size) if *size.get_ref() == 0 || !size.get_ref().is_multiple_of(8) => {
            Err(Mistake::at(size.span(), format!("`{name}` is a multiple of 8 bytes, and not 0")))
        }
        asked => Ok(asked.map_or(default, Spanned::into_inner)),
    }
}

fn overlays(read: Vec<Spanned<OverlayText>>, folder: &Path, size: Option<u64>) -> Result<Vec<Overlay>, Mistake> {
    let mut overlays: Vec<(ByteRange, Overlay)> = Vec::new();
    for text in read {
        let place = text.span();
        let OverlayText { offset, image } = text.into_inner();
        let image = folder.join(image);
        let length = std::fs::metadata(&image)
            .map_err(|error| Mistake::at(place.clone(), format!("the image `{}` cannot be read: {error}", image.display())))?
            .len();
        let range = ByteRange::new(offset, length);
        if offset.checked_add(length).is_none_or(|end| size.is_some_and(|size| end > size)) {
            return Err(Mistake::at(place, format!("the image `{}` lies on the drive, whole", image.display())));
        }
        if overlays.iter().any(|(other, _)| other.offset < range.end() && range.offset < other.end()) {
            return Err(Mistake::at(place, format!("the image `{}` overlaps with no other", image.display())));
        }
        overlays.push((range, Overlay { offset, image }));
    }
    Ok(overlays.into_iter().map(|(_, overlay)| overlay).collect())
}
