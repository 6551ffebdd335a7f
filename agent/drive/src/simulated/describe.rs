//! What a profile describes, and what its timing model makes of it: measured on the model's own clock, in
//! no time.

use std::path::Path;

use protocol::limits::MIB;
use protocol::units::ByteRange;
use serde::Serialize;

use super::content::mix;
use super::profile::Profile;
use super::timing::{Model, Timing};
use crate::error::DriveError;

/// What a profile describes.
#[derive(Debug, Serialize)]
pub struct Description {
    /// The profile.
    pub profile: String,
    /// Model name.
    pub model: String,
    /// Serial number.
    pub serial: Option<String>,
    /// The USB bridge before it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Size in bytes, unless it is that of a real drive.
    pub size: Option<u64>,
    /// Logical sector size in bytes.
    pub sector_size: u64,
    /// Physical sector size in bytes.
    pub physical_sector_size: u64,
    /// Whether it has a model of time.
    pub is_timed: bool,
    /// Whether it has heads to move.
    pub is_rotational: bool,
    /// What it holds.
    pub content: String,
    /// Whether it can be written to.
    pub is_writable: bool,
    /// What is wrong with it; places as offset+length in bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Where its figures are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Figures of the model beside the published ones, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
}

/// One figure of the model.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// What was measured.
    pub figure: &'static str,
    /// `MB/s` or `ms`.
    pub unit: &'static str,
    /// What a data sheet or a review says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<f64>,
    /// What the model gives.
    pub model: f64,
    /// How far the model is off, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference_percent: Option<f64>,
}

/// Describes the profile at `path`; with `measure`, also what its timing model gives.
///
/// # Errors
/// When the profile cannot be used, or a measurement is asked for where there is nothing to measure.
pub fn describe(path: &Path, measure: bool) -> Result<Description, DriveError> {
    let profile = Profile::load(path)?;
    let measured = match (&profile.timing, profile.size, measure) {
        (_, _, false) => Vec::new(),
        (Some(timing), Some(size), true) if size >= 256 * MIB => measured(&profile, timing, size),
        _ => {
            let reason = "it has no `[timing]` and `size` of at least 256 MiB to be measured".to_owned();
            return Err(DriveError::Profile { path: path.to_owned(), line: None, reason });
        }
    };
    Ok(Description {
        profile: path.display().to_string(),
        model: profile.model.clone(),
        serial: profile.serial.clone(),
        bridge: profile.bridge.as_ref().map(ToString::to_string),
        size: profile.size,
        sector_size: profile.sector_size,
        physical_sector_size: profile.physical_sector_size,
        is_timed: profile.timing.is_some(),
        is_rotational: profile.timing.as_ref().is_some_and(Timing::is_rotational),
        content: content(&profile),
        is_writable: profile.backing.is_some() || profile.drive.is_some(),
        faults: profile.faults.iter().map(ToString::to_string).collect(),
        source: profile.published.and_then(|published| published.source),
        note: profile.note,
        measured,
    })
}

fn content(profile: &Profile) -> String {
    let mut text = match &profile.drive {
        Some(drive) => format!("that of `{}`", drive.display()),
        None => format!("{:?}", profile.content.kind).to_lowercase(),
    };
    if profile.drive.is_none() && profile.content.zero_share > 0.0 {
        text += &format!(", {} % of it zeros", (profile.content.zero_share * 100.0).round());
    }
    for overlay in &profile.overlays {
        text += &format!(", `{}` at {}", overlay.image.display(), overlay.offset);
    }
    text
}

fn measured(profile: &Profile, timing: &Timing, size: u64) -> Vec<Measured> {
    let published = profile.published.clone().unwrap_or_default();
    let rates = [
        ("sequential read, beginning", 0, published.sequential_outer),
        ("sequential read, middle", size / 2, published.sequential_middle),
        ("sequential read, end", size - RUN_BYTES, published.sequential_inner),
    ];
    let mut all: Vec<Measured> = rates
        .into_iter()
        .map(|(figure, start, published)| {
            line(figure, "MB/s", published.map(|rate| rate / 1e6), sequential(timing, size, start / 4096 * 4096) / 1e6)
        })
        .collect();
    let published = published.random_read_4k.map(|time| time.as_secs_f64() * 1e3);
    all.push(line("random read of 4 KiB", "ms", published, random_read_seconds(timing, size) * 1e3));
    all
}

fn line(figure: &'static str, unit: &'static str, published: Option<f64>, model: f64) -> Measured {
    let difference_percent = published.map(|published| (model / published - 1.0) * 100.0);
    Measured { figure, unit, published, model, difference_percent }
}

/// How much is read in a row.
const RUN_BYTES: u64 = 128 * MIB;

/// Bytes a second of a run of reads of 1 MiB, one at a time, without the way to its first byte.
fn sequential(timing: &Timing, size: u64, start: u64) -> f64 {
    let mut model = Model::new(timing.clone(), size);
    let first = model.read(0.0, ByteRange::new(start, MIB));
    let mut now = first;
    let mut offset = start + MIB;
    while offset < start + RUN_BYTES {
        now = model.read(now, ByteRange::new(offset, MIB));
        offset += MIB;
    }
    (RUN_BYTES - MIB) as f64 / (now - first)
}

/// Mean seconds of a read of 4 KiB anywhere on the drive, one at a time.
fn random_read_seconds(timing: &Timing, size: u64) -> f64 {
    const READS: u64 = 4000;
    let mut model = Model::new(timing.clone(), size);
    let start = model.read(0.0, ByteRange::new(0, 4096));
    let mut now = start;
    for number in 0..READS {
        let offset = mix(number) % (size / 4096) * 4096;
        now = model.read(now, ByteRange::new(offset, 4096));
    }
    (now - start) / READS as f64
}
