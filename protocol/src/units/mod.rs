//! Bytes, ranges and rates, and how a drive is cut into chunks.

mod chunk;
mod duration;
mod range;
mod rate;
mod size;

pub use chunk::{ChunkGeometry, ChunkIndex, GeometryError};
pub use duration::parse_duration;
pub use range::{ByteRange, RangeList};
pub use rate::ByteRate;
pub use size::{ByteSize, SizeError, sizes_apart};
