//! Cancel: exit 130, an exact receipt, and a store that agrees with it.

use std::time::{Duration, Instant};

use protocol::digest::Sha256Digest;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::agent::{check_receipt, number, ranges};
use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::fuse_drive::FuseDrive;
use crate::support::images::{KIB, patterned, random_bytes};
use crate::support::wait::wait_until;
use crate::support::{Agent, Workbench, parts};

const CHUNK: usize = 64 * KIB;
const OPTIONS: [&str; 6] = ["--chunk-size", "64KiB", "--memory", "512KiB", "--concurrency", "3"];

fn import(bench: &Workbench, fake: &AzureFake) -> Agent {
    Agent::new(bench.path(), &[&"import", &"drive.img", &fake.blob("blob")]).with(&OPTIONS)
}

/// Every landed range is held by the store, no never-sent range is, and nothing looks complete.
fn check_against_store(result: &Value, bytes: &[u8], fake: &AzureFake) {
    check_receipt(result);
    let held = fake.held("blob");
    let chunks_of = |class: &str| -> Vec<usize> {
        let covers = |range: (u64, u64)| (range.0 as usize / CHUNK)..((range.0 + range.1) as usize).div_ceil(CHUNK);
        ranges(result, class).into_iter().flat_map(covers).collect()
    };
    let is_held = |index: &usize| held.contains(&Sha256Digest::of(&bytes[index * CHUNK..(index + 1) * CHUNK]));
    for class in ["landed_before_request", "landed_after_request"] {
        for index in chunks_of(class) {
            assert!(is_held(&index), "chunk {index} is said to have landed: {result}");
        }
    }
    for index in chunks_of("never_sent") {
        assert!(!is_held(&index), "chunk {index} is said never to have been sent: {result}");
    }
    assert!(fake.content("blob").is_none(), "nothing looks complete");
}

#[test]
fn cancelled_at_many_points_the_receipt_is_what_the_store_holds() {
    let bytes = random_bytes(48 * CHUNK, 1);
    let mut landed_after = 0;
    for point in 0..12 {
        let (fake, bench) = (AzureFake::start(), Workbench::new());
        bench.image("drive.img", &bytes);
        fake.set_put_delay(Duration::from_millis(40));
        let running = import(&bench, &fake).start();
        match point {
            0 => fake.wait_seen(On::Head, 1),
            _ => fake.wait_seen(On::PutBlock, 4 * point),
        }
        running.signal(Signal::INT);
        let ended = running.wait();
        if ended.code == Some(130) {
            let result = ended.expect(130);
            assert_eq!(
                (result["outcome"].as_str(), result["receipt"]["reason"].as_str()),
                (Some("cancelled"), Some("interrupted"))
            );
            assert_eq!(number(&result["receipt"]["outcome_unknown"], "bytes"), 0, "a drained cancel leaves no doubt");
            check_against_store(&result, &bytes, &fake);
            landed_after += number(&result["receipt"]["landed_after_request"], "bytes");
        }
        fake.set_put_delay(Duration::ZERO);
        let resumed = import(&bench, &fake).run().expect(0);
        assert_eq!(fake.content("blob").unwrap(), bytes);
        assert_eq!(number(&resumed, "bytes_sent") + number(&resumed, "bytes_reused"), bytes.len() as u64);
    }
    assert!(landed_after > 0, "no cancel met a chunk in flight");
}

#[test]
fn repeated_and_zero_chunks_are_accounted_for_too() {
    let bytes = patterned("zaraazrzrarzaarzrrrarzrrrzrarrrz", CHUNK);
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &bytes);
    fake.set_put_delay(Duration::from_millis(60));
    let running = import(&bench, &fake).start();
    fake.wait_seen(On::PutBlock, 4);
    running.signal(Signal::INT);
    check_receipt(&running.wait().expect(130));
    fake.set_put_delay(Duration::ZERO);
    import(&bench, &fake).run().expect(0);
    assert_eq!(fake.content("blob").unwrap(), bytes);
}

