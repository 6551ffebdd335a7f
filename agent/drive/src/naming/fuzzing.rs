//! What fuzz targets try of names.

use super::list::WeakSerials;
use super::{ata, command, nvme, vpd, weak};
use crate::pass_through::Ending;

/// The serial and model number in an answer to IDENTIFY DEVICE.
pub fn ata_name(answer: &[u8]) -> Option<(String, Option<String>)> {
    (ata::IDENTIFY.decode)(answer).map(pair)
}

/// The serial and model number in an answer of an NVMe controller.
pub fn nvme_name(answer: &[u8]) -> Option<(String, Option<String>)> {
    nvme::decode(answer).map(pair)
}

fn pair(name: command::OwnName) -> (String, Option<String>) {
    (name.serial, name.model)
}

/// The serial numbers in vital product data, read as page 80h and as page 83h.
pub fn serials_of_pages(page: &[u8]) -> [Option<String>; 2] {
    [vpd::serial_of_page_80(page), vpd::ata_serial_of_page_83(page)]
}

/// Whether a SCSI command that ended so has an answer.
pub fn is_answer_good(status: u8, host_status: u16, sense: &[u8]) -> bool {
    Ending { status, host_status }.judge(sense).is_ok()
}

/// Whether a serial number is a filling or too short.
pub fn is_filling(serial: &str) -> bool {
    weak::is_placeholder(serial) || weak::is_too_short(serial)
}

/// Whether an operator's list has a serial number.
///
/// # Errors
/// The line of the list that is not understood, and why.
pub fn is_listed(list: &str, serial: &str) -> Result<bool, (usize, String)> {
    WeakSerials::parse(list).map(|list| list.has(serial))
}
