//! Disks of Azure: page blobs that are fixed VHDs, made or written into, and read without their footer.

use std::process::Command;

use rustix::process::Signal;

use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::azurite::Azurite;
use crate::support::images::{KIB, MIB, random_bytes};
use crate::support::{Agent, Workbench};

const PAGE: [&str; 4] = ["--blob-type", "page", "--chunk-size", "64KiB"];
const VHD: [&str; 2] = ["--blob-format", "vhd"];

/// A drive that is no whole number of MiB, with zeros in it.
fn drive(bench: &Workbench, seed: u64) -> Vec<u8> {
    let mut bytes = random_bytes(MIB + 512 * KIB + 512, seed);
    bytes[200 * KIB..900 * KIB].fill(0);
    bench.image("drive.img", &bytes);
    bytes
}

fn import(bench: &Workbench, fake: &AzureFake, more: &[&str]) -> Agent {
    Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("disk")]).with(&PAGE).with(&VHD).with(more)
}

fn export(bench: &Workbench, blob: &str, more: &[&str]) -> Vec<u8> {
    let _ = std::fs::remove_file(bench.file("back.img"));
    Agent::new(bench.path(), &[&"export", &blob, &"back.img"]).with(more).run().expect(0);
    std::fs::read(bench.file("back.img")).unwrap()
}

#[test]
fn a_vhd_has_whole_mebibytes_and_a_footer_and_comes_back_without() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else { return };
    let bytes = drive(&bench, 1);
    let blob = azurite.blob("disk.vhd");
    let imported = Agent::new(bench.path(), &[&"import", &"drive.img", &blob]).with(&PAGE).with(&VHD).run().expect(0);
    assert_eq!(imported["bytes_total"].as_u64(), Some(bytes.len() as u64));
    assert!(export(&bench, &blob, &[]) == bytes, "the drive as it was, with the manifest");
    let manifest = imported["manifest"].as_str().unwrap().to_owned();
    let with_sas = blob.replace("disk.vhd?", "disk.vhd.manifest.jsonl?");
    assert!(with_sas.starts_with(&manifest));
    Agent::new(bench.path(), &[&"verify", &with_sas, &"--blob", &blob]).run().expect(0);
    // All of it, as others see it: curl knows nothing of us.
    let got =
        Command::new("curl").args(["--silent", "--fail", "--noproxy", "*", "-o"]).arg(bench.file("disk.vhd")).arg(&blob).status();
    assert!(got.unwrap().success());
    let whole = std::fs::read(bench.file("disk.vhd")).unwrap();
    assert_eq!(whole.len(), 2 * MIB + 512);
    assert!(whole[..bytes.len()] == bytes && whole[bytes.len()..2 * MIB].iter().all(|byte| *byte == 0));
    assert_eq!(blob::vhd::disk_bytes(&whole[2 * MIB..]), Some(2 * MIB as u64));
    // Where the tool of others is, it agrees.
    if let Ok(output) = Command::new("qemu-img").args(["info", "-f", "vpc", "disk.vhd"]).current_dir(bench.path()).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_disk_of_others_fits_the_drive_that_it_is_of() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let disk = random_bytes(5 * MIB, 1);
    let footer = blob::vhd::footer(5 * MIB as u64, "other", std::time::SystemTime::now());
    fake.put_plain("disk.vhd", [disk.clone(), footer.to_vec()].concat(), &[]);
    let blob = fake.blob("disk.vhd");
    assert!(export(&bench, &blob, &[]) == disk && export(&bench, &blob, &VHD) == disk);
    assert!(export(&bench, &blob, &["--blob-format", "raw"]) == [disk.clone(), footer.to_vec()].concat());
    // What only has its length is no disk.
    fake.put_plain("raw", [disk, vec![1; 512]].concat(), &[]);
    assert_eq!(export(&bench, &fake.blob("raw"), &[]).len(), 5 * MIB + 512);
    let refused = Agent::new(bench.path(), &[&"export", &fake.blob("raw"), &"other.img"]).with(&VHD).run();
    refused.expect_error(3, &["has not the footer of a fixed VHD"]);
}

