//! Azure: against Azurite and AzCopy, which know nothing of us, and against a fake that checks.

use std::time::Duration;

use crate::support::agent::number;
use crate::support::azure_fake::AzureFake;
use crate::support::azurite::{ACCOUNT, Azurite, KEY, azcopy, sas};
use crate::support::images::{KIB, MIB, patterned, random_bytes, root_of, same_content, sha256_of};
use crate::support::{Agent, Workbench};

#[test]
fn block_blobs_of_every_size_are_what_azcopy_reads() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else {
        return;
    };
    let chunk = 64 * KIB;
    for size in [0, 512, chunk - 512, chunk, chunk + 512, 5 * chunk + 17] {
        let bytes = random_bytes(size, 3);
        let image = bench.image("drive.img", &bytes);
        let blob = azurite.blob(&format!("block-{size}"));
        let (copied, back) = (bench.file(&format!("copied-{size}")), bench.file(&format!("back-{size}")));
        let options = ["--chunk-size", "64KiB", "--stream-sha256"];
        let imported = Agent::new(bench.path(), &[&"import", &image, &blob]).with(&options).run().expect(0);
        assert_eq!(
            (&imported["root_sha256"], &imported["stream_sha256"]),
            (&root_of(&bytes, chunk).into(), &sha256_of(&bytes).into())
        );
        assert_eq!(imported["evidence"], "transport");
        if azcopy(bench.path(), &blob, copied.to_str().unwrap(), "BlobLocal", &[]).is_none() {
            return;
        }
        assert!(same_content(&image, &copied), "{size}");
        let exported = Agent::new(bench.path(), &[&"export", &blob, &back]).run().expect(0);
        assert!(same_content(&image, &back), "{size}");
        assert_eq!(
            (exported["checked_against_manifest"].as_bool(), exported["evidence"].as_str()),
            (Some(true), Some("transport"))
        );
    }
}

#[test]
fn what_azcopy_uploads_is_exported_equal() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else {
        return;
    };
    let bytes = patterned("rzrar", MIB);
    let image = bench.image("drive.img", &bytes);
    for (name, kind) in [("from-azcopy-block", "BlockBlob"), ("from-azcopy-page", "PageBlob")] {
        let blob = azurite.blob(name);
        if azcopy(bench.path(), image.to_str().unwrap(), &blob, "LocalBlob", &["--blob-type", kind]).is_none() {
            return;
        }
        let back = bench.file(&format!("{name}.img"));
        let ended = Agent::new(bench.path(), &[&"export", &blob, &back]).run();
        let result = ended.expect(0);
        assert!(same_content(&image, &back), "{name}");
        assert!(ended.stderr.contains("there is no manifest beside the blob"), "{}", ended.stderr);
        assert_eq!((result["checked_against_manifest"].as_bool(), result["evidence"].as_str()), (Some(false), Some("transport")));
    }
}

#[test]
fn page_blobs_are_sparse_and_what_azcopy_reads() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else {
        return;
    };
    // Zero runs inside chunks, chunks longer than one Put Page, every size a whole number of pages.
    let mut bytes = patterned("rzrzz", MIB);
    bytes[2 * MIB + 128 * KIB..2 * MIB + 512 * KIB].fill(0);
    for (name, size, chunk) in [("page-a", bytes.len(), "5MiB"), ("page-b", bytes.len() - 512, "64KiB"), ("page-0", 0, "64KiB")] {
        let image = bench.image("drive.img", &bytes[..size]);
        let (blob, copied, back) =
            (azurite.blob(name), bench.file(&format!("{name}.copied")), bench.file(&format!("{name}.back")));
        let options = ["--chunk-size", chunk, "--blob-type", "page", "--verify", "read-back"];
        let imported = Agent::new(bench.path(), &[&"import", &image, &blob]).with(&options).run().expect(0);
        assert_eq!(number(&imported, "bytes_total"), size as u64);
        if azcopy(bench.path(), &blob, copied.to_str().unwrap(), "BlobLocal", &[]).is_none() {
            return;
        }
        assert!(same_content(&image, &copied), "{name}");
        Agent::new(bench.path(), &[&"export", &blob, &back]).run().expect(0);
        assert!(same_content(&image, &back), "{name}");
    }
    let url = format!("{}&comp=pagelist", azurite.blob("page-a"));
    let arguments = ["--silent", "--fail", "--noproxy", "*", "-H", "x-ms-version: 2022-11-02", &url];
    let listed = std::process::Command::new("curl").args(arguments).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let sent: u64 = text
        .split("<PageRange>")
        .skip(1)
        .map(|range| {
            let number =
                |tag: &str| range.split_once(&format!("<{tag}>")).unwrap().1.split('<').next().unwrap().parse::<u64>().unwrap();
            number("End") + 1 - number("Start")
        })
        .sum();
    assert_eq!(sent, (2 * MIB - 384 * KIB) as u64, "zero runs were sent: {text}");
}