#[test]
fn a_second_signal_ends_it_and_the_store_is_asked() {
    let bytes = random_bytes(48 * CHUNK, 1);
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &bytes);
    // Five blocks land; then the store falls silent.
    fake.fail(On::PutBlock, std::iter::repeat_n(Fault::SlowBody(Duration::ZERO), 5));
    fake.always_fail(On::PutBlock, Some(Fault::Silence));
    let running = import(&bench, &fake).start();
    running.wait_for_chunks(5);
    running.signal(Signal::INT);
    running.signal_again(Signal::INT);
    let second = Instant::now();
    let ended = running.wait();
    assert!(second.elapsed() < Duration::from_secs(2), "an abort took {:?}", second.elapsed());
    let result = ended.expect(130);
    assert_eq!(result["receipt"]["reason"], "second-signal");
    check_against_store(&result, &bytes, &fake);
    assert!(number(&result["receipt"]["outcome_unknown"], "bytes") >= CHUNK as u64, "{result}");
    assert_eq!(number(&result["receipt"]["landed_before_request"], "bytes"), 5 * CHUNK as u64);
}

#[test]
fn the_drain_timeout_ends_it_too() {
    let bytes = random_bytes(48 * CHUNK, 1);
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &bytes);
    fake.always_fail(On::PutBlock, Some(Fault::Silence));
    let running = import(&bench, &fake).with(&["--drain-timeout", "500ms"]).start();
    fake.wait_seen(On::PutBlock, 3);
    let first = Instant::now();
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert!(first.elapsed() < Duration::from_millis(2500), "it took {:?}", first.elapsed());
    let result = ended.expect(130);
    assert_eq!(result["receipt"]["reason"], "drain-timeout");
    check_against_store(&result, &bytes, &fake);
}

#[test]
fn a_block_whose_answer_is_lost_in_an_abort_is_found_at_the_store() {
    let bytes = random_bytes(8 * CHUNK, 1);
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &bytes);
    fake.always_fail(On::PutBlock, Some(Fault::LostAnswer));
    let running = import(&bench, &fake).start();
    wait_until("three blocks at the store", || fake.held("blob").len() >= 3);
    running.signal(Signal::INT);
    let result = running.wait().expect(130);
    check_against_store(&result, &bytes, &fake);
    let after = number(&result["receipt"]["landed_after_request"], "bytes");
    assert!(after >= 3 * CHUNK as u64, "the store holds them, and the receipt must say so: {result}");
}

#[test]
fn a_cancel_ends_the_wait_for_the_next_try() {
    let bytes = random_bytes(8 * CHUNK, 1);
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &bytes);
    fake.always_fail(On::PutBlock, Some(Fault::Throttle(60)));
    let running = import(&bench, &fake).start();
    running.wait_for_words("trying again");
    let asked = Instant::now();
    running.signal(Signal::INT);
    let result = running.wait().expect(130);
    assert!(asked.elapsed() < Duration::from_secs(5), "it waited {:?}", asked.elapsed());
    check_against_store(&result, &bytes, &fake);
}

/// Runs an import whose blocks all meet `fault`, and cancels it when three of them were seen.
fn cancelled_after_faults(bench: &Workbench, fake: &AzureFake, fault: Fault, before: impl FnOnce(&AzureFake)) -> Value {
    fake.always_fail(On::PutBlock, Some(fault));
    let running = import(bench, fake).start();
    fake.wait_seen(On::PutBlock, 3);
    before(fake);
    running.signal(Signal::INT);
    running.wait().expect(130)
}

