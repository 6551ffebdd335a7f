//! Every command of the README is run, in its order, and prints what the README says it prints.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::azurite::Azurite;
use crate::support::fuse_drive::FuseDrive;
use crate::support::images::{MIB, random_bytes};
use crate::support::{Workbench, parts};

struct Step {
    command: String,
    expected: Vec<String>,
}

fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step { command: command.to_owned(), expected: Vec::new() }),
                (None, Some(step)) => step.expected.push(line.to_owned()),
                (None, None) => panic!("output before any command: {line}"),
            },
        }
    }
    steps
}

/// A line without what differs from run to run: numbers, times, and where the home directory is.
fn essence(line: &str, home: &str) -> String {
    let line = line.replace(home, "/home/you");
    let mut text = String::new();
    for letter in line.trim_end().chars() {
        match letter {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            letter => text.push(letter),
        }
    }
    text
}

/// Lines whose very words differ from run to run.
fn is_steady(line: &str) -> bool {
    let shifting = [
        "DRIVE ",
        "/dev/sd",
        "/dev/loop",
        "  time ",
        "  moved ",
        "  before ",
        "  after ",
        "  left behind",
        "receipt (",
        "ACCOUNT",
        "SAMPLE-TINY-1  ",
        "bay-1  copying",
        "bay-2  empty",
        "BAY ",
        "  copy ",
        "  never sent",
        "  unknown ",
        "  done ",
    ];
    !shifting.iter().any(|words| line.contains(words))
}

/// The README's `bad.img`: a file of which eight sectors cannot be read.
fn failing_image(bench: &Workbench) -> Option<FuseDrive> {
    parts::fuse()?;
    parts::ddrescue()?;
    let drive = FuseDrive::mount(&bench.file("mount"), random_bytes(MIB, 1));
    drive.behaviour.lock().unwrap().bad = vec![(100 * 512, 108 * 512)];
    symlink(drive.path(), bench.file("bad.img")).unwrap();
    Some(drive)
}

/// Servers that the README starts; ended with the test.
struct Servers(Vec<std::process::Child>);

impl Drop for Servers {
    fn drop(&mut self) {
        for server in &mut self.0 {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

#[test]
fn every_command_of_the_readme_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let bench = Workbench::new();
    let programs = bench.file("bin");
    std::fs::create_dir(&programs).unwrap();
    symlink(env!("CARGO_BIN_EXE_agent-under-test"), programs.join("drive-agent")).unwrap();
    // `cargo run --release --` stands for the program here: it was built already.
    let cargo = programs.join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 99\nshift 3\nexec drive-agent \"$@\"\n")
        .unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink(root.join("sample-drives"), bench.file("sample-drives")).unwrap();
    let azurite = Azurite::start();
    let home = bench.path().to_str().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let failing = failing_image(&bench);
    let mut servers = Servers(Vec::new());
    let steps = steps(&readme);
    assert!(steps.len() >= 12, "the README lost its commands");
    for step in steps {
        if step.command == "tests/run" {
            assert!(std::fs::metadata(root.join("tests/run")).unwrap().permissions().mode() & 0o111 != 0);
            continue;
        }
        if step.command.contains("az://") && azurite.is_none() {
            continue;
        }
        let needs = |words: &[&str]| words.iter().any(|word| step.command.contains(word));
        if needs(&["attach", "detach"]) && parts::root_with_loop_devices().is_none() {
            continue;
        }
        if needs(&["bad.img", "blob.map"]) && failing.is_none() {
            continue;
        }
        // /tmp of the README is the bench's folder here.
        let command = step.command.replace("/tmp/", &format!("{home}/"));
        let mut run = Command::new("sh");
        run.args(["-c", &format!("({command}) 2>&1")]).current_dir(bench.path());
        run.env("PATH", &path).env("HOME", home).env("XDG_STATE_HOME", bench.file("state")).env("NO_COLOR", "1");
        if let Some(azurite) = &azurite {
            run.env("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string());
        }
        if let Some(begun) = command.strip_suffix(" &") {
            // A server: the next command finds it, and it ends with this test.
            let mut server = Command::new("sh");
            server.args(["-c", &format!("exec {begun}")]).current_dir(bench.path());
            server.env("PATH", &path).env("HOME", home).env("XDG_STATE_HOME", bench.file("state"));
            servers.0.push(server.spawn().unwrap());
            let url = bench.file("state/drive-agent/service.url");
            while !url.exists() {
                assert!(servers.0.iter_mut().all(|server| server.try_wait().unwrap().is_none()), "{command} ended");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            continue;
        }
        let output = run.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {printed}");
        let lines: Vec<String> = printed.lines().map(|line| essence(line, home)).collect();
        for expected in step.expected.iter().filter(|line| is_steady(line)) {
            let expected = essence(&expected.replace("/tmp/", &format!("{home}/")), home);
            assert!(lines.contains(&expected), "`{command}` did not print `{expected}` but:\n{printed}");
        }
    }
}
