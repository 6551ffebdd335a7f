//! What cannot be said for certain about the bytes of an import.

/// What cannot be said for certain about the bytes of this import.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trust {
    /// What an earlier run left at the store was looked at in some places only.
    pub(super) target_is_sampled: bool,
    /// The drive is taken for the one of an earlier run by some places only.
    pub(super) source_is_sampled: bool,
    /// The drive was modified while it was read, or after it.
    pub(super) source_changed: bool,
}
