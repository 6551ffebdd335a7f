//! Whether an attached drive may be taken out when its transfer has ended.

use std::path::Path;

use protocol::drives::Verdict;

use crate::discovery::attached::attached_as;
use crate::discovery::roots::Roots;
use crate::discovery::sysfs::SysfsDevice;
use crate::pass_through::SgIo;

/// The whole disk behind a device node, as it was attached when it was looked at: another one may get the name later.
#[derive(Debug)]
pub struct AttachedDisk {
    disk: SysfsDevice,
    /// The kernel's number of this attachment.
    sequence: u64,
}

/// Why a drive may not be taken out yet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// It was taken out already; another drive may be there.
    #[error("another drive is there now, or none")]
    Gone,
    /// Something else uses it, or one of its partitions.
    #[error("it is in use: {0}")]
    InUse(String),
    /// Its motor did not stop.
    #[error("it did not spin down: it refused, or this user may not ask it")]
    StillSpins,
}

impl AttachedDisk {
    /// The disk behind a device node, or behind its partition; `None` where the path leads to no device.
    pub fn of(path: &Path) -> Option<Self> {
        let disk = SysfsDevice::of_node(&Roots::default(), path)?.disk();
        Some(AttachedDisk { sequence: disk.sequence(), disk })
    }

    /// Whether it is of a kind that can be told to stop its motor, and nothing else uses any part of it: this machine may run
    /// from it.
    pub fn can_spin_down(&self) -> bool {
        self.require_free().is_ok() && self.disk.kernel_name().starts_with("sd")
    }

    fn require_free(&self) -> Result<(), NotReleased> {
        if self.disk.sequence() != self.sequence {
            return Err(NotReleased::Gone);
        }
        match attached_as(&self.disk) {
            None => Err(NotReleased::Gone),
            Some(disk) if disk.verdict == Verdict::Free => Ok(()),
            Some(disk) => Err(NotReleased::InUse(disk.in_use_by.join("; "))),
        }
    }

    /// Makes sure that it may be taken out; with `spin_down` its motor is stopped, after it wrote down what it holds.
    ///
    /// # Errors
    /// With what is in the way.
    pub fn release(&self, spin_down: bool) -> Result<(), NotReleased> {
        self.require_free()?;
        if spin_down {
            let motor = SgIo { node: Roots::default().dev.join(self.disk.kernel_name()) };
            motor.stop_unit().map_err(|_| NotReleased::StillSpins)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_disk() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(AttachedDisk::of(file.path()).is_none());
    }
}
