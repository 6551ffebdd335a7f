//! What is wrong with a drive: a plan that a test or a demonstration lays over its content.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::units::ByteRange;
use serde::Deserialize;
use toml::Spanned;

use super::text::{self, Mistake};

/// A `[[fault]]` as it is written: which keys it takes depends on its kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultText {
    kind: FaultKind,
    #[serde(default, deserialize_with = "text::optional_plain_size")]
    offset: Option<u64>,
    #[serde(default, deserialize_with = "text::optional_plain_size")]
    length: Option<u64>,
    after_reads: Option<u32>,
    #[serde(default, deserialize_with = "text::optional_plain_size")]
    after_bytes: Option<u64>,
    #[serde(default, deserialize_with = "text::optional_duration")]
    after: Option<Duration>,
    #[serde(default, deserialize_with = "text::optional_duration")]
    delay: Option<Duration>,
    #[serde(default, deserialize_with = "text::optional_plain_size")]
    loses: Option<u64>,
    #[serde(default, deserialize_with = "text::optional_plain_size")]
    size: Option<u64>,
    serials: Option<Vec<String>>,
    counter: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FaultKind {
    Unreadable,
    Healing,
    Slow,
    Stuck,
    ShortRead,
    Rotten,
    Removed,
    LyingCache,
    WrongCapacity,
    ChangingSerial,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// Every read that touches it fails.
    Unreadable(ByteRange),
    /// The same, until it was tried so often.
    Healing { range: ByteRange, after_reads: u32 },
    /// Reads and writes that touch it take so much longer.
    Slow { range: ByteRange, delay: Duration },
    /// Reads and writes that touch it do not come back.
    Stuck(ByteRange),
    /// The drive answers a read that begins in it with half of what was asked for.
    ShortRead(ByteRange),
    /// Bits are flipped, and the drive says nothing.
    Rotten(ByteRange),
    /// It is gone when so many bytes have moved.
    RemovedAfterBytes(u64),
    /// It is gone so long after it was opened.
    RemovedAfter(Duration),
    /// A sync says yes, and the last so many bytes are lost when the drive is.
    LyingCache { loses: u64 },
    /// It says that it has this size; behind its real end it starts over.
    WrongCapacity { size: u64 },
    /// It has another serial each time it is opened, in turn; the file counts the openings.
    ChangingSerial { serials: Vec<String>, counter: PathBuf },
}

impl Fault {
    pub(super) fn range(&self) -> Option<ByteRange> {
        match self {
            Fault::Unreadable(range) | Fault::Stuck(range) | Fault::ShortRead(range) | Fault::Rotten(range) => Some(*range),
            Fault::Healing { range, .. } | Fault::Slow { range, .. } => Some(*range),
            _ => None,
        }
    }
}

/// As `drives describe` shows it.
impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable(range) => write!(formatter, "unreadable: {range}"),
            Fault::Healing { range, after_reads } => {
                write!(formatter, "unreadable until it was tried {after_reads} times: {range}")
            }
            Fault::Slow { range, delay } => write!(formatter, "{} ms slower: {range}", delay.as_millis()),
            Fault::Stuck(range) => write!(formatter, "hangs: {range}"),
            Fault::ShortRead(range) => write!(formatter, "answers with half of what was asked for: {range}"),
            Fault::Rotten(range) => write!(formatter, "flipped bits: {range}"),
            Fault::RemovedAfterBytes(bytes) => write!(formatter, "gone after {bytes} bytes"),
            Fault::RemovedAfter(after) => write!(formatter, "gone after {} s", after.as_secs_f64()),
            Fault::LyingCache { loses } => write!(formatter, "a sync means nothing: the last {loses} bytes are lost"),
            Fault::WrongCapacity { size } => write!(formatter, "claims {size} bytes"),
            Fault::ChangingSerial { serials, .. } => write!(formatter, "another serial each time: {}", serials.join(", ")),
        }
    }
}

/// Checks the faults of a profile: every one whole and on the drive, no two on one place.
pub(super) fn check(texts: Vec<Spanned<FaultText>>, size: Option<u64>, sector_size: u64) -> Result<Vec<Fault>, Mistake> {
    let mut faults: Vec<Fault> = Vec::new();
    for text in texts {
        let place = text.span();
        let fault = understand(text.into_inner()).map_err(|expected| Mistake::at(place.clone(), expected))?;
        if let Some(range) = fault.range() {
            if range.length == 0 || range.offset.checked_add(range.length).is_none() {
                return Err(Mistake::at(place, "a fault has a `length` above 0"));
            }
            let is_whole_sectors = range.offset.is_multiple_of(sector_size) && range.length.is_multiple_of(sector_size);
            if !is_whole_sectors && !matches!(fault, Fault::Rotten(_)) {
                return Err(Mistake::at(place, format!("a fault is of whole sectors of {sector_size} bytes")));
            }
            if let Some(size) = size.filter(|size| range.end() > *size) {
                return Err(Mistake::at(place, format!("a fault lies on the drive: {range} ends behind its {size} bytes")));
            }
            let others = faults.iter().filter_map(Fault::range);
            if let Some(other) = others.into_iter().find(|other| other.offset < range.end() && range.offset < other.end()) {
                return Err(Mistake::at(place, format!("faults do not overlap: {range} touches {other}")));
            }
        }
        faults.push(fault);
    }
    Ok(faults)
}

