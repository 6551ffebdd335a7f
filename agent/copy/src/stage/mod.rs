//! What does one thread or task of a pipeline do? One file for each kind; they import chunks and tools, never each other.
//! Only `rescue` is reading by other means, and belongs to `read`.
//!
//! | file | from → to | runs on |
//! |---|---|---|
//! | [`read`] | drive → `ReadChunk` | one to four threads |
//! | [`rescue`] | failing drive → `ReadChunk` | one thread |
//! | [`hash`] | `ReadChunk` → `HashedChunk` | the hash pool |
//! | [`send`] | `HashedChunk` → `LandedChunk` | one task, and one for each request |
//! | [`fetch`] | blob → `FetchedChunk` | one task, and one for each request |
//! | [`write`] | `FetchedChunk` → `CheckedChunk` → `LandedChunk` | the hash pool, then the drive's threads |
//! | [`record`] | `LandedChunk` → journal | one thread |
//!
//! # The life of a chunk
//! An import, file by file; an export goes the other way with the same rules.
//!
//! 1. `plan.rs` says which chunk is next: one that the journal does not have, or that is to be compared.
//! 2. `read` asks the stop (`call/stop.rs`), waits for the rate (`flow/rate.rs`) and for a buffer (`flow/pool.rs`), and reads
//!    the drive into it. From here on the chunk **drains**: no later stage asks the stop. A range that the file system calls
//!    a hole (`source/holes.rs`) gets no buffer.
//! 3. `hash` gives it its SHA-256 in the hash pool (`hashing/hash_pool.rs`); zeros are found and not hashed.
//! 4. `send` puts it into the store (`flow/attempts.rs` tries again, inside one budget), a content that the store holds
//!    already only once. From the first request until the answer the chunk is **unknown** in the table
//!    (`record/table.rs`). When it landed, its buffer goes back.
//! 5. `record` syncs the target, then appends to the journal (`record/journal.rs`) and syncs that, then updates the counters
//!    (`call/counters.rs`). Now its share of the memory budget is free.
//!
//! # Where memory is bounded
//! By the buffers alone: a chunk counts against the pool from its read until it is recorded. Channels between stages are
//! bounded by [`BODILESS_CHUNKS_MAX`](crate::limits::BODILESS_CHUNKS_MAX), for chunks that have no body.
//!
//! # What ends what
//! The first stage ends at a stop, at the end of the plan, or at the first failure (`flow/failure.rs`), and drops its channel;
//! each stage ends when the channel before it is empty and closed. The recorder is the last, and gives the journal back.
//! A panic of a thread or a task is a failure of its stage (`flow/threads.rs`).
//! What hangs is abandoned: a drive's call by its watchdog (`flow/watchdog.rs`), a request by its timeout, everything after
//! the drain timeout (`flow/drain.rs`). Then `import/complete.rs` and `export/complete.rs` say what moved.

pub(crate) mod fetch;
pub(crate) mod hash;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod rescue;
pub(crate) mod send;
pub(crate) mod write;
