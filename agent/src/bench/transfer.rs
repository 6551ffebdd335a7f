//! One transfer in a process of its own, so that its processor time and memory are those of this transfer alone. What it is to do comes
//! through standard input: addresses may hold signatures.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use copy::{SharedBudget, Stop, Target, TransferHandle, TransferOptions};
use drive::{Confirmation, Drive, Pace, TargetRequest};
use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use protocol::units::ByteSize;
use serde::{Deserialize, Serialize};

use super::ends::{NULL, NoBlob, NoDrive, ZERO};
use super::error::BenchError;
use super::process::measure;
use super::report::Run;
use crate::settings::{Reach, reach_blob};

/// What is to be transferred.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) direction: Direction,
    /// A path, or `null` or `zero`.
    pub(super) drive: String,
    /// Size of a drive that is `null` or `zero`, in bytes.
    pub(super) size_bytes: u64,
    /// A blob, or `null`.
    pub(super) blob: String,
    pub(super) state_dir: PathBuf,
    pub(super) chunk_size_bytes: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) concurrency: Option<usize>,
    pub(super) is_unpaced: bool,
    /// The word that confirms a device to be written.
    pub(super) confirm: Option<String>,
    /// So many at once, into blobs whose names are numbered.
    pub(super) count: usize,
    /// Memory of all of them together, where they share it as the bays of a station do.
    pub(super) total_memory_bytes: Option<u64>,
    /// The server of S3, where the blob is an object of it.
    #[serde(skip)]
    pub(super) s3_endpoint: Option<String>,
    /// Certificates that are trusted in place of the system's.
    #[serde(skip)]
    pub(super) trusted_certificates: Option<PathBuf>,
}

impl Order {
    /// One transfer as a user would begin it, with nothing chosen; journals go into `state_dir`.
    pub(super) fn new(direction: Direction, drive: String, blob: String, state_dir: PathBuf) -> Self {
        Order {
            direction,
            drive,
            size_bytes: 0,
            blob,
            state_dir,
            chunk_size_bytes: None,
            memory_bytes: None,
            concurrency: None,
            is_unpaced: false,
            confirm: None,
            count: 1,
            total_memory_bytes: None,
            s3_endpoint: None,
            trusted_certificates: None,
        }
    }
}

/// What a copy gets of memory that it shares: neither so little that it is slow, nor more than makes it faster.
const MEMORY_SHARE_BYTES: std::ops::RangeInclusive<u64> = 32 << 20..=128 << 20;

/// Keys that the sink takes, as it takes every one.
pub(super) const S3_KEYS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "bench"), ("AWS_SECRET_ACCESS_KEY", "bench"), ("AWS_REGION", "us-east-1")];

/// Whether a drive is none.
pub(super) fn is_nothing(drive: &str) -> bool {
    drive == NULL || drive == ZERO
}

/// Carries out one transfer in a process of its own.
pub(super) fn carry_out(order: &Order) -> Result<(Run, TransferResult), BenchError> {
    let (run, results) = carry_out_all(order)?;
    let result =
        results.into_iter().next().ok_or_else(|| BenchError::Failed("a transfer did not report its result".to_owned()))?;
    Ok((Run { stages: Some(result.stages), limited_by: Some(result.limited_by), ..run }, result))
}

/// Carries out an order in a process of its own.
pub(super) fn carry_out_all(order: &Order) -> Result<(Run, Vec<TransferResult>), BenchError> {
    let own = std::env::current_exe().map_err(|error| BenchError::Failed(format!("this program is not to be found: {error}")))?;
    let input = serde_json::to_vec(order).map_err(|error| BenchError::Failed(error.to_string()))?;
    let mut command = Command::new(own);
    command.args(["bench", "transfer"]);
    if let Some(certificates) = &order.trusted_certificates {
        command.env("SSL_CERT_FILE", certificates);
    }
    if let Some(endpoint) = &order.s3_endpoint {
        command.env("AWS_ENDPOINT_URL_S3", endpoint).envs(S3_KEYS);
    }
    let ended = measure(&mut command, &input)?;
    let results: Vec<TransferResult> = serde_json::from_slice(&ended.stdout)
        .map_err(|error| BenchError::Failed(format!("a transfer did not report its result: {error}")))?;
    match results.iter().find(|result| result.outcome != Outcome::Complete) {
        None => Ok((ended.run, results)),
        Some(failed) => {
            let why = failed.error.clone();
            Err(BenchError::Failed(why.unwrap_or_else(|| format!("a transfer ended {}", failed.outcome.sentence()))))
        }
    }
}

