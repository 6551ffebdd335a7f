//! How the copy of a drive ended, as its job is told.

/// How the copy of a drive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyEnd {
    /// All of it landed.
    Complete,
    /// It landed, but for places that could not be read, or with errors.
    WithErrors,
    /// It failed.
    Failed,
    /// It was drained for a cancel: its receipt says what moved.
    Cancelled,
}
