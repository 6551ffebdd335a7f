//! Drives with places that cannot be read.

use crate::support::agent::{check_receipt, number};
use crate::support::fuse_drive::FuseDrive;
use crate::support::images::{KIB, MIB, random_bytes};
use crate::support::{Agent, Workbench, parts};

const CHUNK: usize = 256 * KIB;

fn drive(bench: &Workbench, bad: Vec<(u64, u64)>) -> Option<(FuseDrive, Vec<u8>)> {
    parts::fuse()?;
    let bytes = random_bytes(8 * CHUNK, 1);
    let drive = FuseDrive::mount(&bench.file("mount"), bytes.clone());
    // The identity's samples must not meet the bad place, or it would be part of it.
    drive.behaviour.lock().unwrap().bad = bad;
    Some((drive, bytes))
}

#[test]
fn stop_ends_the_transfer_with_the_place() {
    let bench = Workbench::new();
    let Some((drive, _)) = drive(&bench, vec![(600_000, 600_001)]) else {
        return;
    };
    let ended = Agent::new(bench.path(), &[&"import", &drive.path(), &"blob"]).with(&["--chunk-size", "256KiB"]).run();
    ended.expect_error(6, &["cannot read", "Input/output error"]);
    let result = ended.expect(6);
    assert_eq!(result["outcome"], "drive-failed");
    check_receipt(&result);
    drive.behaviour.lock().unwrap().bad.clear();
    let resumed = Agent::new(bench.path(), &[&"import", &drive.path(), &"blob"]).run().expect(0);
    assert!(number(&resumed, "bytes_reused") > 0);
}

#[test]
fn skip_and_rescue_copy_the_rest_and_list_what_is_missing() {
    for (policy, grain) in [("skip", 64 * KIB as u64), ("rescue", 4 * KIB as u64)] {
        let bench = Workbench::new();
        let Some((drive, mut bytes)) =
            drive(&bench, vec![(600_000, 600_001), (8 * CHUNK as u64 - 5000, 8 * CHUNK as u64 - 4500)])
        else {
            return;
        };
        let options = ["--chunk-size", "256KiB", "--on-unreadable", policy];
        let result = Agent::new(bench.path(), &[&"import", &drive.path(), &"blob"]).with(&options).run().expect(4);
        assert_eq!(result["outcome"], "complete-with-unreadable");
        let mut missing = 0;
        for range in result["unreadable"].as_array().unwrap() {
            let (offset, length) = (range["offset"].as_u64().unwrap(), range["length"].as_u64().unwrap());
            assert!(length <= 2 * grain, "{policy} lost {length} bytes at {offset}");
            bytes[offset as usize..(offset + length) as usize].fill(0);
            missing += length;
        }
        assert_eq!(result["unreadable"].as_array().unwrap().len(), 2, "{result}");
        assert_eq!(number(&result, "bytes_unreadable"), missing);
        assert_eq!(number(&result, "bytes_sent") + missing, bytes.len() as u64);
        assert_eq!(std::fs::read(bench.file("blob")).unwrap(), bytes, "{policy}");
        let manifest = std::fs::read_to_string(bench.file("blob.manifest.jsonl")).unwrap();
        assert!(manifest.contains("\"unreadable\":[{"), "the manifest lists them");
        // An export of the copy lists them too.
        let exported = Agent::new(bench.path(), &[&"export", &"blob", &"back"]).run().expect(4);
        assert_eq!(exported["unreadable"], result["unreadable"]);
    }
}

#[test]
fn a_drive_that_dies_ends_with_a_receipt_and_resumes_when_it_is_back() {
    let bench = Workbench::new();
    let Some((drive, bytes)) = drive(&bench, vec![]) else { return };
    let run =
        || Agent::new(bench.path(), &[&"import", &drive.path(), &"blob"]).with(&["--chunk-size", "64KiB", "--rate", "1MiB/s"]);
    let running = run().start();
    running.wait_for_chunks(1);
    drive.behaviour.lock().unwrap().is_dead = true;
    let result = running.wait().expect(6);
    check_receipt(&result);
    assert!(number(&result["receipt"]["landed_before_request"], "bytes") > 0);
    drive.behaviour.lock().unwrap().is_dead = false;
    assert!(number(&run().run().expect(0), "bytes_reused") > 0);
    assert_eq!(std::fs::read(bench.file("blob")).unwrap(), bytes);
}

#[test]
fn a_drive_that_cannot_be_read_back_has_failed_and_resumes_when_it_can() {
    let bench = Workbench::new();
    let sound = "size = \"8MiB\"\nserial = \"T-1\"\nbacking = \"kept.bin\"\n";
    let fault = "[[fault]]\nkind = \"unreadable\"\noffset = \"3MiB\"\nlength = 512\n";
    bench.image("target.toml", format!("{sound}{fault}").as_bytes());
    bench.image("blob", &random_bytes(8 * MIB, 1));
    let run = || Agent::new(bench.path(), &[&"export", &"blob", &"target.toml", &"--chunk-size", &"1MiB"]);
    let failed = run().with(&["--verify", "read-back"]).run();
    failed.expect_error(6, &["cannot read", "3145728+"]);
    check_receipt(&failed.expect(6));
    bench.image("target.toml", sound.as_bytes());
    let result = run().with(&["--verify", "read-back"]).run().expect(0);
    assert_eq!((number(&result, "bytes_reused"), &result["evidence"]), (8 * MIB as u64, &"read-back".into()));
}