/// Does what standard input says, and prints the results.
pub(super) async fn run() -> u8 {
    let mut input = String::new();
    let order = match std::io::stdin().read_to_string(&mut input) {
        Ok(_) => serde_json::from_str(&input).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let results = match order {
        Ok(order) => transfers(order).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let results = results.and_then(|results| serde_json::to_string(&results).map_err(|error| error.to_string()));
    match results {
        Ok(text) => u8::from(std::io::stdout().write_all(text.as_bytes()).is_err()),
        Err(error) => {
            let _ = std::io::stderr().write_all(error.as_bytes());
            1
        }
    }
}

async fn transfers(order: Order) -> Result<Vec<TransferResult>, BenchError> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let shared_budget = order.total_memory_bytes.map(|_| Arc::new(SharedBudget::new(None, cores)));
    let mut running = Vec::new();
    for number in 0..order.count {
        let share = |total: u64| (total / order.count as u64).clamp(*MEMORY_SHARE_BYTES.start(), *MEMORY_SHARE_BYTES.end());
        let own = Order {
            blob: if order.count == 1 || order.blob == NULL { order.blob.clone() } else { format!("{}-{number}", order.blob) },
            // One journal each: `null` has one name.
            state_dir: if order.count == 1 { order.state_dir.clone() } else { order.state_dir.join(number.to_string()) },
            memory_bytes: order.memory_bytes.or(order.total_memory_bytes.map(share)),
            ..order.clone()
        };
        let shared_budget = shared_budget.clone();
        running.push(tokio::spawn(async move { transfer(&own, shared_budget).await }));
    }
    let mut results = Vec::new();
    for running in running {
        results.push(running.await.map_err(|error| BenchError::Failed(error.to_string()))??);
    }
    Ok(results)
}

async fn transfer(order: &Order, shared_budget: Option<Arc<SharedBudget>>) -> Result<TransferResult, BenchError> {
    let blob = match order.blob.as_str() {
        NULL => Arc::new(NoBlob),
        address => reach_blob(address, &Reach::of_environment()?)?.blob,
    };
    let options = TransferOptions {
        chunk_size: order.chunk_size_bytes.map(ByteSize),
        memory: order.memory_bytes.map(ByteSize),
        concurrency: order.concurrency,
        overwrite: true,
        restart: true,
        shared_budget,
        ..TransferOptions::new(order.state_dir.clone())
    };
    let link = TransferHandle::new(Stop::new(), |_| {});
    let pace = if order.is_unpaced { Pace::Unlimited } else { Pace::Scaled(1.0) };
    Ok(match order.direction {
        Direction::Import => copy::import(open_source(&order.drive, order.size_bytes, pace)?, blob, options, link).await?,
        Direction::Export => {
            let open = |Target { needed_bytes, .. }: Target| match is_nothing(&order.drive) {
                true => Ok(NoDrive::open(&order.drive, needed_bytes)),
                false => {
                    let confirmation = order.confirm.as_deref().map_or(Confirmation::None, Confirmation::Word);
                    drive::open_target(Path::new(&order.drive), &TargetRequest { needed_bytes, confirmation, pace })
                }
            };
            copy::export(Path::new(&order.drive), open, blob, options, link).await?
        }
    })
}

/// Opens a drive to read from; `null` and `zero` are there without being there.
pub(super) fn open_source(drive: &str, size_bytes: u64, pace: Pace) -> Result<Arc<dyn Drive>, BenchError> {
    Ok(match is_nothing(drive) {
        true => NoDrive::open(drive, size_bytes),
        false => drive::open_source(Path::new(drive), pace)?,
    })
}
