//! The Debian package on a machine where systemd runs: what the unit forbids forbids nothing that the service does, and a copy
//! goes on over a restart and an upgrade.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use super::package::packages;
use crate::support::booted::Booted;
use crate::support::images::{MIB, files_below, random_bytes};
use crate::support::loop_device::LoopDevice;
use crate::support::wait::wait_until;
use crate::support::{Workbench, parts};

const UNIT: &str = "drive-agent.service";

const CONFIG: &str = r#"
listen = "127.0.0.1:7070"
[budget]
rate = "8MB/s"
[transfer]
chunk_size = "1MiB"
[[account]]
name = "acme"
store = "/var/lib/drive-agent/blobs"
[[account]]
name = "emulated"
store = "http://127.0.0.1:9/emulated"
credentials = "/etc/drive-agent/emulated.env"
trust_host = ["127.0.0.1:9"]
[[bay]]
name = "bay-1"
drive = "/dev/dock-1"
[[bay]]
name = "bay-2"
"#;

const ADDRESS: &str = r#"{"recipientName": "R", "streetAddress1": "S", "city": "C", "postalCode": "1", "countryOrRegion": "X",
    "phone": "1", "email": "a@example.com"}"#;

/// Slow enough that a copy does not end while a package is installed.
const SLOW: &str = "200kB/s";

/// The group that block devices belong to.
const DISK: u32 = 6;

struct Station<'machine>(&'machine Booted);

impl Station<'_> {
    /// The commands as root gives them on the machine of the package, without saying where the service is.
    #[track_caller]
    fn agent(&self, words: &[&str]) -> Value {
        let printed = self.0.run(&[&["drive-agent"], words, &["--output", "json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{words:?}: {error}: {printed}"))
    }

    fn ship(&self, job: &str, drive: &str) {
        self.agent(&["jobs", "create", job, "--kind", "import", "--account", "acme", "--drive", drive]);
        self.agent(&["jobs", "ship", job, "--carrier", "F", "--tracking", job, "--return-address", "/tmp/address.json"]);
    }

    fn landed(&self, job: &str) -> u64 {
        self.agent(&["jobs", "show", job])["properties"]["driveList"][0]["bytesSucceeded"].as_u64().unwrap_or_default()
    }

    fn wait_for_packaging(&self, job: &str) {
        wait_until("the end of the copy", || self.agent(&["jobs", "show", job])["properties"]["state"] == "Packaging");
    }

    /// How much a copy did not move again.
    fn reused(&self, job: &str) -> u64 {
        self.agent(&["jobs", "receipts", job])["drives"][0]["result"]["bytes_reused"].as_u64().unwrap()
    }

    fn main_process(&self) -> String {
        self.0.property(UNIT, "MainPID")
    }
}

fn private_file(machine: &Booted, name: &str, text: &str) {
    std::fs::write(machine.file(name), text).unwrap();
    machine.run(&["chown", "drive-agent", name]);
    machine.run(&["chmod", "0600", name]);
}

