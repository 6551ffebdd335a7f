//! What was docked by hand, in a file, so that a restart finds it.

use std::io;
use std::path::{Path, PathBuf};

use drive::discovery::Docked;
use file::replace::write_bytes;
use serde::{Deserialize, Serialize};

use super::look::Looks;

/// A drive that was docked by hand, as it is kept: another one at the same path is not taken for it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct DockedByHand {
    pub(super) bay: String,
    pub(super) path: PathBuf,
    pub(super) drive_id: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) model: Option<String>,
    pub(super) size_bytes: u64,
}

impl DockedByHand {
    /// Whether it is still there.
    fn is_there(&self, looks: &Looks) -> bool {
        looks.at(&self.path).ok().flatten().is_some_and(|docked| self.is_of(&docked))
    }

    /// Whether it is this drive. What was kept before its bridge could be asked has the bridge's serial number, and the model
    /// as the bridge reports it.
    fn is_of(&self, docked: &Docked) -> bool {
        let is_same = (&docked.serial, &docked.model) == (&self.serial, &self.model);
        let was_of_bridge = docked.bridge_serial.is_some() && docked.bridge_serial == self.serial;
        docked.size_bytes == self.size_bytes && (is_same || was_of_bridge)
    }
}

/// What the file has and is still there. Without the file, or with one that cannot be read, nothing is.
pub(super) fn read(path: &Path, looks: &Looks) -> Vec<DockedByHand> {
    let kept = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let kept: Vec<DockedByHand> = kept.unwrap_or_default();
    kept.into_iter().filter(|docked| docked.is_there(looks)).collect()
}

/// Replaces the file.
pub(super) fn write(path: &Path, docked: &[DockedByHand]) -> io::Result<()> {
    write_bytes(path, &serde_json::to_vec(docked)?)
}
