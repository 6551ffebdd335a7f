//! Whole imports and exports over a matrix, in turn, each beside the limit of this machine for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use drive::{Confirmation, Pace, TargetRequest};
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::result::{Direction, TransferResult};
use protocol::units::ByteSize;
use time::OffsetDateTime;

use super::ends::NULL;
use super::error::BenchError;
use super::report::{Case, Limit, Machine, Measure, Report, Run, Spread};
use super::stages::{self, names};
use super::transfer::{Order, carry_out, is_nothing, open_source};
use super::turns;
use super::work::{Filling, WorkDir, remove, set_cache};
use crate::cli::{CacheWord, DirectionWord, MatrixArguments};
use crate::printer::Printer;
use crate::secrets::without_query;
use crate::settings::{Reach, ReachedBlob, reach_blob};

/// Requests at once when a store alone is read.
const GET_CONCURRENCY: usize = 8;

/// A source drive of the matrix.
struct Source {
    drive: String,
    /// Size in bytes.
    size: u64,
    /// Where it is a file whose pages may be in the cache.
    file: Option<PathBuf>,
}

/// A store of the matrix.
struct Store {
    blob: String,
    /// `null` has none.
    reached: Option<ReachedBlob>,
}

impl Store {
    fn shown(&self) -> String {
        match &self.reached {
            Some(ReachedBlob { path: Some(_), .. }) => "directory".to_owned(),
            _ => without_query(&self.blob),
        }
    }

    /// Starts over: no run finds what another made.
    fn clear(&self) -> Result<(), BenchError> {
        let Some(path) = self.reached.as_ref().and_then(|reached| reached.path.as_ref()) else { return Ok(()) };
        remove(path)?;
        remove(Path::new(&format!("{}{MANIFEST_SUFFIX}", path.display())))
    }
}

struct Matrix<'bench> {
    arguments: &'bench MatrixArguments,
    work: WorkDir,
    sources: Vec<Source>,
    stores: Vec<Store>,
    cases: Vec<(usize, usize, Case)>,
}

/// Measures what the command line asks for.
pub(super) async fn run(arguments: &MatrixArguments, printer: &Printer) -> Result<Report, BenchError> {
    let matrix = Matrix::new(arguments).await?;
    let mut report = Report::new();
    printer.inform("measuring what each stage alone can do");
    report.limits = matrix.limits(printer).await?;
    let done = matrix.transfers(&report.limits, printer);
    for store in &matrix.stores {
        store.clear()?;
    }
    report.measures = done?;
    Ok(report)
}

impl<'bench> Matrix<'bench> {
    async fn new(arguments: &'bench MatrixArguments) -> Result<Self, BenchError> {
        let work = WorkDir::new(arguments.common.work_dir.as_deref())?;
        let ByteSize(size) = arguments.size;
        let mut sources = Vec::new();
        for drive in &arguments.drive {
            let file = Path::new(drive);
            let is_file = file.is_file() && file.extension().is_none_or(|extension| extension != "toml");
            let opened = open_source(drive, size, Pace::Unlimited)?;
            sources.push(Source { drive: drive.clone(), size: opened.size_bytes(), file: is_file.then(|| file.to_owned()) });
        }
        if sources.is_empty() {
            let (path, _) = work.image("image", size, Filling::QuarterZero)?;
            sources.push(Source { drive: path.display().to_string(), size, file: Some(path) });
        }
        let mut blobs = arguments.store.clone();
        if blobs.is_empty() {
            blobs.push(work.path("blob.img").display().to_string());
        }
        let mut stores = Vec::new();
        for blob in blobs {
            let reached = if blob == NULL { None } else { Some(reach_blob(&blob, &Reach::of_environment()?)?) };
            if let Some(reached) = &reached {
                // Both are made and removed: neither may be a file of the user's.
                for blob in [reached.blob.clone(), reached.blob.sibling(MANIFEST_SUFFIX)] {
                    if blob.head().await?.is_some() {
                        let address = blob.address();
                        return Err(BenchError::Usage(format!(
                            "the blob `{address}` exists: name one that may be made and replaced"
                        )));
                    }
                }
            }
            stores.push(Store { blob, reached });
        }
        let mut matrix = Matrix { arguments, work, sources, stores, cases: Vec::new() };
        matrix.cases = matrix.all_cases();
        Ok(matrix)
    }

