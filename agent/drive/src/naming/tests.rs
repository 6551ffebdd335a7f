use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::Duration;

use protocol::station::WeakIdentity::{self, BridgeConstant, Missing, Placeholder, UsbDescriptorOnly};

use super::list::WeakSerials;
use super::memory::Memory;
use super::who::name_with;
use super::{Naming, SimulatedBridge, ata, nvme};
use crate::discovery::sysfs::{SysfsDevice, drives};
use crate::discovery::tests::Machine;
use crate::pass_through::{PassThrough, Refusal};

/// A drive's answers to commands, by the first byte of each.
struct Answers {
    by_opcode: Vec<(u8, Result<Vec<u8>, Refusal>)>,
    asked: RefCell<Vec<u8>>,
}

impl Answers {
    fn new(by_opcode: &[(u8, Result<Vec<u8>, Refusal>)]) -> Self {
        Answers { by_opcode: by_opcode.to_vec(), asked: RefCell::default() }
    }

    fn asked(&self) -> Vec<u8> {
        self.asked.take()
    }
}

impl PassThrough for Answers {
    fn read(&self, command: &[u8; 16], _: usize) -> Result<Vec<u8>, Refusal> {
        self.asked.borrow_mut().push(command[0]);
        let answer = self.by_opcode.iter().find(|(opcode, _)| *opcode == command[0]);
        answer.map_or(Err(Refusal::Refused), |(_, answer)| answer.clone())
    }
}

const ATA: u8 = 0x85;
const ASMEDIA: u8 = 0xe6;
const REALTEK: u8 = 0xe4;

const PORT: &str = "sys/devices/pci0/usb2/2-1";

/// A disk behind a bridge of this product and serial number, without pages of vital product data.
fn behind_usb(product: (&str, &str), serial: Option<&str>) -> Machine {
    let machine = Machine::new();
    let folder = machine.disk("pci0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0", "sdb", 16, 1);
    std::fs::remove_file(machine.folder.path().join(folder).join("device/vpd_pg80")).unwrap();
    machine.put(&format!("{PORT}/idVendor"), format!("{}\n", product.0));
    machine.put(&format!("{PORT}/idProduct"), format!("{}\n", product.1));
    if let Some(serial) = serial {
        machine.put(&format!("{PORT}/serial"), format!("{serial}\n"));
    }
    machine
}

const FOLDER: &str = "sys/devices/pci0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0/block/sdb";

fn only(machine: &Machine) -> SysfsDevice {
    drives(&machine.roots()).unwrap().remove(0)
}

fn named(machine: &Machine, answers: &Answers) -> Naming {
    name_with(&only(machine), answers, &Memory::default(), &WeakSerials::built_in())
}

fn short(naming: &Naming) -> (Option<&str>, Option<&str>, &[WeakIdentity]) {
    (naming.serial.as_deref(), naming.bridge_serial.as_deref(), &naming.weak)
}

const SATA_BRIDGE: (&str, &str) = ("152d", "0578");

#[test]
fn a_drive_behind_a_translator_has_its_own_name_and_that_of_its_bridge() {
    let machine = behind_usb(SATA_BRIDGE, Some("152D00539000"));
    let answers = Answers::new(&[(ATA, Ok(ata::tests::answer("WD-WXA1A23B4567", "WDC WD40EFRX")))]);
    let naming = named(&machine, &answers);
    assert_eq!(short(&naming), (Some("WD-WXA1A23B4567"), Some("152D00539000"), &[][..]));
    assert_eq!(naming.model.as_deref(), Some("WDC WD40EFRX"), "the bridge splits the model's name");
    assert_eq!(answers.asked(), [ATA], "no command of a bridge's maker");
}

#[test]
fn what_only_the_usb_descriptor_says_is_weak() {
    for (descriptor, also) in
        [("4C530001220528100484", None), ("152D00539000", Some(BridgeConstant)), ("0123456789ABCDEF", Some(Placeholder))]
    {
        let machine = behind_usb(SATA_BRIDGE, Some(descriptor));
        let weak: Vec<WeakIdentity> = also.into_iter().chain([UsbDescriptorOnly]).collect();
        let naming = named(&machine, &Answers::new(&[]));
        assert_eq!(short(&naming), (Some(descriptor), None, &weak[..]));
        // The descriptor's own serial number in another place proves nothing more.
        let page = [&[0, 0x80, 0, descriptor.len() as u8][..], descriptor.to_lowercase().as_bytes()].concat();
        machine.put(&format!("{FOLDER}/device/vpd_pg80"), page);
        let answers = Answers::new(&[(ATA, Ok(ata::tests::answer(descriptor, "M")))]);
        assert_eq!(short(&named(&machine, &answers)), (Some(descriptor), None, &weak[..]));
    }
    assert_eq!(short(&named(&behind_usb(SATA_BRIDGE, None), &Answers::new(&[]))), (None, None, &[Missing][..]));
}

