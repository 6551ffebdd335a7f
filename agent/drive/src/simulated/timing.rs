//! How long a physical drive would take: a model of heads, flash, cache and cable.
//!
//! Pure: every function takes the time of the request and gives the time of its end, in seconds since the
//! drive was opened. What waits for that, and at what pace, is `clock.rs`'s business.
//!
//! # The spinning drive
//! - Rate by zone: a track's length grows with its radius, and bytes with the area, so the rate at the share
//!   `x` of the drive is `outer · √(1 − x·(1 − (inner/outer)²))`, in steps of one zone. Where reviews state a
//!   rate for the middle, a parabola through the three points takes its place.
//! - Seek: `track + a·√d + b·d` for the distance `d` as a share of the drive. `a` and `b` follow from the
//!   stated average over random places (where √d is 8/15 and d is 1/3 on average) and the full stroke.
//! - Rotation: the platter turns on while the head moves; where on the track a byte lies follows from its
//!   address.
//! - Read-ahead: the head reads on until the cache is full, so that sequential reads run at the rate of
//!   the zone whatever the host does in between.
//! - With more requests waiting the drive picks the nearest: positioning shrinks by `1 / (1 + 0.25·log₂ q)`.
//!
//! # Writes
//! They are acknowledged when they are in the cache, and wait for the medium when that is full; a sync
//! waits for all of it. Shingled drives and flash take a first amount fast and the rest slowly; idle time
//! empties that amount again.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use protocol::units::ByteRange;
use serde::Deserialize;

use super::content::mix;
use super::text::{self, Mistake};

/// `[timing]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimingText {
    #[serde(deserialize_with = "text::rate")]
    interface_rate: f64,
    #[serde(default, deserialize_with = "text::duration")]
    command_overhead: Duration,
    #[serde(default = "one")]
    queue_depth: u32,
    #[serde(default, deserialize_with = "text::duration")]
    spin_up: Duration,
    disk: Option<Disk>,
    flash: Option<Flash>,
    bridge: Option<Bridge>,
}

fn one() -> u32 {
    1
}

/// How a drive takes its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timing {
    interface_rate: f64,
    pub(super) command_overhead_seconds: f64,
    pub(super) queue_depth: u32,
    spin_up_seconds: f64,
    pub(super) medium: Medium,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Medium {
    Disk(Disk),
    Flash(Flash),
}

/// `[timing.disk]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disk {
    rpm: u32,
    #[serde(deserialize_with = "text::rate")]
    outer_rate: f64,
    #[serde(default, deserialize_with = "text::optional_rate")]
    middle_rate: Option<f64>,
    #[serde(deserialize_with = "text::rate")]
    inner_rate: f64,
    #[serde(default = "zones")]
    zones: u32,
    #[serde(deserialize_with = "text::duration")]
    seek_track_to_track: Duration,
    #[serde(deserialize_with = "text::duration")]
    seek_average: Duration,
    #[serde(deserialize_with = "text::duration")]
    seek_full: Duration,
    #[serde(deserialize_with = "text::size")]
    cache: u64,
    shingled: Option<Shingled>,
}

fn zones() -> u32 {
    64
}

/// `[timing.disk.shingled]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shingled {
    #[serde(deserialize_with = "text::size")]
    media_cache: u64,
    #[serde(deserialize_with = "text::rate")]
    write_rate: f64,
}

/// `[timing.flash]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flash {
    #[serde(deserialize_with = "text::rate")]
    read_rate: f64,
    #[serde(deserialize_with = "text::rate")]
    write_rate: f64,
    #[serde(deserialize_with = "text::duration")]
    read_latency: Duration,
    #[serde(deserialize_with = "text::duration")]
    write_latency: Duration,
    #[serde(default, deserialize_with = "text::optional_plain_size")]
    fast_write_bytes: Option<u64>,
    #[serde(default, deserialize_with = "text::optional_rate")]
    slow_write_rate: Option<f64>,
}

/// `[timing.bridge]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bridge {
    #[serde(deserialize_with = "text::duration")]
    command_overhead: Duration,
    #[serde(deserialize_with = "text::rate")]
    rate: f64,
    #[serde(default = "one")]
    queue_depth: u32,
}

/// `[published]`: what a data sheet or a review says of the real drive, for `drives describe --measure`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Bytes a second at the drive's beginning.
    #[serde(default, deserialize_with = "text::optional_rate")]
    pub sequential_outer: Option<f64>,
    /// Bytes a second in its middle.
    #[serde(default, deserialize_with = "text::optional_rate")]
    pub sequential_middle: Option<f64>,
    /// Bytes a second at its end.
    #[serde(default, deserialize_with = "text::optional_rate")]
    pub sequential_inner: Option<f64>,
    /// Mean time of a random read of 4 KiB, one at a time.
    #[serde(default, deserialize_with = "text::optional_duration")]
    pub random_read_4k: Option<Duration>,
    /// Where the figures are from.
    pub source: Option<String>,
}