#[test]
fn a_block_that_was_stored_by_a_busy_server_is_never_said_not_to_have_been_sent() {
    let bytes = random_bytes(8 * CHUNK, 1);
    // The server answers 503 although it stored the block, and then says what it holds.
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &bytes);
    let busy = |fake: &AzureFake| fake.fail(On::GetBlockList, [Fault::Throttle(0)]);
    let result = cancelled_after_faults(&bench, &fake, Fault::DoneButBusy(60), busy);
    check_against_store(&result, &bytes, &fake);
    assert!(number(&result["receipt"]["landed_after_request"], "bytes") >= 3 * CHUNK as u64, "{result}");
    // It does not say what it holds: the outcome is unknown.
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &bytes);
    let silent = |fake: &AzureFake| fake.always_fail(On::GetBlockList, Some(Fault::Answer(403, "AuthenticationFailed")));
    let result = cancelled_after_faults(&bench, &fake, Fault::DoneButBusy(60), silent);
    check_against_store(&result, &bytes, &fake);
    assert!(number(&result["receipt"]["outcome_unknown"], "bytes") >= 3 * CHUNK as u64, "{result}");
    // It was busy and stored nothing, and its list says so.
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &bytes);
    let result = cancelled_after_faults(&bench, &fake, Fault::Throttle(60), |_| ());
    check_against_store(&result, &bytes, &fake);
    assert_eq!(number(&result["receipt"]["never_sent"], "bytes"), bytes.len() as u64, "{result}");
}

#[test]
fn a_cancelled_import_into_a_directory_tells_what_its_file_holds() {
    let bench = Workbench::new();
    let bytes = random_bytes(48 * CHUNK, 1);
    bench.image("drive.img", &bytes);
    let running =
        Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).with(&OPTIONS).with(&["--rate", "1MiB/s"]).start();
    running.wait_for_chunks(1);
    running.signal(Signal::INT);
    let result = running.wait().expect(130);
    check_receipt(&result);
    let partial = std::fs::read(bench.partial("blob")).unwrap();
    for class in ["landed_before_request", "landed_after_request"] {
        for (offset, length) in ranges(&result, class) {
            let range = offset as usize..(offset + length) as usize;
            assert_eq!(partial[range.clone()], bytes[range]);
        }
    }
    for (offset, length) in ranges(&result, "never_sent") {
        assert!(partial[offset as usize..(offset + length) as usize].iter().all(|byte| *byte == 0));
    }
    assert!(!bench.file("blob").exists() && !bench.file("blob.manifest.jsonl").exists());
    assert_eq!(result["receipt"]["residue"]["path"].as_str(), bench.partial("blob").to_str());
}

#[test]
fn a_cancelled_export_leaves_no_image_that_looks_complete() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(48 * CHUNK, 1));
    Agent::new(bench.path(), &[&"import", &"drive.img", &"blob"]).with(&OPTIONS).run().expect(0);
    let running =
        Agent::new(bench.path(), &[&"export", &"blob", &"back"]).with(&["--memory", "256KiB", "--rate", "1MiB/s"]).start();
    running.wait_for_chunks(1);
    running.signal(Signal::INT);
    let result = running.wait().expect(130);
    check_receipt(&result);
    assert!(!bench.file("back").exists());
    assert!(
        result["receipt"]["residue"]["path"]
            .as_str()
            .unwrap()
            .ends_with(bench.partial("back").file_name().unwrap().to_str().unwrap())
    );
}

#[test]
fn a_drive_that_hangs_in_a_read_does_not_hang_a_cancel() {
    if parts::fuse().is_none() {
        return;
    }
    let bench = Workbench::new();
    let drive = FuseDrive::mount(&bench.file("mount"), random_bytes(16 * CHUNK, 1));
    drive.behaviour.lock().unwrap().hangs = Some((10 * CHUNK as u64 + 5, 10 * CHUNK as u64 + 6));
    let running =
        Agent::new(bench.path(), &[&"import", &drive.path(), &"blob"]).with(&OPTIONS).with(&["--drain-timeout", "1s"]).start();
    drive.wait_for_hanging_read();
    // All that the other reader can read.
    running.wait_for_chunks(15);
    let asked = Instant::now();
    running.signal(Signal::INT);
    // The kernel keeps a process whose thread waits for a drive; the receipt does not wait for it.
    let result = running.wait_for_result();
    assert!(asked.elapsed() < Duration::from_secs(4), "the receipt took {:?}", asked.elapsed());
    check_receipt(&result);
    // What the other reader could read has landed; the place itself has not.
    assert_eq!(ranges(&result, "never_sent"), [(10 * CHUNK as u64, CHUNK as u64)], "{result}");
    let mut behaviour = drive.behaviour.lock().unwrap();
    behaviour.hangs = None;
    behaviour.hanging.clear();
    drop(behaviour);
    running.wait().expect(130);
}

