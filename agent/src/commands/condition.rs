//! The condition of an attached drive: told before it is copied and when it gets worse, and whether it may be taken out at the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use drive::{AttachedDisk, NotReleased};
use protocol::outcome::EXIT_USAGE;
use tokio::task::JoinHandle;

use crate::printer::Printer;

/// Time between two looks at the condition of a drive that is copied: it changes slowly, and asking costs the drive a moment.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Looks at the condition of a drive until it is dropped.
pub(super) struct ConditionWatch {
    task: JoinHandle<()>,
}

impl ConditionWatch {
    /// Tells how the drive is, where it says so itself, and warns of what a person should know, once for each warning.
    pub(super) fn start(drive: &Path, printer: &Printer) -> Self {
        let (drive, printer) = (drive.to_owned(), printer.clone());
        let task = tokio::spawn(async move {
            let (mut is_told, mut warned) = (false, None);
            loop {
                let path = drive.clone();
                let health = tokio::task::spawn_blocking(move || drive::health_at(&path)).await;
                // A drive that says nothing is not asked again.
                let Ok(Some(health)) = health else { return };
                if let Some(text) = health.described().filter(|_| !is_told) {
                    printer.inform(&format!("`{}`: {text}", drive.display()));
                }
                is_told = true;
                let warning = health.warning();
                if let Some(text) = warning.as_ref().filter(|_| warning != warned) {
                    printer.warn(text);
                }
                warned = warning.or(warned);
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        });
        ConditionWatch { task }
    }
}

impl Drop for ConditionWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What becomes of a drive when its transfer is complete.
pub(super) struct Release {
    drive: PathBuf,
    /// The disk that it is; `None` where it is a file.
    disk: Option<AttachedDisk>,
    spin_down: bool,
}

impl Release {
    /// What was asked for.
    ///
    /// # Errors
    /// The exit code, where the drive cannot be spun down: that was said.
    pub(super) fn of(drive: &Path, spin_down: bool, printer: &Printer) -> Result<Self, u8> {
        let disk = AttachedDisk::of(drive);
        if spin_down && !disk.as_ref().is_some_and(AttachedDisk::can_spin_down) {
            printer.error(&format!(
                "`--spin-down` is for SATA, SAS and USB drives that are attached and that nothing else uses, and `{}` is none: leave it out",
                drive.display()
            ));
            return Err(EXIT_USAGE);
        }
        Ok(Release { drive: drive.to_owned(), disk, spin_down })
    }

    /// Says that an attached drive may be taken out, after it was spun down where that was asked for; or why it may not. Whether
    /// it may.
    pub(super) fn carry_out(self, printer: &Printer) -> bool {
        let Some(disk) = self.disk else { return false };
        let drive = self.drive.display();
        let released = disk.release(self.spin_down);
        match &released {
            Ok(()) if self.spin_down => printer.inform(&format!("`{drive}` is safe to remove: it has spun down")),
            Ok(()) => printer.inform(&format!("`{drive}` is safe to remove: it holds everything that was written")),
            Err(why @ NotReleased::InUse(_)) => {
                printer.warn(&format!("do not take `{drive}` out yet: it holds everything that was written, but {why}"));
            }
            Err(why) => printer.warn(&format!("`{drive}` held everything that was written, but {why}")),
        }
        released.is_ok()
    }
}
