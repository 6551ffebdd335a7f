//! A store that fails: passing errors are repeated inside the budget, final ones end at once.

use std::time::{Duration, Instant};

use crate::support::agent::{check_receipt, number};
use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::images::{KIB, random_bytes};
use crate::support::{Agent, Ended, Workbench};

const CHUNKS: usize = 12;

struct Scene {
    fake: AzureFake,
    bench: Workbench,
    bytes: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let (fake, bench, bytes) = (AzureFake::start(), Workbench::new(), random_bytes(CHUNKS * 64 * KIB, 1));
        bench.image("drive.img", &bytes);
        Scene { fake, bench, bytes }
    }

    fn import(&self, more: &[&str]) -> Ended {
        let run = Agent::new(self.bench.path(), &[&"import", &"drive.img", &self.fake.blob("blob")]);
        run.with(&["--chunk-size", "64KiB"]).with(more).run()
    }

    fn export(&self, more: &[&str]) -> Ended {
        Agent::new(self.bench.path(), &[&"export", &self.fake.blob("blob"), &"back"]).with(more).run()
    }
}

#[test]
fn passing_faults_of_an_import_are_overcome() {
    let faults = [
        (On::PutBlock, Fault::Answer(500, "InternalError")),
        (On::PutBlock, Fault::Answer(500, "OperationTimedOut")),
        (On::PutBlock, Fault::Throttle(1)),
        (On::PutBlock, Fault::Reset),
        (On::PutBlock, Fault::LostAnswer),
        (On::PutBlock, Fault::CorruptBody),
        (On::PutBlock, Fault::Silence),
        (On::PutBlockList, Fault::Answer(503, "ServerBusy")),
        (On::PutBlockList, Fault::LostAnswer),
        (On::GetBlockList, Fault::Answer(500, "InternalError")),
        (On::Head, Fault::Answer(503, "ServerBusy")),
    ];
    for (on, fault) in faults {
        let scene = Scene::new();
        scene.fake.fail(on, [fault.clone()]);
        let result = scene.import(&["--request-timeout", "1s"]).expect(0);
        assert_eq!(scene.fake.content("blob").unwrap(), scene.bytes, "{fault:?}");
        assert_eq!(number(&result, "retries"), 1, "{on:?} {fault:?}: {result}");
        assert!(result.get("receipt").is_none());
    }
}

/// What an export reads first: the manifest, and the beginning of the blob, to see what it is.
const BEFORE_CHUNKS: [Fault; 2] = [Fault::SlowBody(Duration::ZERO), Fault::SlowBody(Duration::ZERO)];

#[test]
fn passing_faults_of_an_export_are_overcome() {
    let faults = [
        Fault::Answer(500, "InternalError"),
        Fault::Throttle(1),
        Fault::Reset,
        Fault::ShortBody,
        Fault::CorruptBody,
        Fault::Silence,
        Fault::SlowBody(Duration::from_millis(1500)),
    ];
    let scene = Scene::new();
    scene.import(&[]).expect(0);
    for fault in faults {
        scene.fake.fail(On::Get, BEFORE_CHUNKS.into_iter().chain([fault.clone()]));
        let result = scene.export(&["--request-timeout", "1s"]).expect(0);
        assert_eq!(std::fs::read(scene.bench.file("back")).unwrap(), scene.bytes, "{fault:?}");
        assert!(number(&result, "retries") >= 1, "{fault:?}");
        std::fs::remove_file(scene.bench.file("back")).unwrap();
    }
}

#[test]
fn a_slow_store_is_not_a_silent_one() {
    let scene = Scene::new();
    scene.import(&[]).expect(0);
    scene.fake.fail(On::Get, BEFORE_CHUNKS.into_iter().chain([Fault::SlowBody(Duration::from_millis(600))]));
    // Four pieces of 600 ms each take longer than the timeout; each by itself does not.
    let result = scene.export(&["--request-timeout", "1500ms"]).expect(0);
    assert_eq!(number(&result, "retries"), 0, "{result}");
}