#[test]
fn damaged_answers_leave_the_bridges_name() {
    let machine = behind_usb(SATA_BRIDGE, Some("4C530001220528100484"));
    let mut wrong = ata::tests::answer("WD-WXA1A23B4567", "M");
    wrong[25] ^= 0x10;
    for answer in [Ok(wrong), Ok(vec![0; 512]), Ok(vec![0xff; 512]), Ok(vec![0x20; 36]), Err(Refusal::Forbidden)] {
        let naming = named(&machine, &Answers::new(&[(ATA, answer)]));
        assert_eq!(short(&naming), (Some("4C530001220528100484"), None, &[UsbDescriptorOnly][..]));
    }
}

#[test]
fn pages_that_say_something_else_than_the_descriptor_are_the_drives() {
    let machine = behind_usb(SATA_BRIDGE, Some("4C530001220528100484"));
    machine.put(&format!("{FOLDER}/device/vpd_pg80"), b"\0\x80\0\x08ZA1234X ");
    assert_eq!(short(&named(&machine, &Answers::new(&[]))), (Some("ZA1234X"), Some("4C530001220528100484"), &[][..]));
    let designator = format!("ATA     {:<40}{:>20}", "ST8000NM0055", "ZA5678Y");
    let page = [&[0, 0x83, 0, 72, 2, 1, 0, 68][..], designator.as_bytes()].concat();
    machine.put(&format!("{FOLDER}/device/vpd_pg83"), page);
    assert_eq!(named(&machine, &Answers::new(&[])).serial.as_deref(), Some("ZA5678Y"));
    machine.put(&format!("{FOLDER}/device/vpd_pg83"), "");
    machine.put(&format!("{FOLDER}/device/vpd_pg80"), b"\0\x80\0\x0cDB9876543214E");
    assert_eq!(named(&machine, &Answers::new(&[])).weak, [BridgeConstant], "constants are known wherever they stand");
}

#[test]
fn an_nvme_drive_is_asked_by_the_command_of_its_bridge() {
    for (product, opcode) in [(("174c", "2362"), ASMEDIA), (("0bda", "9210"), REALTEK)] {
        let machine = behind_usb(product, Some("0000000000000000"));
        let answers = Answers::new(&[
            (opcode, Ok(nvme::tests::answer("S5GXNX0R123456", "Samsung SSD"))),
            (ATA, Ok(ata::tests::answer("MADEUP1", "M"))),
        ]);
        let naming = named(&machine, &answers);
        assert_eq!(short(&naming), (Some("S5GXNX0R123456"), Some("0000000000000000"), &[][..]));
        assert_eq!(answers.asked(), [opcode], "it answered: the translator is not asked");
        // A SATA drive behind a bridge for both.
        let answers = Answers::new(&[(opcode, Ok(vec![0; 4096])), (ATA, Ok(ata::tests::answer("ZA1234X", "M")))]);
        assert_eq!(named(&machine, &answers).serial.as_deref(), Some("ZA1234X"));
        assert_eq!(answers.asked(), [opcode, ATA]);
        // The maker may have put the controller's number into the descriptor.
        let machine = behind_usb(product, Some("S5GXNX0R123456"));
        let answers = Answers::new(&[(opcode, Ok(nvme::tests::answer("S5GXNX0R123456", "Samsung SSD")))]);
        assert_eq!(short(&named(&machine, &answers)), (Some("S5GXNX0R123456"), None, &[][..]));
    }
}

#[test]
fn only_disks_behind_usb_are_asked() {
    let answers = Answers::new(&[]);
    let machine = Machine::new();
    machine.disk("pci0/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0", "sda", 0, 0);
    assert_eq!(short(&named(&machine, &answers)), (Some("ZA1234X"), None, &[][..]), "the kernel knows it");
    let stick = behind_usb(("0781", "5581"), Some("4C530001220528100484"));
    stick.put(&format!("{FOLDER}/removable"), "1\n");
    assert_eq!(named(&stick, &answers).weak, [UsbDescriptorOnly]);
    assert!(answers.asked().is_empty(), "a stick, or a SATA drive");
}

#[test]
fn names_of_native_drives_are_judged_too() {
    let machine = Machine::new();
    let folder = machine.disk("pci0/ata1", "sda", 0, 0);
    let page = format!("{folder}/device/vpd_pg80");
    for (text, weak) in [
        ("            ", Missing),
        ("000000000000", Placeholder),
        ("152D00539000", BridgeConstant),
        ("A1          ", Placeholder),
    ] {
        machine.put(&page, [b"\0\x80\0\x0c", text.as_bytes()].concat());
        assert_eq!(named(&machine, &Answers::new(&[])).weak, [weak], "{text}");
    }
}

