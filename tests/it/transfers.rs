//! Transfers that were begun and not finished: listed, shown and discarded, with everything that is another's left alone.

use protocol::manifest::{Header, Line, decode, encode};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{MIB, journals_in, partials_of, random_bytes};
use crate::support::wait::wait_until;
use crate::support::{Agent, Ended, Workbench};

const DELAY: std::time::Duration = std::time::Duration::from_millis(30);

fn transfers(bench: &Workbench, words: &[&str]) -> Ended {
    Agent::new(bench.path(), &[&"transfers"]).with(words).run()
}

fn entries(bench: &Workbench) -> Vec<Value> {
    transfers(bench, &[]).expect(0)["transfers"].as_array().unwrap().clone()
}

/// An import that was stopped after some chunks, by this signal.
fn stopped_import(fake: &AzureFake, bench: &Workbench, signal: Signal, more: &[&str]) -> String {
    let blob = fake.blob("blob");
    fake.set_put_delay(DELAY);
    let on = if more.contains(&"page") { On::PutPage } else { On::PutBlock };
    let before = fake.done(on);
    let import = Agent::new(bench.path(), &[&"import", &"drive.img", &blob]);
    let running = import.with(&["--chunk-size", "64KiB", "--concurrency", "1"]).with(more).start();
    fake.wait_done(on, before + 4);
    running.signal(signal);
    running.wait();
    blob
}

fn scene() -> (AzureFake, Workbench) {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(MIB, 1));
    (fake, bench)
}

#[test]
fn nothing_unfinished_is_said_as_such() {
    let bench = Workbench::new();
    assert_eq!(entries(&bench), Vec::<Value>::new());
    let text = Agent::bare(bench.path(), &[&"transfers", &"list"]).run();
    assert_eq!((text.code, text.stdout.as_str()), (Some(0), "there are no unfinished transfers\n"));
    transfers(&bench, &["show", "abcd"]).expect_error(2, &["there is no unfinished transfer `abcd`"]);
    transfers(&bench, &["discard", "abcd", "--yes"]).expect_error(2, &["there is no unfinished transfer"]);
    assert!(!bench.file("state/drive-agent/journals").exists(), "a look makes nothing");
}

#[test]
fn uncommitted_blocks_are_listed_and_discarded() {
    let (fake, bench) = scene();
    let blob = stopped_import(&fake, &bench, Signal::INT, &[]);
    let held: u64 = fake.uncommitted("blob").iter().map(|(_, bytes)| bytes).sum();
    // Without the SAS the store cannot be asked, and that is said.
    let listed = entries(&bench);
    assert!(listed[0]["store_error"].as_str().unwrap().contains("credentials"), "{listed:?}");
    assert_eq!((listed.len(), listed[0]["bytes_total"].as_u64()), (1, Some(MIB as u64)));
    let shown = transfers(&bench, &["show", &blob]).expect(0);
    assert_eq!((shown["left"]["bytes"].as_u64(), shown["left"]["lives_days"].as_u64()), (Some(held), Some(7)));
    assert_eq!(shown["bytes_landed"].as_u64(), Some(held));
    let id = shown["transfer_id"].as_str().unwrap();
    transfers(&bench, &["discard", &blob]).expect_error(3, &["is abandoned, with", "uncommitted blocks", "--yes"]);
    assert_eq!(fake.uncommitted("blob").iter().map(|(_, bytes)| bytes).sum::<u64>(), held, "nothing was done");
    let discarded = transfers(&bench, &["discard", &blob, "--yes"]).expect(0);
    assert_eq!((discarded["transfer_id"].as_str(), discarded.get("stays")), (Some(id), None));
    assert!(fake.names().is_empty() && bench.journals().is_empty(), "{:?}", fake.names());
    transfers(&bench, &["discard", &blob, "--yes"]).expect_error(2, &["there is no unfinished transfer"]);
}

#[test]
fn a_store_out_of_reach_does_not_keep_a_transfer() {
    let (fake, bench) = scene();
    let blob = stopped_import(&fake, &bench, Signal::INT, &[]);
    for on in [On::Head, On::GetBlockList] {
        fake.always_fail(on, Some(Fault::Answer(403, "AuthorizationPermissionMismatch")));
    }
    let before = fake.uncommitted("blob");
    transfers(&bench, &["discard", &blob, "--yes"]).expect_error(7, &["403", "`--local`"]);
    assert_eq!(bench.journals().len(), 1);
    let discarded = transfers(&bench, &["discard", &blob, "--yes", "--local"]).expect(0);
    assert_eq!(discarded["stays"], "what it left at the store stays");
    assert_eq!((fake.uncommitted("blob"), bench.journals().len()), (before, 0));
}

