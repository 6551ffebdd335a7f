//! What a drive is opened for.

/// What a drive is opened for.
#[derive(Debug, Clone)]
pub struct Target {
    /// How many bytes it must take.
    pub needed_bytes: u64,
    /// What a person should know of the blob before they say that everything on the drive may go.
    pub warning: Option<String>,
}
