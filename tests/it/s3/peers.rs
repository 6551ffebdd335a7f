//! SeaweedFS, which knows nothing of us, and s5cmd, which reads what we wrote and writes what we read.

use rustix::process::Signal;

use super::{CHUNK, with_credentials};
use crate::support::agent::{check_receipt, number};
use crate::support::images::{patterned, random_bytes, same_content};
use crate::support::seaweedfs::{SeaweedFs, s5cmd};
use crate::support::{Agent, Workbench};

fn run(server: &SeaweedFs, bench: &Workbench, words: &[&str]) -> Agent {
    let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>).collect();
    with_credentials(Agent::new(bench.path(), &words), &server.variables())
}

#[test]
fn s5cmd_reads_what_we_wrote_and_we_read_what_it_wrote() {
    let Some(server) = SeaweedFs::start() else { return };
    let bench = Workbench::new();
    let mut bytes = patterned("rrzrzzr", CHUNK);
    bytes.extend_from_slice(&random_bytes(12_345 - 12_345 % 512, 9));
    bench.image("drive.img", &bytes);
    let imported = run(&server, &bench, &["import", "drive.img", "s3://drives/ours.img", "--chunk-size", "5MiB"]).run().expect(0);
    assert_eq!(imported["evidence"], "transport", "it refuses what has a wrong checksum");
    let copied = s5cmd(&server.endpoint(), bench.path(), &["cp", "s3://drives/ours.img", "theirs.img"]);
    if copied.is_none() {
        return;
    }
    assert!(same_content(&bench.file("drive.img"), &bench.file("theirs.img")));
    s5cmd(&server.endpoint(), bench.path(), &["cp", "--part-size", "5", "drive.img", "s3://drives/theirs.img"]);
    run(&server, &bench, &["export", "s3://drives/theirs.img", "back.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    // The server lists folders of the first transfer for some time: they are not another transfer.
    let again = run(&server, &bench, &["import", "drive.img", "s3://drives/ours.img", "--overwrite", "--restart"]).run();
    assert!(!again.stderr.contains("another transfer"), "{}", again.stderr);
    again.expect(0);
    // Nothing is left beside what we wrote.
    let listed = s5cmd(&server.endpoint(), bench.path(), &["ls", "s3://drives/*"]).unwrap();
    assert!(!listed.contains(".part/"), "{listed}");
}

#[test]
fn an_import_that_was_cancelled_and_killed_goes_on() {
    let Some(server) = SeaweedFs::start() else { return };
    let bench = Workbench::new();
    let bytes = random_bytes(12 * CHUNK, 5);
    bench.image("drive.img", &bytes);
    let import = || {
        let words = ["import", "drive.img", "s3://drives/blob.img", "--chunk-size", "5MiB", "--rate", "40MiB/s"];
        run(&server, &bench, &words).with(&["--memory", "20MiB"])
    };
    let running = import().start();
    running.wait_for_chunks(2);
    running.signal(Signal::KILL);
    running.wait();
    let running = import().start();
    running.wait_for_chunks(5);
    running.signal(Signal::INT);
    let stopped = running.wait();
    if stopped.code != Some(0) {
        let result = stopped.expect(130);
        check_receipt(&result);
        let listed = run(&server, &bench, &["transfers", "list"]).run().expect(0);
        assert_eq!(listed["transfers"][0]["left"]["bytes"], result["receipt"]["residue"]["bytes"]);
        let resumed = import().run().expect(0);
        assert!(number(&resumed, "bytes_reused") > 0, "{resumed}");
    }
    run(&server, &bench, &["export", "s3://drives/blob.img", "back.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
}

#[test]
fn a_wrong_secret_or_bucket_is_named() {
    let Some(server) = SeaweedFs::start() else { return };
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(CHUNK, 6));
    run(&server, &bench, &["import", "drive.img", "s3://missing/blob"]).run().expect_error(7, &["NoSuchBucket"]);
    let wrong = run(&server, &bench, &["import", "drive.img", "s3://drives/blob"]).env("AWS_SECRET_ACCESS_KEY", "WRONG");
    wrong.run().expect_error(7, &["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"]);
}