#[test]
fn blocks_that_may_be_of_another_transfer_stay() {
    let (fake, bench) = scene();
    let blob = stopped_import(&fake, &bench, Signal::INT, &[]);
    // Another drive is imported under the same name from elsewhere.
    bench.image("drive.img", &random_bytes(MIB, 2));
    stopped_import(&fake, &bench, Signal::INT, &["--state-dir", "other"]);
    let before = fake.uncommitted("blob");
    let discarded = transfers(&bench, &["discard", &blob, "--yes"]).expect(0);
    assert!(discarded["stays"].as_str().unwrap().contains("may be another one's"), "{discarded}");
    assert_eq!((fake.uncommitted("blob"), bench.journals().len()), (before, 0));
    // Under a blob that is whole they stay as well.
    fake.put_plain("blob", vec![1; 512], &[]);
    let discarded = transfers(&bench, &["discard", &blob, "--yes", "--state-dir", "other"]).expect(0);
    assert!(discarded["stays"].as_str().is_none_or(|stays| stays.contains("a blob has this name")), "{discarded}");
    assert_eq!(fake.content("blob").unwrap(), vec![1; 512]);
}

#[test]
fn an_unfinished_page_blob_is_removed_and_no_other() {
    let (fake, bench) = scene();
    let blob = stopped_import(&fake, &bench, Signal::KILL, &["--blob-type", "page"]);
    let shown = transfers(&bench, &["show", &blob]).expect(0);
    assert!(shown["left"]["description"].as_str().unwrap().contains("marked `incomplete`"), "{shown}");
    assert!(shown["resume"].as_str().unwrap().ends_with("--blob-type page"), "{shown}");
    transfers(&bench, &["discard", &blob, "--yes"]).expect(0);
    assert!(fake.names().is_empty() && bench.journals().is_empty(), "{:?}", fake.names());
    // One that another transfer has made since stays.
    let blob = stopped_import(&fake, &bench, Signal::INT, &["--blob-type", "page"]);
    stopped_import(&fake, &bench, Signal::INT, &["--blob-type", "page", "--overwrite", "--state-dir", "other"]);
    let version = fake.etag("blob");
    transfers(&bench, &["discard", &blob, "--yes"]).expect(0);
    assert_eq!(fake.etag("blob"), version);
    transfers(&bench, &["discard", &blob, "--yes", "--state-dir", "other"]).expect(0);
    assert!(fake.names().is_empty());
}

#[test]
fn a_page_blob_that_a_stranger_replaced_is_said_to_be_replaced() {
    let (fake, bench) = scene();
    let blob = stopped_import(&fake, &bench, Signal::INT, &["--blob-type", "page"]);
    fake.put_page_blob("blob", MIB);
    let version = fake.etag("blob");
    let shown = transfers(&bench, &["show", &blob]).expect(0);
    let replaced = "another program replaced the page blob that was begun";
    assert!(shown["left"]["description"].as_str().unwrap().contains(replaced), "{shown}");
    assert_eq!(shown["left"]["bytes"], 0);
    transfers(&bench, &["discard", &blob]).expect_error(3, &["is abandoned, with", replaced, "--yes"]);
    let discarded = transfers(&bench, &["discard", &blob, "--yes"]).expect(0);
    assert!(discarded.get("stays").is_none() && bench.journals().is_empty(), "{discarded}");
    assert_eq!(fake.etag("blob"), version, "it is the stranger's");
}

#[test]
fn options_are_validated_where_there_is_no_store_to_ask() {
    let bench = Workbench::new();
    for (options, words) in [(["--ca", "missing.pem"], "missing.pem"), (["--proxy", "ftp://p:1"], "--proxy")] {
        for command in [&[][..], &["list", "--local"], &["show", "abcd"], &["discard", "abcd", "--yes"]] {
            let ended = transfers(&bench, &[command, &options].concat());
            ended.expect_error(2, &[words]);
            assert!(!ended.stderr.contains("there is no unfinished transfer"), "{}", ended.stderr);
        }
    }
}

#[test]
fn a_running_transfer_is_left_alone() {
    let (fake, bench) = scene();
    fake.set_put_delay(DELAY);
    let blob = fake.blob("blob");
    let import = Agent::new(bench.path(), &[&"import", &"drive.img", &blob]);
    let running = import.with(&["--chunk-size", "64KiB", "--concurrency", "1"]).start();
    fake.wait_done(On::PutBlock, 2);
    assert_eq!(entries(&bench)[0]["is_running"], true);
    transfers(&bench, &["discard", &blob, "--yes"]).expect_error(3, &["is running: cancel it first"]);
    running.wait().expect(0);
    assert_eq!(entries(&bench).len(), 0);
}

