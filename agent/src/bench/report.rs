//! What was measured, as it is kept.

use protocol::result::{LimitedBy, StageSeconds};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Version of the format.
pub(super) const FORMAT: u32 = 1;

/// Everything that was measured in one run of a bench.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) format: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) made_at: OffsetDateTime,
    pub(super) machine: Machine,
    /// What a stage alone can do.
    pub(super) limits: Vec<Measure>,
    /// Whole transfers, and the same work of others.
    pub(super) measures: Vec<Measure>,
    /// What could not be measured, and what would make it possible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<String>,
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) program: String,
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) has_sha_instructions: bool,
    pub(super) memory_bytes: u64,
    pub(super) kernel: String,
}

/// Something that was done a few times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measure {
    /// The same in every report about the same work.
    pub(super) name: String,
    /// What belongs together: `import`, `export`, `peers: …`, `limits`.
    pub(super) group: String,
    /// Bytes of the drive that one run covers.
    pub(super) bytes: u64,
    pub(super) runs: Vec<Run>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) case: Option<Case>,
    /// The lowest limit of this work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Limit>,
}

/// One of the combinations of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) drive: String,
    pub(super) store: String,
    pub(super) chunk_size_bytes: u64,
    /// The default where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) memory_bytes: Option<u64>,
    /// Chosen by the program where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) concurrency: Option<usize>,
    /// Whether the source was in the page cache.
    pub(super) is_warm: bool,
}

/// The slowest part of some work, if it had the machine to itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) bytes_per_second: f64,
}

/// One time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) seconds: f64,
    /// Processor time of all threads.
    pub(super) cpu_seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) peak_memory_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stages: Option<StageSeconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) limited_by: Option<LimitedBy>,
    /// Of many drives at once: the rate of the slowest as a share of that of the fastest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fairness: Option<f64>,
}

/// A few figures of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` where there are no figures.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Spread { min, median, max })
    }
}

impl Measure {
    /// The name, and what else a reader wants to know at a glance.
    pub(super) fn shown_name(&self) -> String {
        let fairness = Spread::of(self.runs.iter().filter_map(|run| run.fairness));
        let fairness = fairness.map(|spread| format!(", the slowest at {:.0} % of the fastest", 100.0 * spread.median));
        format!("{}{}", self.name, fairness.unwrap_or_default())
    }

    pub(super) fn seconds(&self) -> Option<Spread> {
        Spread::of(self.runs.iter().map(|run| run.seconds))
    }

    /// Bytes of the drive a second.
    pub(super) fn rate(&self) -> Option<Spread> {
        Spread::of(self.runs.iter().map(|run| self.bytes as f64 / run.seconds.max(1e-9)))
    }

    /// Processor seconds for each GiB of the drive.
    pub(super) fn cpu_per_gibibyte(&self) -> Option<Spread> {
        let gibibytes = (self.bytes as f64 / f64::from(1 << 30)).max(1e-9);
        Spread::of(self.runs.iter().map(|run| run.cpu_seconds / gibibytes))
    }

    pub(super) fn peak_memory_bytes(&self) -> Option<u64> {
        self.runs.iter().filter_map(|run| run.peak_memory_bytes).max()
    }

    /// What most runs said that limited them.
    pub(super) fn limited_by(&self) -> Option<LimitedBy> {
        let said: Vec<LimitedBy> = self.runs.iter().filter_map(|run| run.limited_by).collect();
        said.iter().copied().max_by_key(|one| said.iter().filter(|other| *other == one).count())
    }

    /// The median as a share of the limit.
    pub(super) fn share_of_limit(&self) -> Option<f64> {
        Some(self.rate()?.median / self.limit.as_ref()?.bytes_per_second)
    }
}

impl Machine {
    pub(super) fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let processors = read("/proc/cpuinfo");
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kibibytes: u64 = memory.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Machine {
            program: format!("drive-agent {}", env!("CARGO_PKG_VERSION")),
            processor: field(&processors, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            has_sha_instructions: field(&processors, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "sha_ni")),
            memory_bytes: kibibytes << 10,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl Report {
    pub(super) fn new() -> Self {
        Report {
            format: FORMAT,
            made_at: OffsetDateTime::now_utc(),
            machine: Machine::here(),
            limits: Vec::new(),
            measures: Vec::new(),
            missing: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_stands_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
