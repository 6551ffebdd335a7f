//! The condition of an attached drive: told before it is copied and when it gets worse, and whether it may be taken out at the end.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    spin_down: bool,
}

impl Release {
    /// What was asked for.
    ///
    /// # Errors
    /// The exit code, where the drive cannot be spun down: that was said.
    pub(super) fn of(drive: &Path, spin_down: bool, printer: &Printer) -> Result<Self, u8> {
        if spin_down && !drive::has_motor_command(drive) {
            printer.error(&format!(
                "`--spin-down` is for SATA, SAS and USB drives that are attached and that nothing else uses, and `{}` is none: leave it out",
                drive.display()
            ));
            return Err(EXIT_USAGE);
        }
        Ok(Release { drive: drive.to_owned(), spin_down })
    }

    /// Says that an attached drive may be taken out, after it was spun down where that was asked for. `exit_code` is how the
    /// transfer ended: nothing is said of one that is to go on.
    pub(super) fn carry_out(self, exit_code: u8, printer: &Printer) -> u8 {
        let is_device = std::fs::metadata(&self.drive).is_ok_and(|found| found.file_type().is_block_device());
        if exit_code != 0 || !is_device {
            return exit_code;
        }
        let drive = self.drive.display();
        match self.spin_down.then(|| drive::spin_down(&self.drive)) {
            None => printer.inform(&format!("`{drive}` is safe to remove: it holds everything that was written")),
            Some(Ok(())) => printer.inform(&format!("`{drive}` is safe to remove: it has spun down")),
            Some(Err(why)) => {
                printer.warn(&format!("`{drive}` holds everything that was written, and did not spin down: {why}"));
            }
        }
        exit_code
    }
}
