//! Every command of the README and the manual is run, in its order, and prints what the page says it prints.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use service::testing::PostgresServer;
use tokio::runtime::Runtime;

use crate::support::azurite::Azurite;
use crate::support::fuse_drive::FuseDrive;
use crate::support::gcs_fake::GcsFake;
use crate::support::images::{MIB, random_bytes};
use crate::support::s3_fake::S3Fake;
use crate::support::transcript;
use crate::support::wait::wait_until;
use crate::support::{Workbench, parts, source_root};

struct Step {
    command: String,
    expected: String,
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
                (Some(command), _) => steps.push(Step { command: command.to_owned(), expected: String::new() }),
                (None, Some(step)) => step.expected.extend([line, "\n"]),
                (None, None) => panic!("output before any command: {line}"),
            },
        }
    }
    steps
}

/// The manual's `bad.img`: a file of which eight sectors cannot be read.
fn failing_image(bench: &Workbench) -> Option<FuseDrive> {
    parts::fuse()?;
    parts::ddrescue()?;
    let drive = FuseDrive::mount(&bench.file("mount"), random_bytes(MIB, 1));
    drive.behaviour.lock().unwrap().bad = vec![(100 * 512, 108 * 512)];
    symlink(drive.path(), bench.file("bad.img")).unwrap();
    Some(drive)
}

/// Servers that a page starts; ended with it.
struct Servers(Vec<std::process::Child>);