/// A disk that is there, and may be neither made nor marked.
fn upload_disk(fake: &AzureFake) {
    fake.put_page_blob("disk", 2 * MIB + 512);
    for on in [On::PutBlob, On::SetMetadata, On::SetProperties, On::PutBlock, On::PutBlockList] {
        fake.always_fail(on, Some(Fault::Answer(403, "AuthorizationPermissionMismatch")));
    }
}

#[track_caller]
fn expect_disk(fake: &AzureFake, bytes: &[u8]) {
    let content = fake.content("disk").unwrap();
    assert!(content[..bytes.len()] == *bytes && content[bytes.len()..2 * MIB].iter().all(|byte| *byte == 0));
    assert_eq!(blob::vhd::disk_bytes(&content[2 * MIB..]), Some(2 * MIB as u64));
}

#[test]
fn an_existing_disk_is_written_into_and_its_data_is_not_replaced_unasked() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let first = drive(&bench, 1);
    upload_disk(&fake);
    import(&bench, &fake, &[]).run().expect_error(3, &["exists already"]);
    let result = import(&bench, &fake, &["--into-existing"]).run().expect(0);
    expect_disk(&fake, &first);
    assert!(export(&bench, &fake.blob("disk"), &[])[..first.len()] == first);
    // The manifest is here, and the disk is longer than the drive that it is of.
    let manifest = result["manifest"].as_str().unwrap().to_owned();
    Agent::new(bench.path(), &[&"verify", &manifest, &"--blob", &fake.blob("disk")]).run().expect(0);
    let second = drive(&bench, 2);
    for more in [&["--into-existing", "--dry-run"][..], &["--into-existing"], &["--into-existing", "--restart"]] {
        import(&bench, &fake, more).run().expect_error(3, &["it holds data: take an empty disk"]);
        expect_disk(&fake, &first);
    }
    // A drive with zeros where the other had bytes.
    let zeros = vec![0; second.len()];
    bench.image("drive.img", &zeros);
    import(&bench, &fake, &["--into-existing", "--overwrite"]).run().expect(0);
    expect_disk(&fake, &zeros);
}

#[test]
fn an_import_into_a_disk_resumes_after_a_cancel_and_a_kill() {
    for signal in [Signal::INT, Signal::KILL] {
        let (fake, bench) = (AzureFake::start(), Workbench::new());
        let bytes = drive(&bench, 1);
        upload_disk(&fake);
        fake.set_put_delay(std::time::Duration::from_millis(30));
        let running = import(&bench, &fake, &["--into-existing", "--concurrency", "1"]).start();
        fake.wait_done(On::PutPage, 4);
        running.signal(signal);
        let ended = running.wait();
        if signal == Signal::INT {
            assert_eq!(
                ended.expect(130)["receipt"]["residue"]["description"],
                "what was written into the page blob, kept for a resume"
            );
        }
        let resumed = import(&bench, &fake, &["--into-existing"]).run().expect(0);
        expect_disk(&fake, &bytes);
        let is_reused = resumed["bytes_reused"].as_u64() > Some(0);
        assert!(is_reused || signal == Signal::KILL, "{resumed}");
    }
}

#[test]
fn what_cannot_become_of_a_disk_is_refused_before_the_first_byte() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    drive(&bench, 1);
    import(&bench, &fake, &["--into-existing"]).run().expect_error(3, &["it is not there: make the disk first"]);
    fake.put_page_blob("disk", 4 * MIB + 512);
    import(&bench, &fake, &["--into-existing"]).run().expect_error(3, &["it has 4194816 bytes", "--upload-size-bytes 2097664"]);
    let block = Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("disk")]).with(&VHD).run();
    block.expect_error(2, &["are for page blobs: add `--blob-type page`"]);
    let file = Agent::new(bench.path(), &[&"import", &"drive.img", &"out.img"]).with(&PAGE).with(&VHD).run();
    file.expect_error(2, &["are for page blobs of Azure"]);
    assert_eq!(fake.seen(On::PutPage), 0);
}