#[test]
fn an_odd_image_as_a_page_blob_comes_back_with_its_size() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else {
        return;
    };
    let image = bench.image("drive.img", &random_bytes(100_003, 1));
    let blob = azurite.blob("odd");
    Agent::new(bench.path(), &[&"import", &image, &blob]).with(&["--blob-type", "page"]).run().expect(0);
    Agent::new(bench.path(), &[&"export", &blob, &"back"]).run().expect(0);
    assert!(same_content(&image, &bench.file("back")));
}

#[test]
fn a_page_blob_of_our_own_is_started_over_without_overwrite() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else {
        return;
    };
    let image = bench.image("drive.img", &random_bytes(4 * MIB, 1));
    let blob = azurite.blob("again");
    let options = ["--blob-type", "page", "--chunk-size", "256KiB"];
    let run = || Agent::new(bench.path(), &[&"import", &image, &blob]).with(&options);
    let running = run().with(&["--rate", "2MiB/s"]).start();
    running.wait_for_chunks(1);
    running.signal(rustix::process::Signal::INT);
    running.wait().expect(130);
    // Another state directory knows nothing of it: it belongs to another transfer.
    run().with(&["--state-dir", "other"]).run().expect_error(3, &["begun by another transfer"]);
    let restarted = run().with(&["--restart"]).run().expect(0);
    assert_eq!(restarted["bytes_reused"], 0);
    Agent::new(bench.path(), &[&"export", &blob, &"back"]).run().expect(0);
    assert!(same_content(&image, &bench.file("back")));
}

#[test]
fn every_credential_works_and_none_is_shown() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else {
        return;
    };
    let image = bench.image("drive.img", &random_bytes(100 * KIB, 1));
    let plain = |name: &str| format!("{}/drives/{name}", azurite.endpoint());
    let run = |blob: &str| Agent::bare(bench.path(), &[&"import", &image, &blob, &"-vv", &"--verify", &"read-back"]);
    let signature = sas(time::Duration::hours(1));
    let runs = [
        run(&azurite.blob("by-sas")),
        run(&plain("by-key")).env("AZURE_STORAGE_ACCOUNT", ACCOUNT).env("AZURE_STORAGE_KEY", KEY),
        run(&plain("by-token")).env("AZURE_STORAGE_ACCOUNT", ACCOUNT).env("AZURE_STORAGE_SAS_TOKEN", &signature),
        run(&plain("by-string")).env("AZURE_STORAGE_CONNECTION_STRING", &azurite.connection_string()),
        run("az://drives/by az ü%20#?.img").env("AZURE_STORAGE_CONNECTION_STRING", &azurite.connection_string()),
    ];
    for run in runs {
        let ended = run.run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for text in [&ended.stdout, &ended.stderr] {
            let encoded = signature.split_once("sig=").unwrap().1;
            assert!(
                !text.contains(KEY) && !text.contains(encoded) && !text.contains("sig=") || text.contains("sig=REDACTED"),
                "{text}"
            );
        }
    }
    // The name that was taken as it stands is the one that a URL encodes.
    let back = Agent::new(bench.path(), &[&"export", &azurite.blob("by%20az%20%C3%BC%2520%23%3F.img"), &"back"]).run();
    back.expect(0);
    assert!(same_content(&image, &bench.file("back")));
    let unauthenticated = Agent::new(bench.path(), &[&"import", &image, &plain("without-credentials")]).run();
    unauthenticated.expect_error(7, &["there are no credentials for the account `devstoreaccount1`"]);
}

