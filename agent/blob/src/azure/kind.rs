//! Which kind of blob it is.

/// Which kind of blob an import makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobKind {
    /// A block blob: appears at once with its block list.
    Block,
    /// A page blob: sparse, random access; carries a mark until it is whole.
    Page,
}

/// What is made of a page blob beside its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageForm {
    /// It becomes a fixed VHD: a whole number of MiB, and a footer behind them.
    pub is_vhd: bool,
    /// It exists, and is written into: it may be neither made nor marked.
    pub is_existing: bool,
}
