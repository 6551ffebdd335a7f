//! A machine with systemd as its first process: this one's files below a layer of its own, in namespaces of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{FileType, Mode};

use super::images::Workbench;
use super::wait::{poll, wait_until};

/// Makes the layer, mounts what systemd wants to find, and becomes it. Nothing of this machine's is changed: what is written
/// goes into a file system in memory, which ends with the namespaces.
const BOOT: &str = r#"
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=0755 tmpfs dev
mkdir dev/pts dev/shm
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
exec chroot . /lib/systemd/systemd --system --unit=sysinit.target
"#;

/// Where programs are.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The machine; ended with its test.
pub struct Booted {
    /// Outside of its namespaces.
    runner: Child,
    /// Everything that runs in it.
    group: PathBuf,
}

impl Booted {
    /// Starts it; why it cannot be started where it cannot.
    pub fn start(bench: &Workbench) -> Result<Self, String> {
        if !Path::new("/lib/systemd/systemd").exists() || !rustix::process::geteuid().is_root() {
            return Err("systemd or root is missing".to_owned());
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let hierarchy = mounts.lines().find_map(|line| match *line.split(' ').collect::<Vec<_>>() {
            [_, place, "cgroup2", ..] => Some(PathBuf::from(place)),
            _ => None,
        });
        let hierarchy = hierarchy.ok_or("no control groups of version 2 are mounted")?;
        let group = hierarchy.join(format!("drive-agent-tests-{}", std::process::id()));
        std::fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        let layer = bench.file("machine");
        std::fs::create_dir(&layer).unwrap();
        let enter = format!(
            "echo $$ > '{}/cgroup.procs' && exec unshare --pid --fork --kill-child --mount --propagation private --uts --ipc \
             --net --cgroup env -i PATH={PATH} container=tests sh -c \"$1\" sh '{}'",
            group.display(),
            layer.display()
        );
        let log = std::fs::File::create(bench.file("boot.log")).unwrap();
        let mut run = Command::new("sh");
        run.args(["-c", &enter, "sh", BOOT]).current_dir("/").stdin(Stdio::null());
        run.stdout(log.try_clone().unwrap()).stderr(log);
        let mut machine = Booted { runner: run.spawn().unwrap(), group };
        let is_up = poll(Duration::from_millis(100), || {
            let has_ended = machine.runner.try_wait().unwrap().is_some();
            let answer = machine.first_process().and_then(|_| machine.command(&["systemctl", "is-system-running"]).output().ok());
            let said = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            (has_ended || ["running", "degraded"].contains(&said.trim())).then_some(!has_ended)
        });
        match is_up {
            Some(true) => Ok(machine),
            _ => Err(format!("systemd did not start: {}", std::fs::read_to_string(bench.file("boot.log")).unwrap())),
        }
    }

    fn first_process(&self) -> Option<u32> {
        let processes = std::fs::read_to_string(self.group.join("init.scope/cgroup.procs")).ok()?;
        processes.lines().next()?.parse().ok()
    }

    /// A path in it, as this machine reaches it.
    pub fn file(&self, path: &str) -> PathBuf {
        let first = self.first_process().expect("systemd runs");
        PathBuf::from(format!("/proc/{first}/root")).join(path.trim_start_matches('/'))
    }

    /// A command in it, as root.
    pub fn command(&self, words: &[&str]) -> Command {
        let first = self.first_process().expect("systemd runs");
        let mut run = Command::new("nsenter");
        run.args(["--target", &first.to_string(), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/"]);
        run.args(["env", "-i", &format!("PATH={PATH}"), "HOME=/root"]).args(words).current_dir("/").stdin(Stdio::null());
        run
    }

    /// Runs a command that has to work; gives what it printed.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {printed}");
        printed
    }

    /// Runs `systemctl` about a unit, which has to work.
    #[track_caller]
    pub fn systemctl(&self, verb: &str, unit: &str) {
        let output = self.command(&["systemctl", verb, unit]).output().unwrap();
        assert!(output.status.success(), "{verb} {unit}: {}", self.run(&["journalctl", "--unit", unit, "--output", "cat"]));
    }

    /// What a unit has as this property.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.run(&["systemctl", "show", "--property", name, "--value", unit]).trim().to_owned()
    }

    /// Whether a unit has processes.
    pub fn has_processes_of(&self, unit: &str) -> bool {
        self.group.join("system.slice").join(unit).exists()
    }

    /// Gives it a block device of this machine under `name`, for root and the group of drives, as udev would.
    pub fn give_device(&self, device: &Path, name: &str, group: u32) {
        let number = rustix::fs::stat(device).unwrap().st_rdev;
        let (node, mode) = (self.file(name), Mode::from_raw_mode(0o660));
        rustix::fs::mknodat(rustix::fs::CWD, &node, FileType::BlockDevice, mode, number).unwrap();
        std::os::unix::fs::chown(&node, Some(0), Some(group)).unwrap();
        rustix::fs::chmod(&node, mode).unwrap();
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let _ = std::fs::write(self.group.join("cgroup.kill"), "1");
        let _ = self.runner.wait();
        // Groups go from the leaves on, once their processes are gone.
        wait_until("the machine to end", || {
            let find = Command::new("find").arg(&self.group).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]).output();
            find.is_ok() && !self.group.exists()
        });
    }
}