#[test]
fn refusals_of_the_store_end_at_once_with_its_code() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else {
        return;
    };
    let image = bench.image("drive.img", &random_bytes(100 * KIB, 1));
    let signature = sas(time::Duration::hours(1));
    let cases = [
        (format!("{}/nosuch/blob?{signature}", azurite.endpoint()), "404 ContainerNotFound"),
        (format!("{}/drives/blob?{}", azurite.endpoint(), sas(time::Duration::hours(-1))), "403 AuthorizationFailure"),
        (format!("{}/drives/blob?{signature}", azurite.endpoint().replace(ACCOUNT, "otheraccount")), "404 ResourceNotFound"),
    ];
    for (blob, code) in cases {
        let started = std::time::Instant::now();
        let ended = Agent::new(bench.path(), &[&"import", &image, &blob]).run();
        ended.expect_error(7, &[code]);
        assert_eq!(ended.expect(7)["outcome"], "store-failed");
        assert!(!ended.stderr.contains("sig=") && !ended.stdout.contains("sig="));
        assert!(started.elapsed() < Duration::from_secs(20), "it was tried again");
    }
    let host = azurite.endpoint().trim_start_matches("http://").trim_end_matches(&format!("/{ACCOUNT}")).to_owned();
    let wrong_key = Agent::new(bench.path(), &[&"import", &image, &format!("{}/drives/blob", azurite.endpoint())])
        .with(&["--trust-host", &host])
        .env("AZURE_STORAGE_ACCOUNT", ACCOUNT)
        .env("AZURE_STORAGE_KEY", "d3Jvbmc=")
        .run();
    wrong_key.expect_error(7, &["403"]);
}

#[test]
fn a_store_that_is_not_there_is_reported_soon() {
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(100 * KIB, 1));
    let blob = "http://127.0.0.1:9/account/drives/blob?sig=x";
    Agent::new(bench.path(), &[&"import", &image, &blob])
        .run()
        .expect_error(7, &["no connection to the server", "abandoned after"]);
}

#[test]
fn repeated_and_zero_chunks_are_sent_once() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let bytes = patterned("zraazazrzz", 64 * KIB);
    let image = bench.image("drive.img", &bytes);
    let options = ["--chunk-size", "64KiB"];
    let result = Agent::new(bench.path(), &[&"import", &image, &fake.blob("blob")]).with(&options).run().expect(0);
    // Two random chunks, one repeated one, one of zeros.
    let (puts, _) = fake.puts();
    let manifest_pieces = 1;
    assert_eq!(puts, 4 + manifest_pieces);
    assert_eq!(number(&result, "bytes_sent"), 4 * 64 * KIB as u64);
    assert_eq!(number(&result, "bytes_zero"), 4 * 64 * KIB as u64);
    assert_eq!(number(&result, "bytes_reused"), 2 * 64 * KIB as u64);
    assert_eq!(fake.content("blob").unwrap(), bytes);
    let lists = 2;
    assert_eq!(fake.bodies_with("crc64"), puts + lists);
}

