//! What a drive says of its own condition: whether it expects to fail, how warm it is, and what it lost already.
//!
//! | file | responsibility |
//! |---|---|
//! | here | which drive is asked what |
//! | `ata` | SMART of ATA drives |
//! | `nvme` | the health page of NVMe controllers |

mod ata;
mod nvme;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use protocol::drives::{DriveHealth, Transport};
use rustix::fs::OFlags;

use crate::discovery::roots::Roots;
use crate::discovery::sysfs::SysfsDevice;
use crate::naming::is_asked;
use crate::pass_through::{PassThrough, SgIo, nvme_admin};

/// The condition of the drive behind the device node at `path`, or behind its partition. `None` where it says nothing, or this
/// process may not ask. It takes as long as the drive does to answer, which is seconds for one that sleeps.
pub fn health_at(path: &Path) -> Option<DriveHealth> {
    health_of(&Roots::default(), &SysfsDevice::of_node(&Roots::default(), path)?.disk())
}

/// The condition of a whole disk.
fn health_of(roots: &Roots, disk: &SysfsDevice) -> Option<DriveHealth> {
    let node = roots.dev.join(disk.kernel_name());
    let told = match disk.transport() {
        Transport::Nvme => of_controller(&node),
        Transport::Sata | Transport::Usb if is_asked(disk) => smart(&SgIo { node }),
        _ => None,
    };
    let health = told.unwrap_or_default();
    let health = DriveHealth { temperature_celsius: disk.temperature_celsius().or(health.temperature_celsius), ..health };
    (health != DriveHealth::default()).then_some(health)
}

fn of_controller(node: &Path) -> Option<DriveHealth> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let node = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(node).ok()?;
    let mut page = [0; nvme::PAGE_BYTES];
    nvme_admin::log_page(&node, nvme::HEALTH_PAGE, &mut page).ok()?;
    Some(nvme::decode(&page))
}

fn smart(pass_through: &dyn PassThrough) -> Option<DriveHealth> {
    let [values, limits] = [ata::VALUES, ata::LIMITS].map(|command| pass_through.read(&command, ata::SECTOR_BYTES));
    ata::decode(&values.ok()?, limits.ok().as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass_through::Refusal;

    /// A drive whose answers are these.
    struct Answers(Result<Vec<u8>, Refusal>, Result<Vec<u8>, Refusal>);

    impl PassThrough for Answers {
        fn read(&self, command: &[u8; 16], length: usize) -> Result<Vec<u8>, Refusal> {
            assert_eq!((command[0], command[14], length), (0x85, 0xb0, 512));
            // SMART READ DATA and SMART READ THRESHOLDS.
            if command[4] == 0xd0 { self.0.clone() } else { self.1.clone() }
        }
    }

    #[test]
    fn a_drive_that_tells_no_limits_still_tells_what_it_lost() {
        let values = ata::tests::values(&[(5, true, 100, 3), (194, false, 60, 41)]);
        let health = smart(&Answers(Ok(values), Err(Refusal::Refused))).unwrap();
        let expected = DriveHealth { temperature_celsius: Some(41), reallocated_sectors: Some(3), ..DriveHealth::default() };
        assert_eq!(health, expected, "whether it fails is not known");
        assert_eq!(smart(&Answers(Err(Refusal::Refused), Err(Refusal::Refused))), None);
    }

    #[test]
    fn the_kernel_tells_the_temperature_of_drives_that_are_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        for (place, millidegrees, expected) in [
            ("device/hwmon/hwmon3", "36000\n", Some(36)),
            ("device/hwmon2", "-5000", Some(-5)),
            ("device/hwmon/hwmon1", "warm", None),
        ] {
            let sys = folder.path().join(place.replace('/', "-"));
            let disk = sys.join("block/vda");
            std::fs::create_dir_all(disk.join(place)).unwrap();
            std::fs::write(disk.join(place).join("temp1_input"), millidegrees).unwrap();
            let roots = Roots { sys, ..Roots::default() };
            let disks = crate::discovery::sysfs::drives(&roots).unwrap();
            let told = disks.iter().find_map(|disk| health_of(&roots, disk)).and_then(|health| health.temperature_celsius);
            assert_eq!(told, expected, "{place}");
        }
    }

    #[test]
    fn files_have_no_condition() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(health_at(file.path()), None);
    }
}