    fn all_cases(&self) -> Vec<(usize, usize, Case)> {
        let arguments = self.arguments;
        let warmths: &[bool] = match arguments.cache {
            CacheWord::Warm => &[true],
            CacheWord::Cold => &[false],
            CacheWord::Both => &[true, false],
        };
        let memories: Vec<Option<u64>> = match arguments.memory.as_slice() {
            [] => vec![None],
            some => some.iter().map(|memory| Some(memory.0)).collect(),
        };
        let mut cases = Vec::new();
        for (source, drive) in self.sources.iter().enumerate() {
            // What is in no page cache cannot be out of it.
            let warmths = if drive.file.is_some() { warmths } else { &[true] };
            for (store, blob) in self.stores.iter().enumerate() {
                for is_warm in warmths {
                    for chunk_size in &arguments.chunk_size {
                        for memory_bytes in &memories {
                            for concurrency in &arguments.concurrency {
                                let case = Case {
                                    drive: self.name_of(drive),
                                    store: blob.shown().to_owned(),
                                    chunk_size_bytes: chunk_size.0,
                                    memory_bytes: *memory_bytes,
                                    concurrency: concurrency.0,
                                    is_warm: *is_warm,
                                };
                                cases.push((source, store, case));
                            }
                        }
                    }
                }
            }
        }
        cases
    }

    fn name_of(&self, source: &Source) -> String {
        // A name that is the same in the next report.
        let is_own = source.drive == self.work.path("image").display().to_string();
        if is_own { format!("image of {}", ByteSize(source.size)) } else { source.drive.clone() }
    }

    fn wants(&self, direction: Direction) -> bool {
        matches!(
            (self.arguments.direction, direction),
            (DirectionWord::Both, _) | (DirectionWord::Import, Direction::Import) | (DirectionWord::Export, Direction::Export)
        )
    }

    async fn limits(&self, printer: &Printer) -> Result<Vec<Measure>, BenchError> {
        let repeat = self.arguments.common.repeat;
        let mut limits = tokio::task::block_in_place(|| stages::in_memory(repeat))?;
        for (index, source) in self.sources.iter().enumerate() {
            let warmths: Vec<bool> = [true, false].into_iter().filter(|warm| self.has_case(index, *warm)).collect();
            for is_warm in warmths {
                let mut runs = Vec::new();
                for _ in 0..repeat {
                    if let Some(file) = &source.file {
                        set_cache(file, is_warm)?;
                    }
                    let drive = open_source(&source.drive, source.size, self.pace())?;
                    runs.push(tokio::task::block_in_place(|| stages::drive_read(&drive))?);
                }
                limits.push(stages::limit(names::READ, &read_name(&self.name_of(source), is_warm), source.size, runs));
            }
        }
        let size = self.sources.iter().map(|source| source.size).min().unwrap_or_default().min(self.arguments.size.0);
        for store in &self.stores {
            let Some(reached) = &store.reached else { continue };
            let (mut puts, mut gets) = (Vec::new(), Vec::new());
            for _ in 0..repeat {
                store.clear()?;
                puts.push(stages::store_put(&reached.blob, size).await?);
                if let Some(path) = &reached.path {
                    set_cache(path, true)?;
                }
                gets.push(stages::store_get(&reached.blob, GET_CONCURRENCY).await?);
            }
            store.clear()?;
            limits.push(stages::limit(names::PUT, &store.shown(), size, puts));
            limits.push(stages::limit(names::GET, &store.shown(), size, gets));
        }
        if self.wants(Direction::Export) && !is_nothing(&self.target()) {
            let mut runs = Vec::new();
            for _ in 0..repeat {
                self.clear_target()?;
                let request = TargetRequest { needed_bytes: size, confirmation: self.confirmation(), pace: self.pace() };
                let drive = drive::open_target(Path::new(&self.target()), &request)?;
                drive.begin(&format!("{:032x}", OffsetDateTime::now_utc().unix_timestamp_nanos()))?;
                runs.push(tokio::task::block_in_place(|| stages::drive_write(&drive, size))?);
            }
            self.clear_target()?;
            limits.push(stages::limit(names::WRITE, "target", size, runs));
        }
        printer.inform(&format!("measuring {} cases, {repeat} times in turn", self.cases.len()));
        Ok(limits)
    }

