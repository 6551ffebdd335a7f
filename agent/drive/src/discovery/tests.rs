use std::os::unix::fs::symlink;

use protocol::drives::{AttachedDrive, DockEvent, Transport, Verdict};
use protocol::station::WeakIdentity;

use super::attached::natural_order;
use super::*;

/// A machine on paper: files as the kernel shows them.
pub(crate) struct Machine {
    pub(crate) folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let machine = Machine { folder: tempfile::tempdir().unwrap() };
        machine.put("proc/self/mountinfo", "");
        machine.put("proc/swaps", "Filename Type Size Used Priority\n");
        std::fs::create_dir_all(machine.folder.path().join("sys/block")).unwrap();
        std::fs::create_dir_all(machine.folder.path().join("dev")).unwrap();
        machine
    }

    pub(crate) fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn link(&self, target: &str, link: &str) {
        let link = self.folder.path().join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(self.folder.path().join(target), link).unwrap();
    }

    /// A disk with so many partitions behind this way of buses.
    pub(crate) fn disk(&self, way: &str, name: &str, number: u32, partitions: u32) -> String {
        let folder = format!("sys/devices/{way}/block/{name}");
        self.put(&format!("{folder}/dev"), format!("8:{number}\n"));
        self.put(&format!("{folder}/size"), "2048\n");
        self.put(&format!("{folder}/queue/logical_block_size"), "512\n");
        self.put(&format!("{folder}/queue/physical_block_size"), "4096\n");
        self.put(&format!("{folder}/queue/rotational"), "1\n");
        self.put(&format!("{folder}/removable"), "0\n");
        self.put(&format!("{folder}/device/model"), "ST8000NM0055\n");
        self.put(&format!("{folder}/device/vendor"), "ATA     \n");
        self.put(&format!("{folder}/device/vpd_pg80"), "\0\u{1}\0\u{8} ZA1234X ");
        self.put(&format!("{folder}/device/wwid"), "naa.5000c500a1b2c3d4\n");
        for partition in 1..=partitions {
            self.put(&format!("{folder}/{name}{partition}/partition"), partition.to_string());
            self.put(&format!("{folder}/{name}{partition}/dev"), format!("8:{}\n", number + partition));
        }
        self.link(&folder, &format!("sys/block/{name}"));
        self.put(&format!("dev/{name}"), "x".repeat(2048 * 512));
        folder
    }

    pub(crate) fn roots(&self) -> Roots {
        let at = |name: &str| self.folder.path().join(name);
        Roots { sys: at("sys"), proc: at("proc"), dev: at("dev") }
    }

    fn only(&self) -> AttachedDrive {
        let mut drives = attached(&self.roots()).unwrap();
        assert_eq!(drives.len(), 1, "{drives:?}");
        drives.remove(0)
    }
}

#[test]
fn a_drive_is_described_by_what_the_kernel_knows() {
    let machine = Machine::new();
    machine.disk("pci0/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0", "sda", 0, 0);
    machine.link("dev/sda", "dev/disk/by-id/ata-ST8000NM0055_ZA1234X");
    machine.link("dev/sda", "dev/disk/by-path/pci-0000:00:1f.2-ata-1");
    let drive = machine.only();
    assert!(drive.path.ends_with("/dev/sda"));
    assert_eq!(drive.model.as_deref(), Some("ST8000NM0055"), "ATA is not a vendor");
    assert_eq!(drive.serial.as_deref(), Some("ZA1234X"));
    assert_eq!(drive.wwn.as_deref(), Some("naa.5000c500a1b2c3d4"));
    assert_eq!((drive.size, drive.sector_size, drive.physical_sector_size), (1 << 20, 512, 4096));
    assert_eq!((drive.transport, drive.rotational, drive.verdict), (Transport::Sata, true, Verdict::Free));
    assert!(drive.by_id[0].ends_with("ata-ST8000NM0055_ZA1234X") && drive.by_path[0].ends_with("ata-1"));
}

