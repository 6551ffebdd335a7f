//! What a station reads and writes of its own machine: profiles, links, modes, keys.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::Workbench;
use crate::support::agent::Agent;
use crate::support::images::{MIB, random_bytes};
use crate::support::loop_device::LoopDevice;
use crate::support::parts;
use crate::support::service::{Service, TWO_BAYS, import, job};

/// What must never come into a blob.
const SECRET: &[u8] = b"root:$6$the-shadow-of-this-machine$ ";

fn secret(bench: &Workbench) -> PathBuf {
    let path = bench.image("shadow", &SECRET.repeat(MIB / SECRET.len() + 1)[..MIB]);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn has_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// Files below a folder, and the folders.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut at = 0;
    while at < found.len() {
        if found[at].is_dir() && !found[at].is_symlink() {
            let entries = std::fs::read_dir(&found[at]).into_iter().flatten().flatten().map(|entry| entry.path());
            found.extend(entries.collect::<Vec<_>>());
        }
        at += 1;
    }
    found
}

#[test]
fn a_station_takes_profiles_only_where_it_is_told_to() {
    let bench = Workbench::new();
    let profile = bench.image("drive.toml", b"size = \"1MiB\"\nserial = \"SIM-1\"\nseed = 1\n");
    let service = Service::start(&bench, &format!("profiles = false\n{TWO_BAYS}"));
    let refused = service.dock("bay-1", &profile, None);
    assert!(refused.body.to_string().contains("`profiles = true`"), "{}", refused.body);
    assert_eq!(refused.status, 409);
    let watched = format!("[[bay]]\nname = \"bay-1\"\ndrive = \"{}\"\n", profile.display());
    let config = bench.image("watched.toml", watched.as_bytes());
    let other = bench.file("other");
    let ended = Agent::bare(bench.path(), &[&"serve", &"--config", &config, &"--state-dir", &other]).run();
    ended.expect_error(1, &["`profiles = true`", "bay-1"]);
}

#[test]
fn what_a_profile_names_lies_in_the_folders_for_drives() {
    let bench = Workbench::new();
    let drives = bench.file("drives");
    std::fs::create_dir(&drives).unwrap();
    let secret = secret(&bench);
    symlink(&secret, drives.join("link.img")).unwrap();
    let service = Service::start(&bench, &format!("drive_folders = [\"{}\"]\n{TWO_BAYS}", drives.display()));
    let base = "serial = \"SIM-1\"\nseed = 1\n";
    let sized = format!("size = \"2MiB\"\n{base}");
    let changing = "[[fault]]\nkind = \"changing-serial\"\nserials = [\"A\", \"B\"]\ncounter = ";
    for (name, text) in [
        ("overlay", format!("{sized}[[overlay]]\noffset = 0\nimage = \"{}\"\n", secret.display())),
        ("linked", format!("{sized}[[overlay]]\noffset = 0\nimage = \"link.img\"\n")),
        ("dots", format!("{sized}[[overlay]]\noffset = 0\nimage = \"../shadow\"\n")),
        ("backing", format!("size = \"1MiB\"\nbacking = \"{}\"\n{base}", secret.display())),
        ("below", format!("drive = \"{}\"\n{base}", secret.display())),
        ("device", format!("drive = \"/dev/zero\"\n{base}")),
        ("counted", format!("{sized}{changing}\"{}\"\n", secret.display())),
        ("itself", format!("drive = \"itself.toml\"\n{base}")),
    ] {
        let profile = drives.join(format!("{name}.toml"));
        std::fs::write(&profile, text).unwrap();
        let refused = service.dock("bay-1", &profile, None);
        assert_eq!(refused.status, 409, "{name}: {}", refused.body);
    }
    assert_eq!(std::fs::read(&secret).unwrap().len(), MIB, "nothing of it was changed");
    // What lies there may be named; and docking makes nothing.
    std::fs::write(drives.join("real.img"), random_bytes(MIB, 1)).unwrap();
    let good = drives.join("good.toml");
    let text = format!("{sized}backing = \"written\"\n[[overlay]]\noffset = 0\nimage = \"real.img\"\n{changing}\"counter\"\n");
    std::fs::write(&good, text.replace("serial = \"SIM-1\"", "serial = \"SIM-2\"")).unwrap();
    let before = all_below(&drives).len();
    service.dock("bay-1", &good, None).expect(200);
    service.stays("nothing made", || all_below(&drives).len() == before);
}

