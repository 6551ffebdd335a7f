//! The name of a device or a simulated drive, from all that was reported.

use std::sync::LazyLock;

use protocol::drives::Transport;
use protocol::station::WeakIdentity;

use super::command::{OwnName, Source};
use super::list::{WeakSerials, list};
use super::memory::{Bridge, Memory};
use super::{vpd, weak};
use crate::discovery::roots::Roots;
use crate::discovery::sysfs::{SysfsDevice, UsbBridge};
use crate::pass_through::{PassThrough, SgIo};

/// Who a drive is, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Naming {
    /// The drive's own serial number; the bridge's, where only that is reported.
    pub(crate) serial: Option<String>,
    /// The bridge's, where it is another one.
    pub(crate) bridge_serial: Option<String>,
    pub(crate) model: Option<String>,
    /// Why the serial number does not say which drive it is; empty where it does.
    pub(crate) weak: Vec<WeakIdentity>,
}

/// What bridges reported to this process.
static TOLD: LazyLock<Memory> = LazyLock::new(Memory::default);

/// Who the device is. A USB bridge is asked for its drive's own name, once for each docking; that may take as long as the
/// bridge does.
pub(crate) fn name(roots: &Roots, device: &SysfsDevice) -> Naming {
    let disk = device.disk();
    let node = roots.dev.join(disk.kernel_name());
    name_with(&disk, &SgIo { node }, &TOLD, list())
}

pub(super) fn name_with(disk: &SysfsDevice, pass_through: &dyn PassThrough, memory: &Memory, list: &WeakSerials) -> Naming {
    if disk.loop_backing_file().is_some() {
        // It is called by its file, and a person gave that its name.
        return Naming { model: disk.model(), ..Naming::default() };
    }
    if disk.transport() != Transport::Usb {
        let (serial, model) = (disk.serial(), disk.model());
        return Naming { weak: weaknesses(serial.as_deref(), true, list), serial, bridge_serial: None, model };
    }
    let bridge = disk.usb_bridge();
    let reported = bridge.as_ref().filter(|_| is_asked(disk)).and_then(|bridge| {
        let bridge = Bridge { port: bridge.port.clone(), product: bridge.product };
        memory.own_name(disk.folder(), (disk.sequence(), disk.size_bytes().unwrap_or(0)), &bridge, pass_through)
    });
    behind_usb(disk, bridge.and_then(|bridge: UsbBridge| bridge.serial), reported, list)
}

/// Disks and SSDs, and no sticks or card readers: some of those do not survive a command that they do not know. udev has the
/// same rule (60-persistent-storage.rules: ata_id for USB drives that are not removable).
pub(crate) fn is_asked(disk: &SysfsDevice) -> bool {
    disk.kernel_name().starts_with("sd") && disk.number_in("removable") == Some(0)
}

/// The name of a drive behind USB: `descriptor` is what the bridge's USB descriptor says, `reported` what the drive itself says.
fn behind_usb(disk: &SysfsDevice, descriptor: Option<String>, reported: Option<OwnName>, list: &WeakSerials) -> Naming {
    let is_of_bridge = |serial: &str| descriptor.as_deref().is_some_and(|descriptor| same(descriptor, serial));
    let model = reported.as_ref().and_then(|reported| reported.model.clone()).or_else(|| disk.model());
    // An NVMe controller reports its own. What a translator reports, or the kernel read from it, is taken for the drive's own
    // only where it is not the descriptor's: a bridge that makes one up reports it everywhere.
    let own = reported
        .filter(|reported| reported.source == Source::NvmeController || !is_of_bridge(&reported.serial))
        .map(|reported| reported.serial);
    let read = || {
        let pages = [disk.page("vpd_pg83").and_then(|page| vpd::ata_serial_of_page_83(&page)), disk.serial()];
        pages.into_iter().flatten().find(|serial| !is_of_bridge(serial))
    };
    let of_bridge = descriptor.clone().or_else(|| disk.serial());
    match own.or_else(read) {
        Some(serial) => {
            let weak = weaknesses(Some(&serial), true, list);
            Naming {
                bridge_serial: descriptor.filter(|descriptor| !same(descriptor, &serial)),
                serial: Some(serial),
                model,
                weak,
            }
        }
        None => Naming { weak: only_of_bridge(of_bridge.as_deref(), list), serial: of_bridge, bridge_serial: None, model },
    }
}

impl Naming {
    /// Whether anything but the name of a file calls it something, or fails to.
    pub(crate) fn is_told(&self) -> bool {
        self.serial.is_some() || !self.weak.is_empty()
    }

    /// The name of a simulated drive, with a bridge before it where `bridge` is one.
    pub(crate) fn simulated(own: Option<String>, model: Option<String>, bridge: Option<&SimulatedBridge>) -> Self {
        let own = own.filter(|own| !own.trim().is_empty());
        let descriptor = bridge.and_then(|bridge| bridge.serial.clone());
        if bridge.is_some_and(|bridge| !bridge.passes_serial) {
            let weak = only_of_bridge(descriptor.as_deref(), list());
            return Naming { serial: descriptor, bridge_serial: None, model, weak };
        }
        // A person gave it: it may be short.
        let weak = weaknesses(own.as_deref(), false, list());
        let is_other = |descriptor: &String| own.as_deref().is_none_or(|own| !same(own, descriptor));
        Naming { bridge_serial: descriptor.filter(is_other), serial: own, model, weak }
    }
}

/// A USB bridge in front of a simulated drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SimulatedBridge {
    /// What its USB descriptor says.
    pub(crate) serial: Option<String>,
    /// Whether the drive's own gets through.
    pub(crate) passes_serial: bool,
}

impl std::fmt::Display for SimulatedBridge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.serial.as_deref().unwrap_or("without a serial number"))?;
        formatter.write_str(if self.passes_serial { ", passes that of the drive" } else { ", hides that of the drive" })
    }
}

/// Capitals and blanks do not make another number.
fn same(one: &str, other: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>().to_ascii_uppercase();
    letters(one) == letters(other)
}

fn only_of_bridge(serial: Option<&str>, list: &WeakSerials) -> Vec<WeakIdentity> {
    let mut weak = weaknesses(serial, true, list);
    if serial.is_some() {
        weak.push(WeakIdentity::UsbDescriptorOnly);
    }
    weak
}

/// Why a serial number does not say which drive it is; `is_made` where a maker gave it, and not a person.
fn weaknesses(serial: Option<&str>, is_made: bool, list: &WeakSerials) -> Vec<WeakIdentity> {
    let Some(serial) = serial else { return vec![WeakIdentity::Missing] };
    let is_placeholder = weak::is_placeholder(serial) || (is_made && weak::is_too_short(serial));
    let found = [(is_placeholder, WeakIdentity::Placeholder), (list.has(serial), WeakIdentity::BridgeConstant)];
    found.into_iter().filter_map(|(is_so, weakness)| is_so.then_some(weakness)).collect()
}