#[test]
fn a_machine_with_systemd_runs_upgrades_and_removes_the_package() {
    let Some(cargo_deb) = parts::debian_packages() else { return };
    let bench = Workbench::new();
    let Some(machine) = parts::part(Booted::start(&bench).inspect_err(|why| eprintln!("{why}")).ok(), "a machine with systemd")
    else {
        return;
    };
    let station = Station(&machine);
    let [first, second] = packages(&cargo_deb, &bench).map(|path| {
        let place = format!("/tmp/{}", path.file_name().unwrap().to_str().unwrap());
        std::fs::copy(&path, machine.file(&place)).unwrap();
        place
    });
    std::fs::write(machine.file("/tmp/address.json"), ADDRESS).unwrap();
    machine.run(&["dpkg", "--force-depends", "--install", &first]);
    assert_eq!(machine.property(UNIT, "ActiveState"), "inactive", "it waits for its configuration");
    private_file(&machine, "/etc/drive-agent/station.toml", CONFIG);
    private_file(&machine, "/etc/drive-agent/emulated.env", "AZURE_STORAGE_ACCOUNT=emulated\nAZURE_STORAGE_KEY=a2V5\n");
    machine.systemctl("start", UNIT);

    // It may write where the unit says, and keeps that to itself.
    let user = std::fs::metadata(machine.file("/var/lib/drive-agent")).unwrap();
    assert_eq!(user.mode() & 0o777, 0o700);
    let is_private = |file: &Path| std::fs::metadata(file).is_ok_and(|file| file.uid() == user.uid() && file.mode() & 0o77 == 0);
    let state = files_below(&machine.file("/var/lib/drive-agent"));
    assert!(state.len() > 3 && state.iter().all(|file| is_private(file)), "{state:?}");

    // A drive in a bay, which is called by its image: it is copied, and a restart in the middle moves nothing twice.
    let bytes = random_bytes(40 * MIB, 9);
    let device = LoopDevice::attach(&bench.image("DOCK-1.img", &bytes), 512);
    station.ship("watched", "DOCK-1");
    machine.give_device(&device.path, "/dev/dock-1", DISK);
    wait_until("bytes to land", || station.landed("watched") > 8 * MIB as u64);
    let before = station.main_process();
    station.agent(&["bays", "rate", SLOW]);
    machine.systemctl("restart", UNIT);
    assert_ne!(station.main_process(), before);
    station.agent(&["bays", "rate", "schedule"]);
    station.wait_for_packaging("watched");
    assert!(station.reused("watched") >= 8 * MIB as u64);
    let blob = std::fs::read(machine.file("/var/lib/drive-agent/blobs/imports/watched/DOCK-1.img")).unwrap();
    assert!(blob == bytes, "the blob is the drive");

    // An image in a folder, while the package is upgraded.
    let image = random_bytes(40 * MIB, 10);
    std::fs::write(machine.file("/srv/image.img"), &image).unwrap();
    station.ship("by-hand", "IMAGE-1");
    station.agent(&["bays", "dock", "bay-2", "/srv/image.img", "--drive-id", "IMAGE-1"]);
    wait_until("bytes to land", || station.landed("by-hand") > 8 * MIB as u64);
    let before = station.main_process();
    station.agent(&["bays", "rate", SLOW]);
    machine.run(&["dpkg", "--force-depends", "--install", &second]);
    assert!(machine.has_processes_of(UNIT));
    assert_eq!(machine.property(UNIT, "ActiveState"), "active", "{}", machine.run(&["journalctl", "--unit", UNIT]));
    assert_ne!(station.main_process(), before, "the new program runs");
    station.agent(&["bays", "rate", "schedule"]);
    station.wait_for_packaging("by-hand");
    assert!(station.reused("by-hand") >= 8 * MIB as u64);
    assert_eq!(station.agent(&["jobs", "list"]).as_array().unwrap().len(), 2, "an upgrade keeps the jobs");
    let said = machine.run(&["journalctl", "--unit", UNIT, "--output", "cat"]);
    assert!(!said.contains("\"level\":\"ERROR\""), "{said}");

    machine.run(&["dpkg", "--remove", "drive-agent"]);
    assert_eq!(machine.property(UNIT, "LoadState"), "not-found");
    assert!(!machine.has_processes_of(UNIT), "it was stopped");
    assert!(machine.file("/var/lib/drive-agent/jobs.db").exists() && machine.file("/etc/drive-agent/station.toml").exists());
    let said = machine.run(&["dpkg", "--purge", "drive-agent"]);
    assert!(said.contains("/var/lib/drive-agent is kept"), "{said}");
    assert!(machine.file("/var/lib/drive-agent/jobs.db").exists() && !machine.file("/etc/drive-agent/station.toml").exists());
}
