//! What a hostile drive says of itself, and profiles of simulated ones.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use drive::Drive as _;
use drive::fuzzing;
use protocol::arm::{drive_id_of, is_drive_id};

use crate::Target;

pub const TARGETS: &[Target] = &[
    Target { name: "layout", run: layout },
    Target { name: "names", run: names },
    Target { name: "weak-serials", run: weak_serials },
    Target { name: "machine", run: machine },
    Target { name: "profile", run: profile },
];

thread_local! {
    static DISK: RefCell<File> = RefCell::new(tempfile::tempfile().unwrap());
    static MACHINE: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().unwrap());
}

fn layout(bytes: &[u8]) {
    let Some((kind, content)) = bytes.split_first() else { return };
    let sector = if kind & 1 == 0 { 512 } else { 4096 };
    let size = content.len().next_multiple_of(sector).max(sector) as u64;
    let layout = DISK.with_borrow(|disk| {
        disk.set_len(0).unwrap();
        disk.set_len(size).unwrap();
        disk.write_all_at(content, 0).unwrap();
        fuzzing::layout(disk, size, sector as u64).expect("every byte of the drive can be read")
    });
    for partition in layout.partitions {
        let end = partition.offset.checked_add(partition.length).expect("it has an end");
        assert!(partition.length > 0 && end <= size, "a partition lies on its drive");
    }
    if let Some(id) = fuzzing::partition_table_id(content, sector) {
        assert!(id.starts_with("gpt:") || id.starts_with("mbr:"), "{id}");
    }
}

/// A number that a drive tells becomes the name of a blob, and stands in commands that are shown.
fn require_name(serial: &str) {
    if let Some(id) = drive_id_of(serial) {
        assert!(is_drive_id(&id), "{id:?}");
    }
    let _ = fuzzing::is_filling(serial);
}

fn names(bytes: &[u8]) {
    let padded = |length: usize| [bytes, &vec![0; length.saturating_sub(bytes.len())]].concat()[..length].to_vec();
    let ata = [fuzzing::ata_name(bytes), fuzzing::ata_name(&padded(512))];
    let nvme = [fuzzing::nvme_name(bytes), fuzzing::nvme_name(&padded(4096))];
    for (serial, model) in ata.into_iter().chain(nvme).flatten() {
        let is_printable = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        assert!(!serial.trim().is_empty() && is_printable(&serial) && model.is_none_or(|model| is_printable(&model)));
        require_name(&serial);
    }
    for serial in fuzzing::serials_of_pages(bytes).into_iter().flatten() {
        assert!(!serial.trim().is_empty());
        require_name(&serial);
    }
    if let [status, host_status, sense @ ..] = bytes {
        let is_good = fuzzing::is_answer_good(*status, u16::from(*host_status), sense);
        assert!(!is_good || *host_status == 0, "the host met something");
    }
}

fn weak_serials(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (list, serial) = text.rsplit_once('\n').unwrap_or((text, ""));
    match fuzzing::is_listed(list, serial) {
        Ok(_) => {}
        Err((line, why)) => assert!((1..=list.lines().count()).contains(&line) && !why.is_empty()),
    }
    require_name(serial);
}

/// Files of a machine with one drive, in the order in which an input has them.
const FILES: [&str; 14] = [
    "sys/devices/usb1/block/sda/size",
    "sys/devices/usb1/block/sda/device/vpd_pg80",
    "sys/devices/usb1/block/sda/device/vpd_pg83",
    "sys/devices/usb1/block/sda/device/model",
    "sys/devices/usb1/block/sda/device/vendor",
    "sys/devices/usb1/block/sda/dev",
    "sys/devices/usb1/block/sda/stat",
    "sys/devices/usb1/block/sda/queue/logical_block_size",
    "sys/devices/usb1/block/sda/diskseq",
    "sys/devices/usb1/serial",
    "sys/devices/usb1/idVendor",
    "sys/devices/usb1/idProduct",
    "proc/self/mountinfo",
    "proc/swaps",
];

fn machine(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0xff);
    MACHINE.with_borrow(|folder| {
        let at = |name: &str| folder.path().join(name);
        if !at("sys/block/sda").exists() {
            for name in FILES {
                std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            }
            std::fs::create_dir_all(at("sys/block")).unwrap();
            std::os::unix::fs::symlink(at("sys/devices/usb1/block/sda"), at("sys/block/sda")).unwrap();
        }
        for name in FILES {
            std::fs::write(at(name), parts.next().unwrap_or_default()).unwrap();
        }
        for attached in fuzzing::attached(folder.path()).expect("there is a list") {
            let written = serde_json::to_vec(&attached).expect("it can be shown");
            assert!(!written.is_empty());
            if let Some(serial) = &attached.serial {
                require_name(serial);
            }
        }
    });
}

fn profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let drive = match fuzzing::profile(text) {
        Ok(Some(drive)) => drive,
        Ok(None) => return,
        Err((place, expected)) => {
            assert!(!expected.is_empty() && !expected.contains('\n'), "{expected:?}");
            assert!(place.is_none_or(|place| place.start <= place.end && place.end <= text.len()));
            return;
        }
    };
    let (size, sector) = (drive.size_bytes(), drive.sector_size_bytes());
    let mut sectors = vec![0; sector as usize * 2];
    for offset in [0, size / 2 / sector * sector, size.saturating_sub(2 * sector)] {
        // It may fail, as it is told to.
        let _ = drive.read_at(&mut sectors, offset);
        let _ = drive.next_data(offset);
        if offset.checked_add(sectors.len() as u64).is_some_and(|end| end <= size) {
            let _ = drive.write_at(&sectors, offset);
        }
    }
    let _ = drive.sync();
}
