//! Parsers of this crate that nothing outside of it calls: for the fuzz targets of the tests.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use protocol::drives::{AttachedDrive, Layout};

use crate::contract::Drive;
use crate::discovery::roots::Roots;
use crate::naming::fuzzing as naming;
use crate::simulated::SimulatedDrive;

pub use naming::{ata_name, is_answer_good, is_filling, is_listed, nvme_name, serials_of_pages};

/// The disk identifier of a GPT or MBR in the first two sectors.
pub fn partition_table_id(bytes: &[u8], sector: usize) -> Option<String> {
    crate::identify::parse_partition_table_id(bytes, sector)
}

/// The partition table and the marks of file systems of a drive that a file stands for.
///
/// # Errors
/// When the file cannot be read.
pub fn layout(file: &File, size: u64, sector: u64) -> io::Result<Layout> {
    crate::discovery::layout(file, size, sector)
}

/// Every drive of a machine whose `sys`, `proc` and `dev` are folders of `machine`.
///
/// # Errors
/// When there is no list of drives.
pub fn attached(machine: &Path) -> io::Result<Vec<AttachedDrive>> {
    let at = |name: &str| machine.join(name);
    crate::discovery::attached(&Roots { sys: at("sys"), proc: at("proc"), dev: at("dev") })
}

/// The drive that a profile describes; nothing where it needs files, or hangs.
///
/// # Errors
/// The place of a mistake in `text`, and what was expected there.
pub fn profile(text: &str) -> Result<Option<impl Drive + use<>>, (Option<Range<usize>>, String)> {
    SimulatedDrive::of_text(text).map_err(|mistake| (mistake.place, mistake.expected))
}