#[test]
fn a_second_import_over_a_blob_sends_only_what_changed() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    let image = bench.image("drive.img", &random_bytes(10 * 64 * KIB, 1));
    let options = ["--chunk-size", "64KiB"];
    Agent::new(bench.path(), &[&"import", &image, &fake.blob("blob")]).with(&options).run().expect(0);
    Agent::new(bench.path(), &[&"import", &image, &fake.blob("blob")]).with(&options).run().expect_error(3, &["exists already"]);
    crate::support::images::change_byte(&image, 65_536 * 3, false);
    let again = Agent::new(bench.path(), &[&"import", &image, &fake.blob("blob"), &"--overwrite"]).with(&options).run().expect(0);
    assert_eq!(number(&again, "bytes_sent"), 64 * KIB as u64);
    assert_eq!(number(&again, "bytes_reused"), 9 * 64 * KIB as u64);
    assert_eq!(fake.content("blob").unwrap(), std::fs::read(&image).unwrap());
}

#[test]
fn a_server_without_crc64_gets_md5() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    fake.set_knows_crc64(false);
    let bytes = random_bytes(6 * MIB, 1);
    let image = bench.image("drive.img", &bytes);
    let imported =
        Agent::new(bench.path(), &[&"import", &image, &fake.blob("blob")]).with(&["--chunk-size", "64KiB"]).run().expect(0);
    assert_eq!(imported["evidence"], "transport");
    assert_eq!((fake.bodies_with("crc64"), fake.bodies_with("md5")), (0, 99), "96 chunks, a manifest, and the lists of both");
    // Without a manifest the ranges of an export are checked by MD5 too.
    let other = Agent::new(bench.path(), &[&"export", &fake.blob("blob"), &"back"]).run().expect(0);
    assert_eq!(other["evidence"], "transport");
    assert_eq!(std::fs::read(bench.file("back")).unwrap(), bytes);
}

#[test]
fn blocks_of_another_program_are_explained() {
    let (fake, bench) = (AzureFake::start(), Workbench::new());
    fake.add_foreign_block("blob", b"short-id");
    let image = bench.image("drive.img", &random_bytes(100 * KIB, 1));
    let ended = Agent::new(bench.path(), &[&"import", &image, &fake.blob("blob")]).run();
    ended.expect_error(7, &["InvalidBlobOrBlock", "uncommitted blocks of another program", "vanish after a week"]);
}

#[test]
fn a_snapshot_is_exported_as_it_was() {
    let (Some(azurite), bench) = (Azurite::start(), Workbench::new()) else {
        return;
    };
    let was = random_bytes(3 * 64 * KIB, 1);
    bench.image("drive.img", &was);
    let key = |agent: Agent| agent.env("AZURE_STORAGE_CONNECTION_STRING", &azurite.connection_string());
    let import = || key(Agent::new(bench.path(), &[&"import", &"drive.img", &"az://drives/n", &"--overwrite"]));
    import().run().expect(0);
    let time = azurite.snapshot("n");
    let (by_name, by_sas) = (format!("az://drives/n?snapshot={time}"), format!("{}&snapshot={time}", azurite.blob("n")));
    for (round, is_replaced) in [(0, false), (1, true)] {
        if is_replaced {
            bench.image("drive.img", &random_bytes(3 * 64 * KIB, 2));
            import().run().expect(0);
        }
        for blob in [&by_name, &by_sas] {
            let back = bench.file(&format!("back-{round}"));
            let ended = key(Agent::new(bench.path(), &[&"export", blob, &back])).run();
            let result = ended.expect(0);
            assert!(std::fs::read(&back).unwrap() == was, "{blob}");
            let named = format!("{}/drives/n?snapshot={time}", azurite.endpoint());
            assert_eq!(result["blob"], *named, "the result names the snapshot, without a secret");
            // Only the manifest that was stored for this very version is of the snapshot.
            assert_eq!(result["checked_against_manifest"], !is_replaced, "{}", ended.stderr);
            std::fs::remove_file(back).unwrap();
        }
    }
    let refused = key(Agent::new(bench.path(), &[&"import", &"drive.img", &by_name, &"--overwrite"])).run();
    refused.expect_error(3, &["the address names a snapshot of the blob, which cannot be written"]);
    let missing = key(Agent::new(bench.path(), &[&"export", &"az://drives/n?snapshot=2020-01-01T00:00:00.0000000Z", &"b"])).run();
    missing.expect_error(7, &["there is no such blob"]);
}