    fn has_case(&self, source: usize, is_warm: bool) -> bool {
        self.cases.iter().any(|(index, _, case)| *index == source && case.is_warm == is_warm)
    }

    fn pace(&self) -> Pace {
        if self.arguments.real_time { Pace::Scaled(1.0) } else { Pace::Unlimited }
    }

    fn confirmation(&self) -> Confirmation<'_> {
        self.arguments.confirm.as_deref().map_or(Confirmation::None, Confirmation::Word)
    }

    /// The drive that exports write.
    fn target(&self) -> String {
        self.arguments.target.clone().unwrap_or_else(|| self.work.path("target").display().to_string())
    }

    /// An image of our own is made again each time.
    fn clear_target(&self) -> Result<(), BenchError> {
        if self.arguments.target.is_none() { remove(&self.work.path("target")) } else { Ok(()) }
    }

    fn transfers(&self, limits: &[Measure], printer: &Printer) -> Result<Vec<Measure>, BenchError> {
        let mut found: HashMap<(usize, Direction), (Vec<Run>, TransferResult)> = HashMap::new();
        for repetition in 0..self.arguments.common.repeat {
            printer.inform(&format!("repetition {} of {}", repetition + 1, self.arguments.common.repeat));
            for number in turns::order(self.cases.len(), repetition) {
                let (source, store, case) = &self.cases[number];
                let (source, store) = (&self.sources[*source], &self.stores[*store]);
                let has_blob = store.reached.is_some();
                store.clear()?;
                let mut note = |direction, (run, result): (Run, TransferResult)| {
                    found.entry((number, direction)).or_insert_with(|| (Vec::new(), result)).0.push(run);
                };
                if self.wants(Direction::Import) || has_blob {
                    if let Some(file) = &source.file {
                        set_cache(file, case.is_warm)?;
                    }
                    note(Direction::Import, carry_out(&self.order(Direction::Import, source, store, case))?);
                }
                if self.wants(Direction::Export) && has_blob {
                    self.clear_target()?;
                    if let Some(path) = store.reached.as_ref().and_then(|reached| reached.path.as_ref()) {
                        set_cache(path, case.is_warm)?;
                    }
                    note(Direction::Export, carry_out(&self.order(Direction::Export, source, store, case))?);
                    self.clear_target()?;
                }
            }
        }
        let mut measures = Vec::new();
        for direction in [Direction::Import, Direction::Export].into_iter().filter(|direction| self.wants(*direction)) {
            for (number, (_, _, case)) in self.cases.iter().enumerate() {
                let Some((runs, result)) = found.remove(&(number, direction)) else { continue };
                let data_share = 1.0 - result.bytes_zero as f64 / result.bytes_total.max(1) as f64;
                measures.push(Measure {
                    name: name_of(direction, case),
                    group: group_of(direction).to_owned(),
                    bytes: result.bytes_total,
                    runs,
                    limit: lowest(direction, case, data_share, limits),
                    case: Some(case.clone()),
                });
            }
        }
        Ok(measures)
    }

    fn order(&self, direction: Direction, source: &Source, store: &Store, case: &Case) -> Order {
        let drive = match direction {
            Direction::Import => source.drive.clone(),
            Direction::Export => self.target(),
        };
        Order {
            size_bytes: source.size,
            // An export has the chunks of its manifest.
            chunk_size_bytes: (direction == Direction::Import).then_some(case.chunk_size_bytes),
            memory_bytes: case.memory_bytes,
            concurrency: case.concurrency,
            is_unpaced: !self.arguments.real_time,
            confirm: self.arguments.confirm.clone(),
            ..Order::new(direction, drive, store.blob.clone(), self.work.path("state"))
        }
    }
}

fn group_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Import => "import",
        Direction::Export => "export",
    }
}

