//! Every limit of the engine, in one list, with the sums behind it.

use std::time::Duration;

/// Most buffers of one transfer. With small chunks the budget would pay for hundreds of thousands;
/// no store is served better by more than this in flight.
pub(crate) const BUFFERS_MAX: u64 = 1024;

/// Buffers with which a transfer begins: a reader or two, four chunks hashed side by side, four writes, and a little.
pub(crate) const WORKING_SET_BUFFERS: usize = 12;

/// Small buffers cost little: as many as this pays for are there from the beginning.
pub(crate) const WORKING_SET_BYTES: usize = 96 << 20;

/// How long a buffer that was used before is waited for before more are made.
pub(crate) const WARM_TIMEOUT: Duration = Duration::from_millis(50);

/// Divisor of the memory budget that makes a journal batch: what landed and is not recorded yet keeps
/// its share of the budget, so that a kill repeats at most one budget; a quarter leaves the rest to move on while
/// the batch is synced. A chunk keeps its share through its retries too: they need no reserve.
pub(crate) const BATCH_DIVISOR: u64 = 4;

/// Chunks without a body (zeros, chunks the store has) between two stages. They cost a hundred bytes
/// each.
pub(crate) const BODILESS_CHUNKS_MAX: usize = 4096;

/// Records of one journal batch. At 250 bytes a record the text stays around a megabyte.
pub(crate) const RECORDS_PER_BATCH_MAX: usize = 4096;

/// Longest command line that a journal keeps: a longer one, such as with thousands of metadata, is in the shell's history alone.
pub(crate) const COMMAND_BYTES_MAX: usize = 64 << 10;

/// The longest that a landed chunk waits for its record while others arrive.
pub(crate) const RECORD_INTERVAL: Duration = Duration::from_millis(250);

/// How often a message says that requests are being repeated.
pub(crate) const OUTAGE_NOTICE_INTERVAL: Duration = Duration::from_secs(30);

/// How often the watchdog looks at reads under way.
pub(crate) const WATCHDOG_INTERVAL: Duration = Duration::from_millis(100);

/// After an abort: how long local writes under way may take to end, and how long the store is asked
/// what it holds. Together with the watchdog's interval an abort ends within two seconds.
pub(crate) const ABORT_GRACE: Duration = Duration::from_millis(700);

/// How long the store is asked what it holds after a stop that was not an abort.
pub(crate) const INQUIRY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a store that is busy is left alone before it is asked again what it holds.
pub(crate) const INQUIRY_INTERVAL: Duration = Duration::from_millis(200);

/// Requests to a store that was not reached yet are repeated this long where no budget was chosen: a wrong
/// address should not take all of it to be reported.
pub const FIRST_CONTACT_BUDGET: Duration = Duration::from_secs(5);

/// A request's body is expected to move at least at this rate, in bytes a second; the time for it is
/// added to the request timeout.
pub(crate) const SLOWEST_BODY_BYTES_PER_SECOND: u64 = 256 << 10;

/// The smallest read while a failing drive is copied: ddrescue's cluster.
pub(crate) const RESCUE_READ_BYTES_MIN: u64 = 64 << 10;

/// How long it may take to see that nothing is on a drive: a thousand places of a disk, or two gibibytes of a slow one.
pub(crate) const BLANK_LOOK_TIMEOUT: Duration = Duration::from_secs(120);

/// Longest mapfile that is read: two million blocks of 32 characters.
pub(crate) const MAPFILE_BYTES_MAX: u64 = 64 << 20;

/// Reads that may hang in one rescue; each leaves a thread behind.
pub(crate) const HANGING_READS_MAX: u32 = 16;

/// How often the map of a failing drive is saved: ddrescue's shortest interval.
pub(crate) const RESCUE_SAVE_INTERVAL: Duration = Duration::from_secs(30);

/// After so many failed reads in a row a place that was good is read again: is the drive still there?
pub(crate) const FAILURES_UNTIL_ASKED: usize = 8;

/// A read that takes so long and succeeds was repeated inside the drive: it is failing. A healthy one
/// answers a megabyte within a tenth of a second, a sleeping one is awake when the reading begins.
pub(crate) const LATENCY_CLIFF: Duration = Duration::from_secs(3);

/// Chunks that are read again before an export is resumed, to see that the drive is still the one.
pub(crate) const RESUME_PROBES: u64 = 16;

/// Runs of data that are counted before an import, to see how much room it needs; what lies behind them counts whole.
pub(crate) const HOLES_COUNTED_MAX: u32 = 65_536;

/// The beginning of a manifest, which holds its first line, in bytes.
pub(crate) const MANIFEST_BEGINNING_BYTES: u64 = 64 << 10;

/// Pieces in which the drive behind the blob's end is cleared. Between two of them the token is looked
/// at.
pub(crate) const CLEAR_PIECE_BYTES: u64 = 16 << 20;

/// How long a whole chunk may take to read on top of the time limit of one read: a drive that gives less than
/// a megabyte a second is failing.
pub(crate) fn slowest_read(bytes: u64) -> Duration {
    Duration::from_secs(bytes >> 20)
}

/// Pieces in which a chunk is written: each has the whole time limit for itself, so that a slow drive is
/// not taken for a dead one.
pub(crate) const WRITE_PIECE_BYTES: usize = 8 << 20;

/// Longest sampling of a drive, which is many reads: a slow place must not keep an import from beginning.
pub(crate) const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest sync of a drive: a disk that has much in its cache takes minutes.
pub(crate) const DRIVE_SYNC_TIMEOUT: Duration = Duration::from_secs(300);

/// Most readers that are tried on a drive. Four reads of a megabyte keep the fastest flash busy.
pub(crate) const READERS_MAX: usize = 4;

/// A single read that takes longer is stuck, and does not keep others from reading: it is about a few megabytes at most.
pub(crate) const STUCK_CALL: Duration = Duration::from_millis(500);

/// Most hashing threads; beyond this memory bandwidth is spent.
pub(crate) const HASH_THREADS_MAX: usize = 64;
