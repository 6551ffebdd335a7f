//! Each trap of the protocol once (`mod.rs` of the fake has what it plays).

use super::{CHUNK, SMALL_CHUNK, assert_clean, run, run_small, scene};
use crate::support::agent::number;
use crate::support::images::same_content;
use crate::support::s3_fake::{Fault, On};

/// Imports a drive of one piece and one of several, with these faults met.
fn import_with(faults: &[(On, Vec<Fault>)]) {
    for chunks in [3, 14] {
        let (fake, bench, bytes) = scene(chunks * SMALL_CHUNK + 10);
        for (on, faults) in faults {
            fake.fail(*on, faults.clone());
        }
        run_small(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
        assert!(fake.object("blob").unwrap() == bytes, "{faults:?} {chunks}");
        assert_clean(&fake, "blob");
    }
}

#[test]
fn a_success_that_is_an_error_is_tried_again() {
    for code in ["InternalError", "SlowDown"] {
        import_with(&[(On::CompleteUpload, vec![Fault::ErrorInSuccess(code)])]);
        import_with(&[(On::CopyPart, vec![Fault::ErrorInSuccess(code); 3])]);
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_one() {
    import_with(&[(On::CompleteUpload, vec![Fault::LostAnswer])]);
    import_with(&[(On::CompleteUpload, vec![Fault::DoneThenAnswer(500, "InternalError")])]);
    import_with(&[(On::CompleteUpload, vec![Fault::DoneThenAnswer(404, "NoSuchUpload")])]);
    let (fake, bench, bytes) = scene(3 * SMALL_CHUNK);
    fake.fail(On::CompleteUpload, [Fault::DoneThenAnswer(412, "PreconditionFailed")]);
    run_small(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
}

#[test]
fn a_conflict_that_spends_the_upload_of_segments_is_survived() {
    let (fake, bench, bytes) = scene(14 * SMALL_CHUNK);
    // Five segments are completed first.
    fake.fail(On::CompleteUpload, std::iter::repeat_n(Fault::Delay(std::time::Duration::ZERO), 5).chain([Fault::Spent]));
    let before = bytes.len() as u64;
    run_small(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes && fake.bytes_received() < before + 1024, "nothing is sent again");
    assert_clean(&fake, "blob");
}

#[test]
fn a_conflict_that_spends_the_upload_of_a_small_drive_says_what_to_do() {
    let (fake, bench, bytes) = scene(3 * SMALL_CHUNK);
    fake.fail(On::CompleteUpload, [Fault::Spent]);
    let words = ["import", "drive.img", "s3://drives/blob"];
    run_small(&fake, &bench, &words).run().expect_error(7, &["does not hold", "repeat the command"]);
    let again = run_small(&fake, &bench, &words).run().expect(0);
    assert_eq!(number(&again, "bytes_sent"), bytes.len() as u64);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn a_conflict_without_loss_is_tried_again() {
    import_with(&[(On::CompleteUpload, vec![Fault::Answer(409, "ConditionalRequestConflict")])]);
    import_with(&[(On::CompleteUpload, vec![Fault::Answer(409, "OperationAborted")])]);
}

#[test]
fn an_upload_that_is_gone_in_the_middle_says_what_to_do() {
    let (fake, bench, bytes) = scene(6 * SMALL_CHUNK);
    fake.fail(On::PutPart, [Fault::Delay(std::time::Duration::ZERO), Fault::Answer(404, "NoSuchUpload")]);
    let words = ["import", "drive.img", "s3://drives/blob", "--concurrency", "1"];
    run_small(&fake, &bench, &words).run().expect_error(7, &["NoSuchUpload", "lifecycle rule", "repeat the command"]);
    run_small(&fake, &bench, &words).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
}

#[test]
fn a_store_that_is_busy_is_waited_for() {
    for on in [On::CreateUpload, On::PutPart, On::CopyPart, On::ListParts, On::CompleteUpload, On::Head, On::Put, On::Delete] {
        import_with(&[(on, vec![Fault::SlowDown])]);
        import_with(&[(on, vec![Fault::Reset])]);
    }
}

#[test]
fn answers_that_get_lost_do_no_harm() {
    for on in [On::CreateUpload, On::PutPart, On::CopyPart, On::Put, On::Delete, On::AbortUpload] {
        for chunks in [3, 14] {
            let (fake, bench, bytes) = scene(chunks * SMALL_CHUNK + 10);
            fake.fail(on, [Fault::LostAnswer]);
            run_small(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
            assert!(fake.object("blob").unwrap() == bytes, "{on:?}");
            // An upload whose id got lost has no part, and nothing leads to it; one below the transfer's own names is removed.
            let (uploads, held) = fake.uploads("");
            assert!(held == 0 && uploads.len() <= usize::from(on == On::CreateUpload), "{on:?} {uploads:?}");
        }
    }
}

#[test]
fn one_wrong_byte_in_a_hundred_bodies_is_never_kept() {
    let (fake, bench, bytes) = scene(200 * SMALL_CHUNK);
    fake.corrupt_every(20);
    let words = ["import", "drive.img", "s3://drives/blob"];
    let sizes = "10000,65536,196608";
    let imported = run_small(&fake, &bench, &words).env("DRIVE_AGENT_S3_SIZES", sizes).run().expect(0);
    assert_eq!(imported["evidence"], "transport");
    assert!(fake.object("blob").unwrap() == bytes);
    assert!(fake.seen(On::PutPart) > 205, "some were refused");
    // The same on the way back: the manifest tells.
    run_small(&fake, &bench, &["export", "s3://drives/blob", "back.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    assert!(fake.seen(On::Get) > 205, "some were refused");
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let (fake, bench, _) = scene(CHUNK);
    for on in [On::Head, On::Get] {
        fake.always_fail(on, Some(Fault::Answer(403, "RequestTimeTooSkewed")));
    }
    let ended = run(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run();
    ended.expect_error(7, &["RequestTimeTooSkewed", "clock", "timedatectl"]);
}

#[test]
fn a_bucket_of_another_region_is_named() {
    for status in [301, 307] {
        let (fake, bench, _) = scene(CHUNK);
        for on in [On::Head, On::Get] {
            fake.always_fail(on, Some(Fault::Elsewhere(status, "eu-west-3")));
        }
        let ended = run(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run();
        ended.expect_error(7, &["the region eu-west-3", "AWS_REGION=eu-west-3"]);
    }
}

#[test]
fn a_store_that_takes_no_small_parts_says_so() {
    // The sizes are checked before: only a server with other ones gets here.
    let (fake, bench, _) = scene(3 * SMALL_CHUNK);
    let import = run_small(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]);
    fake.set_part_bytes_min(CHUNK as u64);
    import.run().expect_error(7, &["EntityTooSmall", "5 MiB", "--chunk-size"]);
}

#[test]
fn a_chunk_size_below_the_smallest_part_is_raised() {
    let (fake, bench, bytes) = scene(2 * CHUNK);
    let ended = run(&fake, &bench, &["import", "drive.img", "s3://drives/blob", "--chunk-size", "1MiB"]).run();
    assert_eq!(number(&ended.expect(0), "chunk_size"), CHUNK as u64);
    assert!(ended.stderr.contains("a chunk size of 5 MiB is used"), "{}", ended.stderr);
    assert!(fake.object("blob").unwrap() == bytes);
}

#[test]
fn an_archived_object_says_how_it_is_read() {
    let (fake, bench, _) = scene(CHUNK);
    run(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run().expect(0);
    fake.set_header("blob", "x-amz-storage-class", "DEEP_ARCHIVE");
    run(&fake, &bench, &["export", "s3://drives/blob", "back.img"]).run().expect_error(3, &["archive class", "restore-object"]);
}

#[test]
fn an_object_whose_cleaning_is_refused_is_complete() {
    let (fake, bench, bytes) = scene(14 * SMALL_CHUNK);
    fake.always_fail(On::Delete, Some(Fault::Answer(403, "AccessDenied")));
    let ended = run_small(&fake, &bench, &["import", "drive.img", "s3://drives/blob"]).run();
    ended.expect(0);
    assert!(ended.stderr.contains("stays"), "{}", ended.stderr);
    assert!(fake.object("blob").unwrap() == bytes);
}

#[test]
fn answers_of_something_else_are_not_believed() {
    let (fake, bench, _) = scene(CHUNK);
    fake.always_fail(On::Head, Some(Fault::OtherServer(200)));
    let import = run(&fake, &bench, &["import", "drive.img", "s3://drives/blob", "--retry-budget", "1s"]).run();
    import.expect_error(7, &["not from an S3 server"]);
}