impl Drop for Servers {
    fn drop(&mut self) {
        for server in &mut self.0 {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// What the commands of a page find: the program, its samples, a store, a drive that fails.
struct Reader {
    /// Ended before the folder that they use goes.
    servers: Servers,
    path: String,
    azurite: Option<Azurite>,
    s3: S3Fake,
    gcs: GcsFake,
    /// Names the database of a page that has one.
    database: Option<String>,
    failing: Option<FuseDrive>,
    bench: Workbench,
}

impl Reader {
    fn new() -> Self {
        let bench = Workbench::new();
        let programs = bench.file("bin");
        std::fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_agent-under-test"), programs.join("drive-agent")).unwrap();
        // `cargo run --release --` stands for the program here: it was built already.
        let cargo = programs.join("cargo");
        std::fs::write(&cargo, "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 99\nshift 3\nexec drive-agent \"$@\"\n")
            .unwrap();
        std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
        symlink(source_root().join("sample-drives"), bench.file("sample-drives")).unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let (azurite, failing) = (Azurite::start(), failing_image(&bench));
        let (s3, gcs) = (S3Fake::start(), GcsFake::start());
        // Where pieces of an object are put that is in a locked bucket.
        s3.add_bucket("scratch");
        Reader { servers: Servers(Vec::new()), path, azurite, s3, gcs, database: None, failing, bench }
    }

    fn home(&self) -> &str {
        self.bench.path().to_str().unwrap()
    }

    /// Whether this machine has what a command needs.
    fn can_run(&self, command: &str) -> bool {
        let needs = |words: &[&str]| words.iter().any(|word| command.contains(word));
        !(needs(&["az://"]) && self.azurite.is_none()
            || needs(&["attach", "detach"]) && parts::root_with_loop_devices().is_none()
            || needs(&["bad.img", "blob.map"]) && self.failing.is_none())
    }

    fn shell(&self, text: &str) -> Command {
        let mut run = Command::new("sh");
        run.args(["-c", text]).current_dir(self.bench.path());
        run.env("PATH", &self.path)
            .env("HOME", self.home())
            .env("XDG_STATE_HOME", self.bench.file(".local/state"))
            .env("NO_COLOR", "1");
        run.envs(self.s3.variables()).envs(self.gcs.variables());
        run.envs(self.database.iter().map(|address| ("DATABASE", address)));
        if let Some(azurite) = &self.azurite {
            run.env("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string());
        }
        run
    }

    /// Starts a server: the next command finds it where it has the usual state directory, and it ends with this page.
    fn serve(&mut self, command: &str) {
        let server = self.shell(&format!("exec {command}")).spawn().unwrap();
        self.servers.0.push(server);
        if !command.starts_with("drive-agent") {
            return;
        }
        let address = self.bench.file(".local/state/drive-agent/service.url");
        wait_until("the address of the service", || {
            assert!(self.servers.0.iter_mut().all(|server| server.try_wait().unwrap().is_none()), "{command} ended");
            address.exists()
        });
    }

    /// Runs the commands of a page; how many it has.
    fn read(&mut self, steps: &[Step]) -> usize {
        for step in steps {
            if step.command == "tests/run" {
                assert!(std::fs::metadata(source_root().join("tests/run")).unwrap().permissions().mode() & 0o111 != 0);
            } else if self.can_run(&step.command) {
                self.run(step);
            }
        }
        steps.len()
    }

    fn run(&mut self, step: &Step) {
        // /tmp of a page is the bench's folder here.
        let command = step.command.replace("/tmp/", &format!("{}/", self.home()));
        if let Some(begun) = command.strip_suffix(" &") {
            return self.serve(begun);
        }
        let output = self.shell(&format!("({command}) 2>&1")).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {printed}");
        // A page may leave out what a command prints.
        if !step.expected.is_empty() {
            let expected = step.expected.replace("/tmp/", "/home/you/");
            transcript::require_same(&step.command, &printed.replace(self.home(), "/home/you"), &expected);
        }
    }
}

/// The README, and every page of the manual.
fn pages() -> Vec<PathBuf> {
    let manual = std::fs::read_dir(source_root().join("agent/manual")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = manual.collect();
    pages.sort();
    pages.insert(0, source_root().join("README.md"));
    pages
}

/// Each page stands alone: its commands are run in a folder of its own.
#[test]
fn every_command_of_the_readme_and_the_manual_works() {
    let mut count = 0;
    for page in pages().into_iter().filter(|page| !page.ends_with(WITH_DATABASE)) {
        let steps = steps(&std::fs::read_to_string(&page).unwrap());
        if !steps.is_empty() {
            count += Reader::new().read(&steps);
        }
    }
    assert!(count >= 40, "the pages lost their commands: {count}");
}

/// The page whose commands need a PostgreSQL server.
const WITH_DATABASE: &str = "fleet-example.md";

#[test]
fn the_fleet_of_the_manual_survives_a_lost_station_and_a_lost_service() {
    let Some(server) = parts::part(PostgresServer::start(), "PostgreSQL") else { return };
    let steps = steps(&std::fs::read_to_string(source_root().join("agent/manual").join(WITH_DATABASE)).unwrap());
    let mut reader = Reader::new();
    reader.database = Some(Runtime::new().unwrap().block_on(server.new_database()));
    assert!(reader.read(&steps) > 20);
}

#[test]
fn the_readme_is_short_and_leads_to_every_page() {
    let readme = std::fs::read_to_string(source_root().join("README.md")).unwrap();
    assert!((120..=160).contains(&readme.lines().count()), "{} lines", readme.lines().count());
    for page in pages().iter().skip(1) {
        let link = format!("(agent/manual/{})", page.file_name().unwrap().to_str().unwrap());
        assert!(readme.contains(&link), "the README has no link {link}");
    }
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.contains("://")) {
            assert!(page.parent().unwrap().join(link).exists(), "{}: {link} is not there", page.display());
        }
    }
}

#[test]
fn every_defence_of_the_manual_has_the_test_it_names() {
    let page = std::fs::read_to_string(source_root().join("agent/manual/security.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat") && !line.starts_with("| side"));
    let threats: Vec<&str> = rows.skip_while(|row| !row.contains("names another's serial")).collect();
    assert!(threats.len() > 20, "{threats:?}");
    for row in threats {
        let named = row.rsplit(" | ").next().unwrap();
        for test in named.split('`').skip(1).step_by(2) {
            let Some((file, name)) = test.split_once("::") else {
                assert!(source_root().join(test).exists(), "{test} is not there");
                continue;
            };
            let source = std::fs::read_to_string(source_root().join(format!("tests/it/{file}.rs"))).unwrap_or_default();
            assert!(source.contains(&format!("#[test]\nfn {name}()")), "there is no test {test}: {row}");
        }
    }
}