#[test]
fn files_in_a_directory_and_images_are_removed() {
    let (bench, slow) = (Workbench::new(), ["--rate", "1MB/s"]);
    bench.image("drive.img", &random_bytes(4 * MIB, 1));
    let stop_after_chunks = |arguments: &[&dyn AsRef<std::ffi::OsStr>]| {
        let running = Agent::new(bench.path(), arguments).with(&slow).start();
        running.wait_for_chunks(2);
        running.signal(Signal::KILL);
        running.wait();
    };
    std::fs::create_dir(bench.file("store")).unwrap();
    stop_after_chunks(&[&"import", &"drive.img", &"store/blob", &"--chunk-size", &"64KiB"]);
    assert_eq!(bench.partials("store/blob").len(), 1);
    let listed = entries(&bench);
    assert!(listed[0]["left"]["path"].as_str().unwrap().ends_with(".partial"), "{listed:?}");
    // Another's unfinished file beside it, and a table that people read.
    let other = bench.file("store/blob.0123456789abcdef.partial");
    std::fs::write(&other, "other").unwrap();
    let text = Agent::bare(bench.path(), &[&"transfers"]).run();
    assert!(text.stdout.contains("import") && text.stdout.contains("stopped"), "{}", text.stdout);
    transfers(&bench, &["discard", "store/blob", "--yes"]).expect(0);
    assert_eq!((bench.partials("store/blob"), entries(&bench).len()), (vec![other], 0));

    Agent::new(bench.path(), &[&"import", &"drive.img", &"store/whole"]).with(&["--chunk-size", "64KiB"]).run().expect(0);
    stop_after_chunks(&[&"export", &"store/whole", &"back.img"]);
    let shown = transfers(&bench, &["show", "back.img"]).expect(0);
    assert_eq!(shown["direction"], "export");
    transfers(&bench, &["discard", "back.img", "--yes"]).expect(0);
    assert!(bench.partials("back.img").is_empty() && bench.file("store/whole").exists());
}

#[test]
fn a_discard_that_was_cut_off_is_repeated() {
    for point in ["empty-committed", "journal-removed"] {
        let (fake, bench) = scene();
        let blob = stopped_import(&fake, &bench, Signal::INT, &[]);
        fake.set_put_delay(std::time::Duration::ZERO);
        let killed = Agent::new(bench.path(), &[&"transfers", &"discard", &blob, &"--yes"]).env("DRIVE_AGENT_CRASH", point).run();
        assert_ne!(killed.code, Some(0), "{point}");
        let again = transfers(&bench, &["discard", &blob, "--yes"]);
        assert_eq!(again.code, Some(if point == "empty-committed" { 0 } else { 2 }), "{point}: {}", again.stderr);
        assert!(fake.names().is_empty() && bench.journals().is_empty(), "{point}: {:?}", fake.names());
        Agent::new(bench.path(), &[&"import", &"drive.img", &blob]).run().expect(0);
    }
}