fn understand(text: FaultText) -> Result<Fault, String> {
    let given = [
        ("offset", text.offset.is_some()),
        ("length", text.length.is_some()),
        ("after_reads", text.after_reads.is_some()),
        ("after_bytes", text.after_bytes.is_some()),
        ("after", text.after.is_some()),
        ("delay", text.delay.is_some()),
        ("loses", text.loses.is_some()),
        ("size", text.size.is_some()),
        ("serials", text.serials.is_some()),
        ("counter", text.counter.is_some()),
    ];
    let only = |wanted: &[&str]| match given.iter().find(|(name, is_given)| *is_given && !wanted.contains(name)) {
        Some((name, _)) => Err(format!("a fault of this kind has no `{name}`; it takes {}", list(wanted))),
        None => Ok(()),
    };
    let missing = |name: &str| format!("a fault of this kind needs `{name}`");
    let range = || {
        let offset = text.offset.ok_or_else(|| missing("offset"))?;
        Ok::<_, String>(ByteRange::new(offset, text.length.ok_or_else(|| missing("length"))?))
    };
    const PLACE: [&str; 2] = ["offset", "length"];
    Ok(match text.kind {
        FaultKind::Unreadable => {
            only(&PLACE)?;
            Fault::Unreadable(range()?)
        }
        FaultKind::Healing => {
            only(&["offset", "length", "after_reads"])?;
            Fault::Healing { range: range()?, after_reads: text.after_reads.ok_or_else(|| missing("after_reads"))? }
        }
        FaultKind::Slow => {
            only(&["offset", "length", "delay"])?;
            Fault::Slow { range: range()?, delay: text.delay.ok_or_else(|| missing("delay"))? }
        }
        FaultKind::Stuck => {
            only(&PLACE)?;
            Fault::Stuck(range()?)
        }
        FaultKind::ShortRead => {
            only(&PLACE)?;
            Fault::ShortRead(range()?)
        }
        FaultKind::Rotten => {
            only(&PLACE)?;
            Fault::Rotten(range()?)
        }
        FaultKind::Removed => {
            only(&["after_bytes", "after"])?;
            match (text.after_bytes, text.after) {
                (Some(bytes), None) => Fault::RemovedAfterBytes(bytes),
                (None, Some(after)) => Fault::RemovedAfter(after),
                _ => return Err("a removal has either `after_bytes` or `after`".to_owned()),
            }
        }
        FaultKind::LyingCache => {
            only(&["loses"])?;
            Fault::LyingCache { loses: text.loses.ok_or_else(|| missing("loses"))? }
        }
        FaultKind::WrongCapacity => {
            only(&["size"])?;
            Fault::WrongCapacity { size: text.size.ok_or_else(|| missing("size"))? }
        }
        FaultKind::ChangingSerial => {
            only(&["serials", "counter"])?;
            let serials = text.serials.filter(|serials| !serials.is_empty()).ok_or_else(|| missing("serials"))?;
            Fault::ChangingSerial { serials, counter: text.counter.ok_or_else(|| missing("counter"))? }
        }
    })
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What a fault plan does to one call.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// The drive is gone.
    pub(super) is_removed: bool,
    /// The call does not come back.
    pub(super) is_stuck: bool,
    /// It takes so much longer.
    pub(super) delay: Duration,
    /// It fails, if it is a read.
    pub(super) is_unreadable: bool,
    /// A read gives so many bytes at most.
    pub(super) bytes_max: Option<u64>,
}

/// A plan in action.
pub(super) struct FaultPlan {
    faults: Vec<Fault>,
    /// Failed reads of each healing fault, by its place in the list.
    healing_reads: Mutex<HashMap<usize, u32>>,
}

fn touches(range: ByteRange, other: ByteRange) -> bool {
    range.offset < other.end() && other.offset < range.end()
}

impl FaultPlan {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        FaultPlan { faults, healing_reads: Mutex::default() }
    }

    /// What happens to a call about `range`, when `bytes_moved` have gone over since the drive was opened and
    /// it has been open for `age`.
    pub(super) fn verdict(&self, range: ByteRange, is_read: bool, bytes_moved: u64, age: Duration) -> Verdict {
        let mut verdict = Verdict::default();
        for (index, fault) in self.faults.iter().enumerate() {
            match fault {
                Fault::RemovedAfterBytes(bytes) => verdict.is_removed |= bytes_moved + range.length > *bytes,
                Fault::RemovedAfter(after) => verdict.is_removed |= age >= *after,
                Fault::Stuck(place) => verdict.is_stuck |= touches(*place, range),
                Fault::Slow { range: place, delay } if touches(*place, range) => {
                    verdict.delay = verdict.delay.saturating_add(*delay);
                }
                Fault::Unreadable(place) => verdict.is_unreadable |= is_read && touches(*place, range),
                Fault::Healing { range: place, after_reads } if is_read && touches(*place, range) => {
                    let mut reads = self.healing_reads.lock().unwrap_or_else(PoisonError::into_inner);
                    let failed = reads.entry(index).or_default();
                    if *failed < *after_reads {
                        *failed += 1;
                        verdict.is_unreadable = true;
                    }
                }
                Fault::ShortRead(place) if is_read && touches(*place, ByteRange::new(range.offset, 1)) && range.length > 1 => {
                    verdict.bytes_max = Some((range.length / 2).max(1));
                }
                _ => {}
            }
        }
        verdict
    }

    /// Flips bits where the drive rots.
    pub(super) fn rot(&self, bytes: &mut [u8], offset: u64) {
        let range = ByteRange::new(offset, bytes.len() as u64);
        for fault in &self.faults {
            if let Fault::Rotten(place) = fault
                && touches(*place, range)
            {
                let (start, end) = (place.offset.max(offset), place.end().min(range.end()));
                bytes[(start - offset) as usize..(end - offset) as usize].iter_mut().for_each(|byte| *byte ^= 0x10);
            }
        }
    }
}
