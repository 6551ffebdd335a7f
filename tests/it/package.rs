//! The Debian package: made, installed below a folder, upgraded, removed and purged.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::support::{Workbench, parts, source_root};

/// A command that has to work; gives what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {printed}");
    printed
}

/// A machine below a folder, as far as packages know it.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn new(root: PathBuf) -> Self {
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["var/lib/dpkg/status", "etc/passwd", "etc/group"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        Machine { root }
    }

    fn dpkg(&self, arguments: &[&str]) -> String {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", self.root.display())).args(["--force-script-chrootless", "--force-depends"]);
        run(dpkg.args(arguments))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.file(name)).unwrap().mode() & 0o777
    }
}

/// Makes packages of two versions.
pub(super) fn packages(cargo_deb: &Path, bench: &Workbench) -> [PathBuf; 2] {
    // What goes into them is staged in one place.
    static STAGE: Mutex<()> = Mutex::new(());
    let _stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let program = bench.file("program");
    run(Command::new("strip").arg("-o").arg(&program).arg(env!("CARGO_BIN_EXE_agent-under-test")));
    run(Command::new(source_root().join("agent/package/stage")).arg(&program));
    ["1.0.0-1", "1.0.0-2"].map(|version| {
        let package = bench.file(&format!("drive-agent_{version}.deb"));
        let mut make = Command::new(cargo_deb);
        make.args(["deb", "--no-build", "--no-strip", "--fast", "-p", "drive-agent", "--deb-version", version, "-o"]);
        run(make.arg(&package).current_dir(source_root()));
        package
    })
}

#[test]
fn the_package_is_installed_upgraded_and_removed_and_keeps_what_is_the_users() {
    let Some(cargo_deb) = parts::debian_packages() else { return };
    let bench = Workbench::new();
    let [first, second] = packages(&cargo_deb, &bench).map(|path| path.to_string_lossy().into_owned());
    let machine = Machine::new(bench.file("machine"));
    machine.dpkg(&["--install", &first]);
    for name in [
        "usr/bin/drive-agent",
        "usr/share/man/man1/drive-agent.1.gz",
        "usr/share/man/man1/drive-agent-jobs-create.1.gz",
        "usr/share/bash-completion/completions/drive-agent",
        "usr/share/zsh/vendor-completions/_drive-agent",
        "usr/share/fish/vendor_completions.d/drive-agent.fish",
        "usr/lib/sysusers.d/drive-agent.conf",
        "usr/share/doc/drive-agent/copyright",
    ] {
        assert!(machine.file(name).exists(), "{name}");
    }
    let unit = std::fs::read_to_string(machine.file("usr/lib/systemd/system/drive-agent.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/drive-agent serve --config /etc/drive-agent/station.toml"), "{unit}");
    assert!(!unit.contains("/usr/local"), "{unit}");
    let users = std::fs::read_to_string(machine.file("etc/passwd")).unwrap();
    assert!(users.contains("drive-agent:"), "{users}");
    assert_eq!((machine.mode("etc/drive-agent"), machine.mode("etc/drive-agent/station.toml")), (0o750, 0o640));
    // The configuration that comes with it can be used, by the program that comes with it.
    let config = machine.file("etc/drive-agent/station.toml");
    let mut check = Command::new(machine.file("usr/bin/drive-agent"));
    check.args(["serve", "--check", "--config"]).arg(&config).arg("--state-dir").arg(machine.file("var/lib/drive-agent"));
    run(&mut check);
    // A script of completions that does not parse says so here.
    run(Command::new("bash").arg("-n").arg(machine.file("usr/share/bash-completion/completions/drive-agent")));

    let changed = std::fs::read_to_string(&config).unwrap().replacen("listen", "import_container = \"mine\"\nlisten", 1);
    std::fs::write(&config, &changed).unwrap();
    // What the administrator made of it: a file that the service alone reads, and one with credentials.
    let user = rustix::process::geteuid().as_raw() + 7;
    for (name, text) in [("station.toml", changed.as_str()), ("acme.env", "")] {
        let file = machine.file("etc/drive-agent").join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(user), None).unwrap();
        }
    }
    let owners = || {
        let of = |name: &str| std::fs::metadata(machine.file("etc/drive-agent").join(name)).unwrap();
        ["station.toml", "acme.env"].map(|name| (of(name).uid(), of(name).gid(), of(name).mode() & 0o777))
    };
    let before = owners();
    std::fs::create_dir_all(machine.file("var/lib/drive-agent")).unwrap();
    std::fs::write(machine.file("var/lib/drive-agent/jobs.db"), "jobs").unwrap();
    machine.dpkg(&["--install", &second]);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), changed, "an upgrade keeps what was configured");
    assert_eq!(machine.mode("etc/drive-agent"), 0o750);
    assert_eq!(owners(), before, "an upgrade leaves the service the right to read its files");
    machine.dpkg(&["--remove", "drive-agent"]);
    assert!(!machine.file("usr/bin/drive-agent").exists());
    assert_eq!(std::fs::read_to_string(&config).unwrap(), changed);
    let said = machine.dpkg(&["--purge", "drive-agent"]);
    assert!(!config.exists() && machine.file("etc/drive-agent/acme.env").exists());
    // Who removes a program does not remove the only record of somebody's drives.
    assert_eq!(std::fs::read_to_string(machine.file("var/lib/drive-agent/jobs.db")).unwrap(), "jobs");
    assert!(said.contains("/var/lib/drive-agent is kept"), "{said}");
}