#[test]
fn a_bridge_is_asked_once_for_each_docking() {
    let machine = behind_usb(SATA_BRIDGE, Some("152D00539000"));
    let (memory, list) = (Memory::default(), WeakSerials::built_in());
    let name = |serial: &str| {
        let answers = Answers::new(&[(ATA, Ok(ata::tests::answer(serial, "M")))]);
        let naming = name_with(&only(&machine), &answers, &memory, &list);
        (naming.serial.unwrap(), answers.asked().len())
    };
    machine.put(&format!("{FOLDER}/diskseq"), "7\n");
    assert_eq!(name("FIRST-1"), ("FIRST-1".to_owned(), 1));
    assert_eq!(name("OTHER-2"), ("FIRST-1".to_owned(), 0), "remembered");
    machine.put(&format!("{FOLDER}/diskseq"), "8\n");
    assert_eq!(name("OTHER-2"), ("OTHER-2".to_owned(), 1), "another drive in the same dock");
}

#[test]
fn a_bridge_that_does_not_answer_is_left_alone() {
    let machine = behind_usb(("174c", "2362"), Some("4C530001220528100484"));
    let (memory, list) = (Memory::default(), WeakSerials::built_in());
    let silent = Answers::new(&[(ASMEDIA, Err(Refusal::Silent)), (ATA, Err(Refusal::Silent))]);
    assert_eq!(name_with(&only(&machine), &silent, &memory, &list).weak, [UsbDescriptorOnly]);
    assert_eq!(silent.asked(), [ASMEDIA], "each command that is not answered makes the kernel reset the bridge");
    // The reset docks the drive again.
    machine.put(&format!("{FOLDER}/diskseq"), "8\n");
    assert_eq!(name_with(&only(&machine), &silent, &memory, &list).weak, [UsbDescriptorOnly]);
    assert!(silent.asked().is_empty());
}

/// A bridge that answers nothing until it may, and counts how often it was asked.
struct Slow {
    started: SyncSender<()>,
    may_go: Mutex<Receiver<()>>,
    asked: AtomicU32,
}

impl PassThrough for Slow {
    fn read(&self, _: &[u8; 16], _: usize) -> Result<Vec<u8>, Refusal> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.started.send(()).unwrap();
        // Who is asked once too often gives up, and the test fails.
        self.may_go.lock().unwrap().recv_timeout(Duration::from_secs(10)).map_err(|_| Refusal::Silent)?;
        Ok(ata::tests::answer("ZA1234X", "M"))
    }
}

#[test]
fn who_comes_while_another_asks_gets_the_same_answer() {
    let machine = behind_usb(SATA_BRIDGE, Some("152D00539000"));
    let (memory, list) = (Memory::default(), WeakSerials::built_in());
    let (started, has_started) = sync_channel(2);
    let (go, may_go) = channel();
    let slow = Slow { started, may_go: may_go.into(), asked: AtomicU32::new(0) };
    let name = || name_with(&only(&machine), &slow, &memory, &list).serial;
    std::thread::scope(|scope| {
        let first = scope.spawn(name);
        has_started.recv().unwrap();
        let second = scope.spawn(name);
        go.send(()).unwrap();
        assert_eq!([first.join().unwrap(), second.join().unwrap()].map(|serial| serial.unwrap()), ["ZA1234X", "ZA1234X"]);
    });
    assert_eq!(slow.asked.into_inner(), 1);
}

#[test]
fn a_simulated_drive_is_named_through_its_bridge() {
    let bridge = |serial: Option<&str>, passes_serial| SimulatedBridge { serial: serial.map(str::to_owned), passes_serial };
    let named = |own: &str, bridge: Option<SimulatedBridge>| Naming::simulated(Some(own.to_owned()), None, bridge.as_ref());
    assert_eq!(short(&named("T-1", None)), (Some("T-1"), None, &[][..]), "a person gave it");
    assert_eq!(short(&named("0000000000", None)), (Some("0000000000"), None, &[Placeholder][..]));
    assert_eq!(short(&named("  ", None)), (None, None, &[Missing][..]));
    let hiding = bridge(Some("152D00539000"), false);
    assert_eq!(short(&named("T-1", Some(hiding))), (Some("152D00539000"), None, &[BridgeConstant, UsbDescriptorOnly][..]));
    assert_eq!(short(&named("T-1", Some(bridge(None, false)))), (None, None, &[Missing][..]));
    let passing = bridge(Some("152D00539000"), true);
    assert_eq!(short(&named("T-1", Some(passing))), (Some("T-1"), Some("152D00539000"), &[][..]));
}