fn name_of(direction: Direction, case: &Case) -> String {
    let concurrency = case.concurrency.map_or_else(|| "auto".to_owned(), |number| number.to_string());
    let memory = case.memory_bytes.map(|bytes| format!(", memory {}", ByteSize(bytes))).unwrap_or_default();
    let cache = if case.is_warm { "" } else { ", cold" };
    format!(
        "{}: {} and {}, chunks {}, concurrency {concurrency}{memory}{cache}",
        group_of(direction),
        case.drive,
        case.store,
        ByteSize(case.chunk_size_bytes)
    )
}

fn read_name(drive: &str, is_warm: bool) -> String {
    if is_warm { drive.to_owned() } else { format!("{drive}, cold") }
}

/// The lowest limit of a case. `data_share` of its bytes are not zeros: only they are hashed and moved.
fn lowest(direction: Direction, case: &Case, data_share: f64, limits: &[Measure]) -> Option<Limit> {
    let find = |name: &str| limits.iter().find(|limit| limit.name == name);
    let of = |stage: &str, what: &str| find(&format!("{stage}: {what}"));
    let hash = find(names::HASH_ALL);
    let parts = match direction {
        Direction::Import => [
            (names::READ, of(names::READ, &read_name(&case.drive, case.is_warm)), 1.0),
            (names::HASH_ALL, hash, data_share),
            (names::PUT, of(names::PUT, &case.store), data_share),
        ],
        Direction::Export => [
            (names::GET, of(names::GET, &case.store), data_share),
            (names::HASH_ALL, hash, data_share),
            (names::WRITE, of(names::WRITE, "target"), data_share),
        ],
    };
    // What was not measured costs nothing: `null` and `zero`.
    let parts: Vec<(&str, &Measure, f64)> =
        parts.into_iter().filter_map(|(name, measure, share)| Some((name, measure?, share))).collect();
    let per_byte =
        |figure: Option<Spread>, measure: &Measure| figure.map_or(0.0, |spread| spread.median) / measure.bytes.max(1) as f64;
    let limit = |name: &str, seconds: f64| Limit { name: name.to_owned(), bytes_per_second: 1.0 / seconds.max(1e-15) };
    let alone = parts.iter().map(|(name, measure, share)| limit(name, per_byte(measure.seconds(), measure) * share));
    let cpu = |measure: &Measure| Spread::of(measure.runs.iter().map(|run| run.cpu_seconds));
    let cpu_seconds: f64 = parts.iter().map(|(_, measure, share)| per_byte(cpu(measure), measure) * share).sum();
    let together = limit(names::PROCESSORS, cpu_seconds / Machine::here().cores as f64);
    alone.chain([together]).min_by(|one, other| one.bytes_per_second.total_cmp(&other.bytes_per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_of(name: &str, bytes_per_second: f64, cpu_share: f64) -> Measure {
        let run = Run { seconds: 1e9 / bytes_per_second, cpu_seconds: 1e9 / bytes_per_second * cpu_share, ..Run::default() };
        Measure {
            name: name.to_owned(),
            group: "limits".to_owned(),
            bytes: 1_000_000_000,
            runs: vec![run],
            case: None,
            limit: None,
        }
    }

    #[test]
    fn the_lowest_limit_counts_zeros_only_where_they_cost() {
        let case = Case {
            drive: "d".into(),
            store: "s".into(),
            chunk_size_bytes: 1,
            memory_bytes: None,
            concurrency: None,
            is_warm: true,
        };
        let limits =
            [limit_of("drive read: d", 4e9, 0.0), limit_of(names::HASH_ALL, 3e9, 0.0), limit_of("store put: s", 2e9, 0.0)];
        let found = lowest(Direction::Import, &case, 1.0, &limits).unwrap();
        assert_eq!((found.name.as_str(), found.bytes_per_second.round()), (names::PUT, 2e9));
        let found = lowest(Direction::Import, &case, 0.25, &limits).unwrap();
        assert_eq!((found.name.as_str(), found.bytes_per_second.round()), (names::READ, 4e9));
        // What every stage needs of the processors can be more than there is.
        let busy: Vec<Measure> = limits.iter().map(|limit| limit_of(&limit.name, limit.rate().unwrap().median, 1000.0)).collect();
        assert_eq!(lowest(Direction::Import, &case, 1.0, &busy).unwrap().name, names::PROCESSORS);
    }
}