#[test]
fn a_profile_that_changes_while_it_is_docked_brings_nothing_down() {
    let bench = Workbench::new();
    let drives = bench.file("drives");
    std::fs::create_dir(&drives).unwrap();
    let secret = secret(&bench);
    let mut service = Service::start(&bench, &format!("drive_folders = [\"{}\"]\n{TWO_BAYS}", drives.display()));
    let profile = drives.join("p.toml");
    let text = "size = \"1MiB\"\nserial = \"SIM-1\"\nseed = 1\n";
    std::fs::write(&profile, text).unwrap();
    let image = drives.join("other.img");
    std::fs::write(&image, random_bytes(MIB, 2)).unwrap();
    service.dock("bay-1", &profile, None).expect(200);
    let bay = |service: &Service, index: usize| service.bays()[index].clone();
    rustix::fs::mkfifoat(rustix::fs::CWD, drives.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    for bad in [
        "drive = \"p.toml\"\n".to_owned(),
        format!("{text}[[overlay]]\noffset = 0\nimage = \"pipe\"\n"),
        format!("size = \"2MiB\"\nserial = \"SIM-1\"\n[[overlay]]\noffset = 0\nimage = \"{}\"\n", secret.display()),
        "x".repeat(3 << 20),
    ] {
        std::fs::write(&profile, &bad).unwrap();
        service.wait("an empty bay", || bay(&service, 0)["drive"].is_null().then_some(()));
        // The other bay is looked at all the same.
        service.dock("bay-2", &image, None).expect(200);
        service.undock("bay-2");
        std::fs::write(&profile, text).unwrap();
        service.wait("the drive again", || (!bay(&service, 0)["drive"].is_null()).then_some(()));
    }
    std::fs::write(&profile, "drive = \"p.toml\"\n").unwrap();
    service.kill();
    service.go();
    assert!(bay(&service, 0)["drive"].is_null(), "a restart finds a bay that is empty");
}

#[test]
fn a_profile_that_names_itself_is_told_so_on_the_command_line() {
    let bench = Workbench::new();
    bench.image("a.toml", b"drive = \"b.toml\"\n");
    bench.image("b.toml", b"drive = \"a.toml\"\nbacking = \"memory\"\n");
    bench.image("blob", &random_bytes(MIB, 1));
    Agent::new(bench.path(), &[&"import", &"a.toml", &"x"]).run().expect_error(1, &["names itself"]);
    Agent::new(bench.path(), &[&"export", &"blob", &"b.toml"]).run().expect_error(1, &["names itself"]);
}

#[test]
fn what_was_docked_by_hand_is_not_swapped_for_a_file_that_may_not_be_docked() {
    let bench = Workbench::new();
    let drives = bench.file("drives");
    std::fs::create_dir(&drives).unwrap();
    let secret = secret(&bench);
    let service = Service::start(&bench, &format!("drive_folders = [\"{}\"]\n{TWO_BAYS}", drives.display()));
    let image = drives.join("SWAP-1.img");
    std::fs::write(&image, random_bytes(MIB, 3)).unwrap();
    service.dock("bay-1", &image, None).expect(200);
    std::fs::remove_file(&image).unwrap();
    symlink(&secret, &image).unwrap();
    // A job names it, and would have it copied.
    service.ship_import("job-1", &["SWAP-1"]);
    service.wait("an empty bay", || service.bays()[0]["drive"].is_null().then_some(()));
    // It may have been checked in by what was seen before; it is not copied.
    service.stays("nothing copied", || {
        let copied = all_below(&service.blobs()).into_iter().filter(|path| path.is_file());
        copied.into_iter().all(|path| !has_secret(&std::fs::read(path).unwrap()))
            && service.job("job-1")["properties"]["state"] != "Packaging"
    });
}

#[test]
fn customers_data_and_secrets_are_for_the_services_user_alone() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    let faulty =
        "size = \"8MiB\"\nserial = \"BAD-1\"\nseed = 1\n[[fault]]\nkind = \"unreadable\"\noffset = \"1MiB\"\nlength = \"4KiB\"\n";
    let profile = bench.image("bad.toml", faulty.as_bytes());
    let mut body = import(&["BAD-1"]);
    body["properties"]["logLevel"] = "Verbose".into();
    body["properties"]["backupDriveManifest"] = true.into();
    service.call("PUT", &job("job-1"), body).expect(201);
    service.patch("job-1", crate::support::service::shipping()).expect(200);
    service.dock("bay-1", &profile, None).expect(200);
    service.wait_for_attention("copy-held");
    service.order("job-1", "retry", json!({ "driveId": "BAD-1", "rescue": true })).expect(200);
    service.wait_for_state("job-1", "Packaging");
    // What the service removes meanwhile is open to none.
    let open = |path: &PathBuf| path.symlink_metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    let all = all_below(&service.state());
    assert!(all.len() > 10, "{all:?}");
    assert_eq!(all.iter().filter(|path| open(path)).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
    // A folder that was opened to others is closed again.
    service.stop();
    std::fs::set_permissions(service.state(), std::fs::Permissions::from_mode(0o755)).unwrap();
    service.go();
    assert!(!open(&service.state()));
    let log = service.stop().stderr;
    assert!(log.contains("others could read"), "{log}");
}

#[test]
fn a_key_file_that_others_read_is_refused() {
    let bench = Workbench::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = bench.image("cert.pem", made.cert.pem().as_bytes());
    let key = bench.image("key.pem", made.signing_key.serialize_pem().as_bytes());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let tls = format!("[tls]\ncertificates = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let config = bench.image("tls.toml", tls.as_bytes());
    let ended = Agent::bare(bench.path(), &[&"serve", &"--config", &config, &"--listen", &"127.0.0.1:0"]).run();
    ended.expect_error(1, &["key.pem", "chmod 600"]);
}

#[test]
fn a_lost_vault_key_is_not_replaced_without_a_word() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    let mut body = import(&["A"]);
    let key = "238810-662376-448998-450120-652806-203390-606320-483076";
    body["properties"]["driveList"][0]["bitLockerKey"] = key.into();
    service.call("PUT", &job("job-1"), body).expect(201);
    service.stop();
    let vault = service.state().join("vault.key");
    let kept = std::fs::read(&vault).unwrap();
    std::fs::remove_file(&vault).unwrap();
    let serve = |more: &[&str]| Agent::bare(bench.path(), &[&"serve", &"--listen", &"127.0.0.1:0"]).with(more);
    serve(&[]).run().expect_error(1, &["vault.key", "--new-vault-key"]);
    assert!(!vault.exists());
    std::fs::write(&vault, kept).unwrap();
    std::fs::set_permissions(&vault, std::fs::Permissions::from_mode(0o600)).unwrap();
    service.go();
    let keys = service.call("POST", &job("job-1").replace("?", "/listBitLockerKeys?"), Value::Null).expect(200);
    assert_eq!(keys["value"][0]["bitLockerKey"], key);
    service.stop();
    std::fs::remove_file(&vault).unwrap();
    let running = serve(&["--new-vault-key"]).start();
    running.wait_for_words("serving on");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn a_path_that_comes_to_lead_to_another_device_is_refused() {
    if parts::root_with_loop_devices().is_none() {
        return;
    }
    let bench = Workbench::new();
    bench.image("blob", &random_bytes(MIB, 5));
    let one = LoopDevice::attach(&bench.image("one.img", &vec![0; MIB]), 512);
    let other_content = random_bytes(MIB, 6);
    let other = LoopDevice::attach(&bench.image("other.img", &other_content), 512);
    let link = bench.file("link");
    symlink(&one.path, &link).unwrap();
    let export = Agent::new(bench.path(), &[&"export", &"blob", &"link", &"--confirm", &one.word()]);
    let running = export.env("DRIVE_AGENT_STOP", "device-looked-at").start();
    running.wait_until_stopped();
    std::fs::remove_file(&link).unwrap();
    symlink(&other.path, &link).unwrap();
    running.signal(Signal::CONT);
    running.wait().expect_error(3, &["came to lead to another drive"]);
    assert_eq!(std::fs::read(bench.file("other.img")).unwrap(), other_content);
}
