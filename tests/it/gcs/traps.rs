//! Each trap of the protocol once (`mod.rs` of the fake has what it plays).

use super::{CHUNK, assert_clean, import, run, scene};
use crate::support::gcs_fake::{Fault, On};
use crate::support::images::{change_byte, same_content};

/// Imports a drive that is composed at once, and one that is composed in several levels, with these faults met.
fn import_with(faults: &[(On, Vec<Fault>)]) {
    for chunks in [2, 14] {
        let (fake, bench, bytes) = scene(chunks * CHUNK + 10);
        for (on, faults) in faults {
            fake.fail(*on, faults.clone());
        }
        import(&fake, &bench).run().expect(0);
        assert!(fake.object("blob").unwrap() == bytes, "{faults:?} {chunks}");
        assert_clean(&fake, "blob");
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_one() {
    import_with(&[(On::Compose, vec![Fault::LostAnswer])]);
    import_with(&[(On::Compose, vec![Fault::DoneThenAnswer(503, "ServiceUnavailable")])]);
    import_with(&[(On::Compose, vec![Fault::DoneThenAnswer(412, "PreconditionFailed")])]);
}

#[test]
fn answers_that_get_lost_do_no_harm() {
    for on in [On::Probe, On::PutChunk, On::ComposePiece, On::Put, On::Delete, On::Head, On::List] {
        import_with(&[(on, vec![Fault::LostAnswer])]);
    }
}

#[test]
fn a_store_that_is_busy_is_waited_for() {
    for on in [On::Probe, On::PutChunk, On::ComposePiece, On::Compose, On::Head, On::Put, On::Delete] {
        import_with(&[(on, vec![Fault::SlowDown])]);
        import_with(&[(on, vec![Fault::Answer(503, "ServiceUnavailable")])]);
        import_with(&[(on, vec![Fault::Reset])]);
    }
}

#[test]
fn one_wrong_byte_in_twenty_bodies_is_never_kept() {
    let (fake, bench, bytes) = scene(200 * CHUNK);
    fake.corrupt_every(20);
    let imported = import(&fake, &bench).run().expect(0);
    assert_eq!(imported["evidence"], "transport");
    assert!(fake.object("blob").unwrap() == bytes);
    assert!(fake.seen(On::PutChunk) > 205, "some were refused");
    // The same on the way back: the manifest tells.
    run(&fake, &bench, &["export", "gs://drives/blob", "back.img"]).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    assert!(fake.seen(On::Get) > 205, "some were refused");
}

#[test]
fn what_was_composed_wrong_is_never_a_blob() {
    for on in [On::ComposePiece, On::Compose] {
        let (fake, bench, bytes) = scene(7 * CHUNK);
        fake.fail(on, [Fault::WrongComposition]);
        let failed = import(&fake, &bench).run();
        failed.expect_error(7, &["checksum", "--restart"]);
        assert!(fake.object("blob").is_none(), "{on:?}");
        import(&fake, &bench).with(&["--restart"]).run().expect(0);
        assert!(fake.object("blob").unwrap() == bytes);
        assert_clean(&fake, "blob");
    }
}

#[test]
fn a_chunk_that_was_damaged_at_the_store_is_replaced() {
    let (fake, bench, mut bytes) = scene(8 * CHUNK);
    fake.fail(On::Compose, [Fault::Answer(403, "AccessDenied")]);
    import(&fake, &bench).run().expect_error(7, &["AccessDenied"]);
    // One has another length, and is not taken for held; another one has other bytes, and is sent all the same by a drive
    // that changed.
    let chunks: Vec<String> =
        fake.names("blob.part/").into_iter().filter(|name| fake.object_bytes(name) == Some(CHUNK as u64)).collect();
    fake.put_plain(&chunks[0], b"short".to_vec());
    import(&fake, &bench).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
    change_byte(&bench.file("drive.img"), 5000, false);
    bytes[5000] ^= 0x55;
    import(&fake, &bench).with(&["--overwrite"]).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
}

#[test]
fn chunks_that_are_gone_at_the_commit_say_what_to_do() {
    for on in [On::ComposePiece, On::Compose] {
        let (fake, bench, bytes) = scene(8 * CHUNK);
        fake.fail(on, [Fault::Answer(404, "NoSuchKey")]);
        import(&fake, &bench).run().expect_error(7, &["does not hold", "repeat the command"]);
        import(&fake, &bench).run().expect(0);
        assert!(fake.object("blob").unwrap() == bytes);
        assert_clean(&fake, "blob");
    }
}

#[test]
fn what_a_retention_policy_keeps_is_told() {
    let (fake, bench, bytes) = scene(8 * CHUNK);
    fake.set_retains(true);
    let ended = import(&fake, &bench).run();
    ended.expect(0);
    for words in ["the object is complete", "stay below `blob.part/", "RetentionPolicyNotMet", "lifecycle rule"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert!(fake.object("blob").unwrap() == bytes && !fake.names("blob.part/").is_empty());
    // What is there cannot be replaced, and stays.
    import(&fake, &bench).with(&["--overwrite"]).run().expect_error(7, &["RetentionPolicyNotMet", "retention policy"]);
    assert!(fake.object("blob").unwrap() == bytes);
}

#[test]
fn an_object_whose_cleaning_fails_is_complete() {
    for fault in [Fault::Answer(403, "AccessDenied"), Fault::SlowDown] {
        let (fake, bench, bytes) = scene(8 * CHUNK);
        fake.always_fail(On::Delete, Some(fault));
        let ended = import(&fake, &bench).run();
        ended.expect(0);
        assert!(ended.stderr.contains("the object is complete") && ended.stderr.contains("stay below"), "{}", ended.stderr);
        assert!(fake.object("blob").unwrap() == bytes);
    }
}

#[test]
fn a_class_with_a_minimum_time_is_told() {
    let (fake, bench, _) = scene(2 * CHUNK);
    fake.set_class("NEARLINE");
    let ended = import(&fake, &bench).run();
    ended.expect(0);
    assert!(ended.stderr.contains("class NEARLINE") && ended.stderr.contains("30 days"), "{}", ended.stderr);
}

#[test]
fn an_object_that_is_compressed_is_not_taken_for_a_drive() {
    let (fake, bench, _) = scene(3 * CHUNK);
    import(&fake, &bench).run().expect(0);
    fake.set_header("blob", "content-encoding", "gzip");
    let refused = run(&fake, &bench, &["export", "gs://drives/blob", "back.img"]).run();
    refused.expect_error(3, &["Content-Encoding: gzip", "--clear-content-encoding"]);
}

#[test]
fn a_name_that_was_taken_meanwhile_stays() {
    let (fake, bench, _) = scene(3 * CHUNK);
    fake.fail(On::Compose, [Fault::Hold]);
    let running = import(&fake, &bench).start();
    fake.wait_held(1);
    fake.put_plain("blob", b"of another program".to_vec());
    fake.release();
    running.wait().expect_error(7, &["another program made, replaced or deleted it meanwhile"]);
    assert_eq!(&*fake.object("blob").unwrap(), b"of another program");
}

#[test]
fn answers_of_something_else_are_not_believed() {
    let (fake, bench, _) = scene(CHUNK);
    fake.always_fail(On::Head, Some(Fault::OtherServer(200)));
    let ended = import(&fake, &bench).with(&["--retry-budget", "1s"]).run();
    ended.expect_error(7, &["not from Google Cloud Storage"]);
}

#[test]
fn lists_of_several_pages_are_read_whole() {
    let (fake, bench, bytes) = scene(40 * CHUNK);
    fake.set_page(7);
    fake.fail(On::Compose, [Fault::Answer(403, "AccessDenied")]);
    import(&fake, &bench).run().expect_error(7, &["AccessDenied"]);
    let before = fake.seen(On::PutChunk);
    import(&fake, &bench).run().expect(0);
    assert_eq!(fake.seen(On::PutChunk), before, "nothing is sent again");
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}
