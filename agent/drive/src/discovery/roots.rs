//! Where the kernel publishes what it knows.

use std::path::PathBuf;

/// Where the kernel's file systems are: elsewhere only in tests.
#[derive(Debug, Clone)]
pub struct Roots {
    pub(crate) sys: PathBuf,
    pub(crate) proc: PathBuf,
    pub(crate) dev: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Roots { sys: "/sys".into(), proc: "/proc".into(), dev: "/dev".into() }
    }
}