#[test]
fn the_way_of_buses_tells_the_transport() {
    for (way, name, transport) in [
        ("pci0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0", "sdb", Transport::Usb),
        ("pci0/0000:03:00.0/host1/port-1:0/end_device-1:0/target1:0:0/1:0:0:0", "sdc", Transport::Sas),
        ("pci0/0000:02:00.0/nvme/nvme0", "nvme0n1", Transport::Nvme),
        ("pci0/virtio3", "vda", Transport::Virtio),
        ("virtual", "loop3", Transport::Loop),
    ] {
        let machine = Machine::new();
        machine.disk(way, name, 16, 0);
        assert_eq!(machine.only().transport, transport, "{way}");
    }
}

#[test]
fn drives_of_one_serial_number_are_marked() {
    let machine = Machine::new();
    machine.disk("pci0/ata1", "sda", 0, 0);
    machine.disk("pci0/ata2", "sdb", 16, 0);
    let folder = machine.disk("pci0/ata3", "sdc", 32, 0);
    machine.put(&format!("{folder}/device/vpd_pg80"), b"\0\x80\0\x08ZA5678Y ");
    let weak: Vec<_> = attached(&machine.roots()).unwrap().into_iter().map(|drive| drive.weak_identity).collect();
    assert_eq!(weak, [vec![WeakIdentity::Duplicated], vec![WeakIdentity::Duplicated], vec![]]);
    machine.put(&format!("{folder}/device/vpd_pg80"), b"\0\x80\0\x04    ");
    assert_eq!(attached(&machine.roots()).unwrap()[2].weak_identity, [WeakIdentity::Missing]);
}

/// Makes a machine's first disk, whose folder it is given, be used.
type Prepare = Box<dyn Fn(&Machine, &str)>;

#[test]
fn every_kind_of_use_is_found() {
    let mount = |number: &str, place: &str, source: &str| format!("30 1 {number} / {place} rw - ext4 {source} rw\n");
    let cases: [(&str, Prepare, &str, Verdict); 8] = [
        (
            "its partition",
            Box::new(move |m, _| m.put("proc/self/mountinfo", mount("8:1", "/mnt/a\\040b", "x"))),
            "`sda1` is mounted on `/mnt/a b`",
            Verdict::InUse,
        ),
        (
            "the root",
            Box::new(move |m, _| m.put("proc/self/mountinfo", mount("8:2", "/", "x"))),
            "`sda2` is mounted on `/`",
            Verdict::System,
        ),
        (
            "btrfs, whose number is made up",
            Box::new(move |m, _| m.put("proc/self/mountinfo", mount("0:40", "/data", "/dev/sda1"))),
            "`sda1` is mounted on `/data`",
            Verdict::InUse,
        ),
        (
            "a container",
            Box::new(move |m, _| {
                symlink("mnt:[1]", {
                    m.put("proc/self/ns/x", "");
                    m.folder.path().join("proc/self/ns/mnt")
                })
                .unwrap();
                m.put("proc/77/mountinfo", mount("8:1", "/inside", "x"));
                symlink("mnt:[2]", {
                    m.put("proc/77/ns/x", "");
                    m.folder.path().join("proc/77/ns/mnt")
                })
                .unwrap();
            }),
            "`sda1` is mounted on `/inside` for process 77",
            Verdict::InUse,
        ),
        (
            "swap",
            Box::new(|m, _| m.put("proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2\n")),
            "`sda2` is used as swap",
            Verdict::System,
        ),
        (
            "LVM",
            Box::new(|m, folder| {
                m.put("sys/devices/virtual/block/dm-0/dm/uuid", "LVM-abc");
                m.put("sys/devices/virtual/block/dm-0/dm/name", "group-volume");
                m.put("sys/devices/virtual/block/dm-0/dev", "253:0");
                m.link("sys/devices/virtual/block/dm-0", &format!("{folder}/sda1/holders/dm-0"));
            }),
            "`sda1` is part of the LVM volume `group-volume` (dm-0)",
            Verdict::InUse,
        ),
        (
            "the root on an encrypted volume",
            Box::new(move |m, folder| {
                m.put("sys/devices/virtual/block/dm-1/dm/uuid", "CRYPT-LUKS2-abc");
                m.put("sys/devices/virtual/block/dm-1/dm/name", "root");
                m.put("sys/devices/virtual/block/dm-1/dev", "253:1");
                m.link("sys/devices/virtual/block/dm-1", &format!("{folder}/sda2/holders/dm-1"));
                m.put("proc/self/mountinfo", mount("253:1", "/", "x"));
            }),
            "`sda2` is part of `dm-1`, and `dm-1` is mounted on `/`",
            Verdict::System,
        ),
        (
            "an array",
            Box::new(|m, folder| {
                m.put("sys/devices/virtual/block/md0/md/level", "raid1");
                m.put("sys/devices/virtual/block/md0/dev", "9:0");
                m.link("sys/devices/virtual/block/md0", &format!("{folder}/holders/md0"));
            }),
            "`sda` is part of the array `md0` (raid1)",
            Verdict::InUse,
        ),
    ];
    for (what, prepare, words, verdict) in cases {
        let machine = Machine::new();
        let folder = machine.disk("pci0/ata1", "sda", 0, 2);
        prepare(&machine, &folder);
        let drive = machine.only();
        assert!(drive.in_use_by.iter().any(|use_| use_ == words), "{what}: {:?}", drive.in_use_by);
        assert_eq!(drive.verdict, verdict, "{what}");
    }
}