#[test]
fn a_corrupted_range_is_found_without_a_manifest() {
    let scene = Scene::new();
    scene.import(&[]).expect(0);
    scene.fake.fail(On::Head, [Fault::SlowBody(Duration::ZERO), Fault::Answer(404, "BlobNotFound")]);
    // The first look at the blob is not a part of it.
    scene.fake.fail(On::Get, [Fault::SlowBody(Duration::ZERO), Fault::CorruptBody]);
    let result = scene.export(&[]).expect(0);
    assert_eq!((result["checked_against_manifest"].as_bool(), number(&result, "retries")), (Some(false), 1));
    assert_eq!(std::fs::read(scene.bench.file("back")).unwrap(), scene.bytes);
}

#[test]
fn final_errors_end_at_once() {
    for (on, status, code) in [
        (On::PutBlock, 403, "AuthorizationPermissionMismatch"),
        (On::PutBlock, 400, "InvalidHeaderValue"),
        (On::PutBlock, 413, "RequestBodyTooLarge"),
        (On::PutBlockList, 400, "InvalidBlockList"),
        (On::PutBlockList, 409, "BlobImmutableDueToPolicy"),
    ] {
        let scene = Scene::new();
        scene.fake.always_fail(on, Some(Fault::Answer(status, code)));
        let started = Instant::now();
        let ended = scene.import(&[]);
        ended.expect_error(7, &[code]);
        assert!(started.elapsed() < Duration::from_secs(20), "{code} was tried again");
        let result = ended.expect(7);
        assert_eq!(result["outcome"], "store-failed");
        check_receipt(&result);
        assert!(scene.fake.content("blob").is_none(), "nothing looks complete");
        // What landed is not sent again once the store is well.
        scene.fake.always_fail(on, None);
        let resumed = scene.import(&[]).expect(0);
        let landed = result["receipt"]["landed_before_request"]["bytes"].as_u64().unwrap();
        assert!(number(&resumed, "bytes_reused") >= landed, "{code}");
        assert_eq!(scene.fake.content("blob").unwrap(), scene.bytes);
    }
}

#[test]
fn the_retry_budget_is_kept() {
    for fault in [Fault::Answer(500, "InternalError"), Fault::Reset, Fault::Silence] {
        let scene = Scene::new();
        scene.fake.always_fail(On::PutBlock, Some(fault.clone()));
        let started = Instant::now();
        let ended = scene.import(&["--retry-budget", "3s", "--request-timeout", "1s"]);
        ended.expect_error(7, &["abandoned after", "trying again for up to"]);
        let took = started.elapsed();
        if matches!(fault, Fault::Answer(..)) {
            assert!(took >= Duration::from_secs(3), "the budget was not used up: {took:?}");
        }
        // The budget, and at most one attempt that began inside it; and the question what the store holds.
        assert!(took > Duration::from_secs(1) && took < Duration::from_secs(15), "{fault:?} took {took:?}");
        check_receipt(&ended.expect(7));
    }
}

#[test]
fn a_store_that_asks_for_a_longer_wait_than_the_budget_ends_it() {
    let scene = Scene::new();
    scene.fake.always_fail(On::PutBlock, Some(Fault::Throttle(3600)));
    scene.import(&["--retry-budget", "5s"]).expect_error(7, &["503 ServerBusy"]);
}

#[test]
fn a_blob_that_changes_while_it_is_exported_is_noticed() {
    let scene = Scene::new();
    scene.import(&[]).expect(0);
    scene.fake.fail(On::Get, BEFORE_CHUNKS.into_iter().chain([Fault::Answer(412, "ConditionNotMet")]));
    let ended = scene.export(&[]);
    ended.expect_error(7, &["ConditionNotMet", "another program changed it meanwhile"]);
    assert!(!scene.bench.file("back").exists());
}