impl Timing {
    pub(super) fn check(place: Range<usize>, text: TimingText) -> Result<Self, Mistake> {
        let wrong = |expected: &str| Err(Mistake::at(place.clone(), expected));
        let medium = match (text.disk, text.flash) {
            (Some(disk), None) => Medium::Disk(disk),
            (None, Some(flash)) => Medium::Flash(flash),
            _ => return wrong("`[timing]` has either `[timing.disk]` or `[timing.flash]`"),
        };
        let rates = match &medium {
            Medium::Disk(disk) => vec![disk.outer_rate, disk.inner_rate, disk.middle_rate.unwrap_or(1.0)],
            Medium::Flash(flash) => vec![flash.read_rate, flash.write_rate, flash.slow_write_rate.unwrap_or(1.0)],
        };
        if rates.into_iter().any(|rate| rate <= 0.0) || text.interface_rate <= 0.0 {
            return wrong("every rate of `[timing]` is above 0");
        }
        if let Medium::Disk(disk) = &medium {
            if disk.rpm == 0 || disk.zones == 0 {
                return wrong("`rpm` and `zones` are above 0");
            }
            if disk.inner_rate > disk.outer_rate {
                return wrong("`inner_rate` is no higher than `outer_rate`: inner tracks are shorter");
            }
            if !(disk.seek_track_to_track <= disk.seek_average && disk.seek_average <= disk.seek_full) {
                return wrong("`seek_track_to_track`, `seek_average` and `seek_full` ascend");
            }
        }
        let (mut interface_rate, mut overhead, mut queue_depth) =
            (text.interface_rate, text.command_overhead, text.queue_depth.max(1));
        if let Some(bridge) = text.bridge {
            interface_rate = interface_rate.min(bridge.rate);
            overhead += bridge.command_overhead;
            queue_depth = queue_depth.min(bridge.queue_depth.max(1));
        }
        Ok(Timing {
            interface_rate,
            command_overhead_seconds: overhead.as_secs_f64(),
            queue_depth,
            spin_up_seconds: text.spin_up.as_secs_f64(),
            medium,
        })
    }

    pub(super) fn is_rotational(&self) -> bool {
        matches!(self.medium, Medium::Disk(_))
    }
}

impl Disk {
    fn revolution_seconds(&self) -> f64 {
        60.0 / f64::from(self.rpm)
    }

    /// Bytes a second at the share `place` (0 to 1) of the drive: that of its zone's middle.
    fn rate_at(&self, place: f64) -> f64 {
        let zones = f64::from(self.zones);
        let place = ((place * zones).floor().min(zones - 1.0) + 0.5) / zones;
        let (outer, inner) = (self.outer_rate, self.inner_rate);
        match self.middle_rate {
            Some(middle) => {
                // Lagrange's parabola through (0, outer), (½, middle), (1, inner).
                let from_outer = outer * (place - 0.5) * (place - 1.0) * 2.0;
                let from_middle = middle * place * (1.0 - place) * 4.0;
                let from_inner = inner * place * (place - 0.5) * 2.0;
                // Between points that are far apart it may swing below what the drive has, even below zero.
                (from_outer + from_middle + from_inner).clamp(inner, outer.max(middle))
            }
            None => outer * (1.0 - place * (1.0 - (inner / outer).powi(2))).sqrt(),
        }
    }

    /// Seconds to move the heads over the share `distance` of the drive.
    fn seek_seconds(&self, distance: f64) -> f64 {
        if distance <= 0.0 {
            return 0.0;
        }
        let track = self.seek_track_to_track.as_secs_f64();
        let average = self.seek_average.as_secs_f64() - track;
        let full = self.seek_full.as_secs_f64() - track;
        // a·8/15 + b/3 = average, a + b = full
        let root = (average - full / 3.0) / (8.0 / 15.0 - 1.0 / 3.0);
        (track + root * distance.sqrt() + (full - root) * distance).max(track)
    }
}

/// The state of one drive's mechanism.
#[derive(Debug)]
pub(super) struct Model {
    timing: Timing,
    size: u64,
    /// The byte behind the last one that was asked for.
    head: u64,
    /// When the medium had read or written up to there.
    head_at: f64,
    /// When the medium has written all that is in the cache.
    written_at: f64,
    /// Bytes written to the fast part and not moved on yet.
    fast_bytes: f64,
    /// Ends of requests under way.
    under_way: VecDeque<f64>,
}

impl Model {
    pub(super) fn new(timing: Timing, size: u64) -> Self {
        let ready = timing.spin_up_seconds;
        Model {
            timing,
            size: size.max(1),
            head: 0,
            head_at: ready,
            written_at: ready,
            fast_bytes: 0.0,
            under_way: VecDeque::new(),
        }
    }

