//! The unit of systemd: it is well formed, gives the service no right that it does not need, and the program works with those
//! that are left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FileType, Mode};
use rustix::process::Signal;

use crate::support::agent::Running;
use crate::support::images::{MIB, random_bytes};
use crate::support::loop_device::{LoopDevice, ext4_image};
use crate::support::wait::wait_until;
use crate::support::{Agent, Workbench, parts, source_root};

const UNIT: &str = include_str!("../../agent/systemd/drive-agent.service");

/// What `systemd-analyze security` may say at most, in tenths.
const EXPOSURE_MAX: &str = "20";

/// A user without any right, on every machine.
const NOBODY: u32 = 65534;

/// The values of a key of the unit.
fn values(key: &str) -> Vec<&'static str> {
    let values: Vec<&str> = UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect();
    assert!(!values.is_empty(), "the unit has no {key}");
    values
}

/// The unit as a file, with the program under test.
fn unit_file(bench: &Workbench) -> PathBuf {
    let text = UNIT.replace("/usr/local/bin/drive-agent", env!("CARGO_BIN_EXE_agent-under-test"));
    bench.image("drive-agent.service", text.as_bytes())
}

#[test]
fn the_unit_is_well_formed_and_exposes_little() {
    if parts::systemd_analyze().is_none() {
        return;
    }
    let bench = Workbench::new();
    let unit = unit_file(&bench);
    let analyze = |arguments: &[&str]| {
        let output = Command::new(parts::SYSTEMD_ANALYZE).args(arguments).arg(&unit).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let (is_well_formed, text) = analyze(&["verify", "--man=no", "--recursive-errors=no"]);
    assert!(is_well_formed, "{text}");
    assert!(!text.contains("drive-agent.service:"), "{text}");
    let (is_closed, text) = analyze(&["security", "--offline=yes", "--threshold", EXPOSURE_MAX]);
    assert!(is_closed, "{text}");
}

/// The program with the rights that the unit gives, in the group of the drives; nothing beyond them.
fn with_rights_of_the_unit(agent: Agent) -> Agent {
    let capabilities = |key: &str| -> String {
        let names = values(key).into_iter().flat_map(|line| line.split(' '));
        names.map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase())).collect()
    };
    let (bounding, ambient) = (capabilities("CapabilityBoundingSet"), capabilities("AmbientCapabilities"));
    assert_eq!(values("NoNewPrivileges"), ["yes"]);
    agent.after(&format!(
        "set -- setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --bounding-set=-all{bounding} \
         --inh-caps=-all{ambient} --ambient-caps=-all{ambient} --no-new-privs \"$@\""
    ))
}

/// A node for a device that the user of the unit may open: machines without udev give it to root alone.
fn node_of(bench: &Workbench, device: &LoopDevice) -> PathBuf {
    let number = rustix::fs::stat(&device.path).unwrap().st_rdev;
    let node = bench.file(device.word());
    let mode = Mode::from_raw_mode(0o660);
    rustix::fs::mknodat(rustix::fs::CWD, &node, FileType::BlockDevice, mode, number).unwrap();
    std::os::unix::fs::chown(&node, Some(0), Some(NOBODY)).unwrap();
    rustix::fs::chmod(&node, mode).unwrap();
    node
}

/// A bench whose files belong to the user of the unit.
fn bench_of_the_user() -> Workbench {
    let bench = Workbench::new();
    std::os::unix::fs::chown(bench.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    bench
}

#[test]
fn drives_are_read_and_written_with_the_rights_of_the_unit() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = bench_of_the_user();
    let bytes = random_bytes(3 * MIB, 5);
    let source = LoopDevice::attach(&bench.image("source.img", &bytes), 512);
    let target = LoopDevice::attach(&bench.image("target.img", &vec![0xa5; 4 * MIB]), 512);
    let (from, to) = (node_of(&bench, &source), node_of(&bench, &target));
    with_rights_of_the_unit(Agent::new(bench.path(), &[&"import", &from, &"blob"])).run().expect(0);
    assert_eq!(std::fs::read(bench.file("blob")).unwrap(), bytes);
    let export =
        Agent::new(bench.path(), &[&"export", &"blob", &to]).with(&["--confirm", target.word(), "--verify", "read-back"]);
    with_rights_of_the_unit(export).run().expect(0);
    drop(target);
    let written = std::fs::read(bench.file("target.img")).unwrap();
    assert_eq!(written[..bytes.len()], bytes);
    assert!(written[bytes.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_drive_that_another_process_has_mounted_is_in_use_for_the_service() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = bench_of_the_user();
    let device = LoopDevice::attach(&ext4_image(&bench, "elsewhere.img"), 512);
    std::fs::create_dir(bench.file("place")).unwrap();
    let mount = format!("mount {} {} && echo mounted && read end", device.path.display(), bench.file("place").display());
    let mut elsewhere = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &mount])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = elsewhere.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    assert_eq!(line.trim(), "mounted");
    let drives = with_rights_of_the_unit(Agent::new(bench.path(), &[&"drives"])).run().expect(0);
    drop(elsewhere.stdin.take());
    elsewhere.wait().unwrap();
    let path = device.path.to_str().unwrap();
    let shown = drives.as_array().unwrap().iter().find(|drive| drive["path"] == path).unwrap();
    assert_eq!(shown["verdict"], "in-use", "{shown}");
    assert!(shown["in_use_by"].to_string().contains("for process"), "{shown}");
}