#[test]
fn only_what_can_be_docked_is_listed() {
    let machine = Machine::new();
    for name in ["dm-0", "md127", "zram0", "ram1", "nbd0"] {
        machine.disk("virtual", name, 64, 0);
    }
    machine.disk("pci0/ata1", "sda", 0, 0);
    // A loop device without an image has no size.
    let folder = machine.disk("virtual", "loop0", 80, 0);
    machine.put(&format!("{folder}/size"), "0\n");
    assert!(machine.only().path.ends_with("/sda"));
}

#[test]
fn docking_and_undocking_are_told_once() {
    let machine = Machine::new();
    machine.disk("pci0/ata1", "sda", 0, 0);
    let (mut watch, present) = Watch::start(machine.roots()).unwrap();
    assert_eq!(present.len(), 1);
    let folder = machine.disk("pci0/ata2", "sdb", 16, 0);
    machine.put(&format!("{folder}/device/vpd_pg80"), b"\0\x80\0\x08ZA5678Y ");
    let changes = |watch: &mut Watch| -> Vec<(DockEvent, String)> {
        let events = watch.wait().unwrap().into_iter();
        events.map(|(event, drive)| (event, drive.path.rsplit('/').next().unwrap().to_owned())).collect()
    };
    assert_eq!(changes(&mut watch), [(DockEvent::Docked, "sdb".to_owned())]);
    assert_eq!(changes(&mut watch), []);
    machine.put("proc/self/mountinfo", "30 1 8:16 / /mnt rw - ext4 x rw\n");
    assert_eq!(changes(&mut watch), [(DockEvent::Changed, "sdb".to_owned())]);
    // Another drive in the same place.
    machine.put(&format!("{folder}/diskseq"), "7\n");
    assert_eq!(changes(&mut watch), [(DockEvent::Undocked, "sdb".to_owned()), (DockEvent::Docked, "sdb".to_owned())]);
    std::fs::remove_file(machine.folder.path().join("sys/block/sdb")).unwrap();
    assert_eq!(changes(&mut watch), [(DockEvent::Undocked, "sdb".to_owned())]);
}

#[test]
fn names_come_in_the_order_of_people() {
    let mut names = ["/dev/loop10", "/dev/loop9", "/dev/sdaa", "/dev/sdz", "/dev/nvme0n1", "/dev/sda"];
    names.sort_by_key(|name| natural_order(name));
    assert_eq!(names, ["/dev/loop9", "/dev/loop10", "/dev/nvme0n1", "/dev/sda", "/dev/sdz", "/dev/sdaa"]);
}