    /// When a read that is asked for at `now` ends.
    pub(super) fn read(&mut self, now: f64, range: ByteRange) -> f64 {
        let (ready, waiting) = self.begin(now);
        let bus = range.length as f64 / self.timing.interface_rate;
        let end = match self.timing.medium.clone() {
            Medium::Disk(disk) => self.disk_access(&disk, ready.max(self.written_at), range, waiting).max(ready + bus),
            Medium::Flash(flash) => {
                let transfer = range.length as f64 / flash.read_rate.min(self.timing.interface_rate);
                let begins = match (range.offset == self.head, self.timing.queue_depth) {
                    // The drive knows what comes next; where commands can queue, the next one is there already.
                    (true, 1) => ready,
                    (true, _) => ready - self.timing.command_overhead_seconds,
                    (false, _) => ready + flash.read_latency.as_secs_f64(),
                };
                begins.max(self.head_at) + transfer
            }
        };
        self.moved(range, end)
    }

    /// When a write that is asked for at `now` is acknowledged.
    pub(super) fn write(&mut self, now: f64, range: ByteRange) -> f64 {
        let (ready, _) = self.begin(now);
        let bytes = range.length as f64;
        let bus = bytes / self.timing.interface_rate;
        match self.timing.medium.clone() {
            Medium::Disk(disk) => {
                let rate = disk.rate_at(range.offset as f64 / self.size as f64);
                let rate = match &disk.shingled {
                    Some(shingled) => self.two_speed(ready, bytes, rate, shingled.media_cache as f64, shingled.write_rate),
                    None => rate,
                };
                let position = if range.offset == self.head { 0.0 } else { self.positioning(&disk, range, self.written_at, 1.0) };
                self.written_at = self.written_at.max(ready) + position + bytes / rate;
                self.head = range.end();
                self.head_at = self.written_at;
                let end = (ready + bus).max(self.written_at - disk.cache as f64 / rate);
                self.under_way.push_back(end);
                end
            }
            Medium::Flash(flash) => {
                let fast = flash.fast_write_bytes.map_or(f64::INFINITY, |bytes| bytes as f64);
                let rate =
                    self.two_speed(ready, bytes, flash.write_rate, fast, flash.slow_write_rate.unwrap_or(flash.write_rate));
                let latency = if range.offset == self.head { 0.0 } else { flash.write_latency.as_secs_f64() };
                let end = (ready + latency).max(self.head_at) + bytes / rate.min(self.timing.interface_rate);
                self.written_at = end;
                self.moved(range, end)
            }
        }
    }

    /// When all that was written is on the medium.
    pub(super) fn sync(&mut self, now: f64) -> f64 {
        now.max(self.written_at) + self.timing.command_overhead_seconds
    }

    /// When the command reaches the mechanism, and how many wait there already.
    fn begin(&mut self, now: f64) -> (f64, usize) {
        while self.under_way.front().is_some_and(|end| *end <= now) {
            self.under_way.pop_front();
        }
        let mut arrives = now.max(self.timing.spin_up_seconds);
        if self.under_way.len() >= self.timing.queue_depth as usize {
            let place = self.under_way.len() - self.timing.queue_depth as usize;
            arrives = arrives.max(self.under_way[place]);
        }
        (arrives + self.timing.command_overhead_seconds, self.under_way.len())
    }

    fn moved(&mut self, range: ByteRange, end: f64) -> f64 {
        self.head = range.end();
        self.head_at = end;
        self.under_way.push_back(end);
        end
    }

    /// When the medium has passed under the head, up to the end of `range`.
    fn disk_access(&mut self, disk: &Disk, ready: f64, range: ByteRange, waiting: usize) -> f64 {
        let rate = disk.rate_at(range.offset as f64 / self.size as f64);
        let transfer = range.length as f64 / rate;
        if range.offset == self.head {
            // It read ahead meanwhile, as far as its cache reaches.
            return self.head_at.max(ready - disk.cache as f64 / rate) + transfer;
        }
        let start = ready.max(self.head_at);
        let crowd = 1.0 / (1.0 + 0.25 * ((waiting.max(1)) as f64).log2());
        start + self.positioning(disk, range, start, crowd) + transfer
    }

    /// Seconds until the first byte of `range` is under the head.
    fn positioning(&self, disk: &Disk, range: ByteRange, start: f64, crowd: f64) -> f64 {
        let seek = disk.seek_seconds(self.head.abs_diff(range.offset) as f64 / self.size as f64);
        let revolution = disk.revolution_seconds();
        let angle = (mix(range.offset / 4096) >> 11) as f64 / (1u64 << 53) as f64;
        let phase = ((start + seek) / revolution).fract();
        (seek + (angle - phase).rem_euclid(1.0) * revolution) * crowd
    }

    /// The rate of a write where `fast` bytes go at `rate` and more at `slow_rate`.
    fn two_speed(&mut self, now: f64, bytes: f64, rate: f64, fast: f64, slow_rate: f64) -> f64 {
        let idle_seconds = (now - self.written_at).max(0.0);
        self.fast_bytes = (self.fast_bytes - idle_seconds * slow_rate).max(0.0);
        if self.fast_bytes + bytes > fast {
            return slow_rate;
        }
        self.fast_bytes += bytes;
        rate
    }
}