#[test]
fn the_receipt_carries_no_secret_and_a_command_that_resumes() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("a drive.img", &random_bytes(48 * CHUNK, 1));
    fake.set_put_delay(Duration::from_millis(40));
    let run = Agent::new(bench.path(), &[&"import", &"a drive.img", &fake.blob("blob")]).with(&OPTIONS).with(&["--restart"]);
    let running = run.start();
    fake.wait_seen(On::PutBlock, 1);
    running.signal(Signal::INT);
    let ended = running.wait();
    let resume = ended.expect(130)["receipt"]["resume"].as_str().unwrap().to_owned();
    assert!(resume.starts_with("drive-agent import 'a drive.img' 'http://127.0.0.1:"), "{resume}");
    assert!(resume.contains("/blob?SAS'"), "the command says where the signature goes: {resume}");
    assert!(!resume.contains("sig=") && !resume.contains("--restart"), "{resume}");
    assert!(!ended.stdout.contains("sig=") && !ended.stderr.contains("sig="));
}

#[test]
fn two_signals_of_one_gesture_are_one() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(48 * CHUNK, 1));
    fake.set_put_delay(Duration::from_millis(300));
    let running = import(&bench, &fake).start();
    fake.wait_seen(On::PutBlock, 1);
    // As timeout(1) does: to the process, and to its group.
    running.signal(Signal::TERM);
    // Far enough apart for the kernel to deliver both.
    std::thread::sleep(Duration::from_millis(5));
    running.signal(Signal::TERM);
    let result = running.wait().expect(130);
    assert_eq!(result["receipt"]["reason"], "terminated", "a drain, and no abort: {result}");
    let journal = result["manifest"].as_str().expect("the journal is named");
    assert!(std::fs::read_to_string(journal).unwrap().starts_with('{'), "{journal}");
}

#[test]
fn a_cancel_before_anything_was_begun_ends_at_once() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(CHUNK, 1));
    fake.always_fail(On::Head, Some(Fault::Silence));
    let running = import(&bench, &fake).start();
    fake.wait_seen(On::Head, 1);
    let asked = Instant::now();
    running.signal(Signal::INT);
    let ended = running.wait();
    let result = ended.expect(130);
    check_receipt(&result);
    assert_eq!(number(&result["receipt"]["never_sent"], "bytes"), CHUNK as u64);
    assert!(!ended.stdout.contains("sig=") && !ended.stderr.contains("sig="));
    // An export does not even know its size yet.
    let before = fake.seen(On::Head);
    let running = Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back"]).start();
    fake.wait_seen(On::Head, before + 1);
    running.signal(Signal::INT);
    let ended = running.wait();
    check_receipt(&ended.expect(130));
    assert!(!ended.stdout.contains("sig=") && !ended.stderr.contains("sig="));
    assert!(asked.elapsed() < Duration::from_secs(3), "it took {:?}", asked.elapsed());
}

#[test]
fn a_cancelled_read_back_is_not_evidence() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(64 * CHUNK, 1));
    let run = || {
        let run = Agent::bare(bench.path(), &[&"import", &"drive.img", &"blob"]).with(&OPTIONS);
        run.with(&["--verify", "read-back", "--output", "json", "--progress", "json"])
    };
    let running = run().with(&["--rate", "4MiB/s"]).start();
    running.wait_for_words("\"verifying\"");
    running.signal(Signal::INT);
    let result = running.wait().expect(130);
    assert_eq!(result["evidence"], "read");
    check_receipt(&result);
    assert!(!bench.file("blob").exists() && !bench.file("blob.manifest.jsonl").exists(), "it is verified before it appears");
    assert_eq!(result["receipt"]["residue"]["path"].as_str(), bench.partial("blob").to_str());
    assert_eq!(run().run().expect(0)["evidence"], "read-back");
}
