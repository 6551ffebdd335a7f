//! Every limit of the formats, in one list, with the sums behind it.

/// Kibibyte, in bytes.
pub const KIB: u64 = 1 << 10;
/// Mebibyte, in bytes.
pub const MIB: u64 = 1 << 20;
/// Gibibyte, in bytes.
pub const GIB: u64 = 1 << 30;

/// Chunk size where none was chosen. 8 MiB is where peers settled for blob storage: large enough
/// to hide a round trip, small enough that a cancel drains within a second.
pub const CHUNK_SIZE_DEFAULT_BYTES: u64 = 8 * MIB;

/// Smallest chunk: one sector of the smallest kind. Below it a record would outweigh its data.
pub const CHUNK_SIZE_MIN_BYTES: u64 = 512;

/// Largest chunk: a block of a block blob may have 4,000 MiB (Azure, Put Block).
pub const CHUNK_SIZE_MAX_BYTES: u64 = 4000 * MIB;

/// All buffers of a transfer together, where no size was chosen.
pub const MEMORY_DEFAULT_BYTES: u64 = 256 * MIB;

/// Longest line of a manifest. A line of [`UNREADABLE_RANGES_PER_LINE`] ranges of at most 64 characters has 2 MiB.
pub const MANIFEST_LINE_MAX_BYTES: usize = 4 << 20;

/// Unreadable ranges in one line of a manifest; a chunk that has more has several lines. The default chunk whose every
/// other sector is unreadable has 8,192.
pub const UNREADABLE_RANGES_PER_LINE: usize = 32 << 10;

/// Unreadable ranges of one chunk: the largest chunk, whose every other sector of 512 bytes is unreadable, has 4,096,000
/// (64 MB in memory). A file that claims more is damaged or hostile.
pub const UNREADABLE_RANGES_MAX: usize = (CHUNK_SIZE_MAX_BYTES / (2 * CHUNK_SIZE_MIN_BYTES)) as usize;
/// Ranges of one chunk that came from an image of the drive, as its record lists them: where there are more, neighbours
/// are joined.
pub const FROM_IMAGE_RANGES_MAX: usize = 1024;

/// Unreadable ranges and ranges from an image of all chunks of a transfer: they are kept in memory, where so many take half
/// a GiB. A drive with so many places that cannot be read is abandoned long before; a file that claims more is hostile.
pub const RANGES_OF_TRANSFER_MAX: u64 = 1 << 24;

/// Ranges of each list of a result that the job service keeps: about 50 KB. A failing drive may have a hundred times as
/// many; all of them are in the copy's error log.
pub const RANGES_KEPT_MAX: usize = 1000;

/// Chunks of one transfer. 2^26 chunks of 8 MiB are 512 TiB, more than twenty of the largest
/// drives; a file that claims more is damaged or hostile.
pub const CHUNKS_MAX: u64 = 1 << 26;

/// Size of a drive: as many chunks as there may be, each as large as it may be. About 2^58 bytes.
pub const DRIVE_MAX_BYTES: u64 = CHUNKS_MAX * CHUNK_SIZE_MAX_BYTES;

/// Progress lines a second, at most, with `--progress json`.
pub const PROGRESS_LINES_PER_SECOND_MAX: u32 = 5;

const _: () = assert!(CHUNK_SIZE_DEFAULT_BYTES.is_multiple_of(4096));
const _: () = assert!(CHUNK_SIZE_DEFAULT_BYTES <= CHUNK_SIZE_MAX_BYTES);
const _: () = assert!(MEMORY_DEFAULT_BYTES >= 4 * CHUNK_SIZE_DEFAULT_BYTES);
const _: () = assert!(UNREADABLE_RANGES_PER_LINE * 64 < MANIFEST_LINE_MAX_BYTES);
