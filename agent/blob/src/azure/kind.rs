//! Which kind of blob it is.

/// Which kind of blob an import makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobKind {
    /// A block blob: appears at once with its block list.
    Block,
    /// A page blob: sparse, random access; carries a mark until it is whole.
    Page,
}