/// The system calls of a set, such as `@system-service`.
fn calls_of(set: &str) -> BTreeSet<String> {
    let output = Command::new(parts::SYSTEMD_ANALYZE).args(["syscall-filter", "--no-pager", set]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.flat_map(|name| if name.starts_with('@') { calls_of(name) } else { BTreeSet::from([name.to_owned()]) }).collect()
}

/// The system calls that the unit allows.
fn allowed_calls() -> BTreeSet<String> {
    let mut allowed = calls_of("@default");
    for line in values("SystemCallFilter") {
        let sets = |line: &str| -> BTreeSet<String> { line.split(' ').flat_map(calls_of).collect() };
        match line.strip_prefix('~') {
            Some(line) => allowed = &allowed - &sets(line),
            None => allowed.append(&mut sets(line)),
        }
    }
    allowed
}

/// Runs the program under `strace`, until what it is there for has come; the system calls that it made.
fn traced_calls(agent: Agent, trace: &Path, has_come: impl FnOnce(&Running)) -> BTreeSet<String> {
    // The program stays the process that is started here, and gets its signals.
    // Where the user of the unit can look at it: the folder that it was built in may be closed to others.
    let program = trace.with_extension("program");
    let built = Path::new(env!("CARGO_BIN_EXE_agent-under-test"));
    std::fs::hard_link(built, &program).or_else(|_| std::fs::copy(built, &program).map(|_| ())).unwrap();
    let (trace_name, program) = (trace.display(), program.display());
    let traced = agent.after(&format!("shift; set -- strace -D -f -o {trace_name} {program} \"$@\""));
    let running = with_rights_of_the_unit(traced).start();
    has_come(&running);
    let process = running.id().to_string();
    let is_last = |line: &str| line.strip_prefix(&process).is_some_and(|rest| rest.trim() == "+++ exited with 0 +++");
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let read = || std::fs::read_to_string(trace).unwrap_or_default();
    wait_until("the end of the trace", || read().lines().any(is_last));
    let call = |line: &str| {
        let (_, call) = line.split_once(' ')?;
        Some(call.trim_start().split_once('(')?.0.to_owned())
    };
    let is_name = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    read().lines().filter_map(call).filter(is_name).collect()
}

#[test]
fn the_program_makes_no_system_call_that_the_unit_forbids() {
    if parts::root_with_loop_devices().is_none() || parts::systemd_analyze().is_none() || parts::strace().is_none() {
        return;
    }
    let bench = bench_of_the_user();
    let device = LoopDevice::attach(&bench.image("drive.img", &vec![0; MIB]), 512);
    let node = node_of(&bench, &device);
    bench.image("blob", &random_bytes(MIB / 2, 6));
    let export = Agent::new(bench.path(), &[&"export", &"blob", &node]).with(&["--confirm", device.word()]);
    let mut made = traced_calls(export, &bench.file("export.trace"), |_| ());
    let serve = Agent::bare(bench.path(), &[&"serve", &"--listen", &"127.0.0.1:0", &"--state-dir", &"service"]);
    made.append(&mut traced_calls(serve, &bench.file("service.trace"), |running| {
        wait_until("the service", || bench.file("service/service.url").exists());
        running.signal(Signal::TERM);
    }));
    assert!(made.contains("openat") && made.contains("ioctl") && made.contains("listen"), "{made:?}");
    let allowed = allowed_calls();
    let forbidden: Vec<&String> = made.difference(&allowed).collect();
    assert_eq!(forbidden, [""; 0]);
}

#[test]
fn what_is_watched_is_measured() {
    let folder = source_root().join("agent/monitoring");
    let health = std::fs::read_to_string(source_root().join("agent/service/src/api/health.rs")).unwrap();
    let mut names = BTreeSet::new();
    for file in ["alerts.yml", "dashboard.json"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let ends = |letter: char| !letter.is_ascii_lowercase() && letter != '_';
        for rest in text.split("drive_agent_").skip(1) {
            names.insert(format!("drive_agent_{}", rest.split(ends).next().unwrap()));
        }
    }
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(health.contains(&format!("`{name}")), "nothing measures {name}");
    }
    let dashboard = std::fs::read_to_string(folder.join("dashboard.json")).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&dashboard).is_ok());
}