#[test]
fn a_relative_path_means_the_same_drive_from_every_folder() {
    let bench = Workbench::new();
    let blob = bench.image("source.bin", &random_bytes(4 * MIB, 5));
    let folder = |name: &str| {
        let folder = bench.file(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let (here, there) = (folder("here"), folder("there"));
    let export = Agent::new(bench.path(), &[&"export", &blob, &"y.img"]).within(&here);
    let running = export.with(&["--chunk-size", "64KiB", "--rate", "1MB/s"]).start();
    running.wait_for_chunks(2);
    running.signal(Signal::KILL);
    running.wait();
    let own = partials_of(&here.join("y.img"));
    let [own] = own.as_slice() else { panic!("{own:?}") };
    // What has the same name in another folder is another's.
    let foreign = there.join(own.file_name().unwrap());
    std::fs::write(&foreign, b"foreign").unwrap();
    let from =
        |folder: &std::path::Path, words: &[&str]| Agent::new(bench.path(), &[&"transfers"]).within(folder).with(words).run();
    from(&there, &["discard", "y.img", "--yes"]).expect_error(2, &["there is no unfinished transfer"]);
    let shown = from(&there, &["show", here.join("y.img").to_str().unwrap()]).expect(0);
    assert_eq!(shown["drive"], here.join("y.img").to_str().unwrap());
    let resume = shown["resume"].as_str().unwrap();
    let begun = format!("cd {} && drive-agent export {} y.img", here.display(), blob.display());
    assert!(resume.starts_with(&begun), "{resume}");
    let id = shown["transfer_id"].as_str().unwrap();
    from(&there, &["discard", id, "--yes"]).expect(0);
    assert!(!own.exists() && std::fs::read(&foreign).unwrap() == b"foreign");
}

#[test]
fn an_address_without_an_account_is_of_the_account_that_is_configured() {
    let (fake, bench) = scene();
    stopped_import(&fake, &bench, Signal::INT, &[]);
    let discard = |account: &str| {
        let address = fake.blob("blob");
        let (endpoint, _) = address.split_once("/account/").unwrap();
        let text = format!("BlobEndpoint={endpoint}/{account};SharedAccessSignature=sv=2022&sig=good");
        let words = [&"transfers" as &dyn AsRef<std::ffi::OsStr>, &"discard", &"az://drives/blob", &"--yes", &"--local"];
        Agent::new(bench.path(), &words).env("AZURE_STORAGE_CONNECTION_STRING", &text).run()
    };
    discard("other").expect_error(2, &["there is no unfinished transfer"]);
    assert_eq!(bench.journals().len(), 1);
    discard("account").expect(0);
    assert!(bench.journals().is_empty());
}

#[test]
fn the_command_that_resumes_says_how_the_blob_is_made() {
    let (fake, bench) = scene();
    let blob = stopped_import(&fake, &bench, Signal::KILL, &["--blob-type", "page", "--blob-format", "vhd", "--overwrite"]);
    let shown = transfers(&bench, &["show", &blob]).expect(0);
    let resume = shown["resume"].as_str().unwrap();
    assert!(resume.ends_with(" --blob-type page --blob-format vhd --overwrite"), "{resume}");
    assert!(resume.starts_with(&format!("drive-agent import drive.img '{}?SAS'", blob.split('?').next().unwrap())), "{resume}");
    // A journal of an earlier version has no command: what it knows of it is said, and that there may be more.
    let journal = bench.journals().remove(0);
    let text = std::fs::read_to_string(&journal).unwrap();
    let (header, records) = text.split_once('\n').unwrap();
    let Line::Header(header) = decode(header.as_bytes()).unwrap() else { panic!("{header}") };
    let mut older = Vec::new();
    encode(&Line::Header(Box::new(Header { begun_by: None, ..*header })), &mut older).unwrap();
    older.extend(records.as_bytes());
    std::fs::write(&journal, older).unwrap();
    let shown = Agent::bare(bench.path(), &[&"transfers", &"show", &blob]).run();
    let drive = format!("drive-agent import {} ", bench.file("drive.img").display());
    let known = "--blob-type page --blob-format vhd --overwrite (with the other options of the command that began it";
    assert!(shown.stdout.contains(&drive) && shown.stdout.contains(known), "{}", shown.stdout);
}

#[test]
fn the_commands_of_a_transfer_work_as_they_are_printed() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(4 * MIB, 1));
    let options = ["--chunk-size", "64KiB", "--rate", "1MB/s", "--state-dir", "kept here", "--mapfile", "map", "--fill", "0xff"];
    let running = Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).with(&options).start();
    wait_until("chunks in the journal", || {
        let journals = journals_in(&bench.file("kept here/journals"));
        journals.iter().any(|journal| std::fs::read_to_string(journal).unwrap().lines().count() > 3)
    });
    running.signal(Signal::KILL);
    running.wait();
    let show = || transfers(&bench, &["show", "drive.img", "--state-dir", "kept here", "--trust-host", "a.example:1"]).expect(0);
    let shown = show();
    let resume = shown["resume"].as_str().unwrap();
    assert!(["--mapfile map", "--fill 0xff", "--state-dir 'kept here'"].iter().all(|part| resume.contains(part)), "{resume}");
    let program = env!("CARGO_BIN_EXE_agent-under-test");
    let run = |command: &str, more: &str| {
        let command = format!("{}{more}", command.replace("drive-agent ", &format!("{program} ")));
        let shell = std::process::Command::new("sh").arg("-c").arg(command).current_dir(std::env::temp_dir()).output().unwrap();
        (shell.status.code(), String::from_utf8_lossy(&shell.stderr).into_owned())
    };
    let resumed = run(&format!("cd {} && timeout -s INT 1 {resume}", bench.path().display()), "");
    assert!(resumed.1.contains("resuming a transfer begun at"), "{resumed:?}");
    assert_eq!(bench.partials("blob").len(), 1, "it went on with what was there");
    let discard = shown["discard"].as_str().unwrap();
    assert!(discard.contains("--trust-host a.example:1"), "{discard}");
    assert_eq!(run(discard, " --yes").0, Some(0), "{discard}");
    assert!(bench.partials("blob").is_empty());
}
