//! Who asks: the key of a service account, nobody, and which server is given what.

use super::{CHUNK, assert_clean, import, run, scene, with_variables};
use crate::support::Agent;
use crate::support::gcs_fake::{Fault, On};
use crate::support::images::MIB;

#[test]
fn tokens_are_for_their_endpoint_alone() {
    let (fake, bench, _) = scene(MIB);
    let import = |blob: &str| Agent::new(bench.path(), &[&"import", &"drive.img", &blob]).env("NO_GCE_CHECK", "true");
    // Google's own endpoint, which is never asked without a token.
    import("gs://drives/blob").run().expect_error(7, &["no credentials for Google", "GOOGLE_APPLICATION_CREDENTIALS"]);
    let with_key = |agent: Agent| agent.env("GOOGLE_APPLICATION_CREDENTIALS", &fake.key_file());
    // An address that names another server than the environment does.
    let other = with_key(import(&fake.blob("blob"))).run();
    other.expect_error(7, &["is not sent to `127.0.0.1", "--trust-host"]);
    with_key(import("gs://drives/blob"))
        .with(&["--gcs-endpoint", "http://storage.example.com"])
        .run()
        .expect_error(7, &["in the clear"]);
    import("gs://drives/blob").with(&["--gcs-endpoint", "http://user@host/path"]).run().expect_error(7, &["--gcs-endpoint"]);
    assert_eq!(fake.seen(On::Head), 0);
    with_key(import("gs://drives/blob")).with(&["--gcs-endpoint", &fake.endpoint()]).run().expect(0);
    let host = fake.endpoint().replace("http://", "");
    with_key(import(&fake.blob("other"))).with(&["--trust-host", &host]).run().expect(0);
}

#[test]
fn a_file_that_is_no_key_is_named_and_not_shown() {
    let (fake, bench, _) = scene(MIB);
    let file = bench.secret("other.json", b"{\"type\": \"external_account\", \"token\": \"S3CRET\"}");
    let refused = import(&fake, &bench).env("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap()).run();
    refused.expect_error(7, &["credentials for Google Cloud Storage cannot be used", "others are not supported"]);
    let key = std::fs::read_to_string(fake.key_file()).unwrap();
    let secret = key.split("\\n").nth(1).unwrap().to_owned();
    let broken = bench.secret("broken.json", key.replace("BEGIN PRIVATE KEY", "BEGIN S3CRET KEY").as_bytes());
    let broken = import(&fake, &bench).env("GOOGLE_APPLICATION_CREDENTIALS", broken.to_str().unwrap()).run();
    broken.expect_error(7, &["the key in the file"]);
    let done = import(&fake, &bench).with(&["-vv"]).run();
    done.expect(0);
    for ended in [&refused, &broken, &done] {
        for text in [&ended.stdout, &ended.stderr] {
            assert!(!text.contains("S3CRET") && !text.contains(&secret) && !text.contains("eyJ"), "{text}");
        }
    }
}

#[test]
fn an_emulator_is_asked_without_a_token() {
    let (fake, bench, bytes) = scene(3 * CHUNK);
    fake.set_wants_token(false);
    let variables: Vec<_> = fake.variables().into_iter().filter(|(name, _)| *name != "GOOGLE_APPLICATION_CREDENTIALS").collect();
    // As emulators are written: without a scheme.
    let variables: Vec<_> = variables.into_iter().map(|(name, value)| (name, value.replace("http://", ""))).collect();
    let agent = Agent::new(bench.path(), &[&"import", &"drive.img", &"gs://drives/blob"]);
    with_variables(agent, &variables).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}

#[test]
fn a_token_that_is_refused_is_replaced_once() {
    let (fake, bench, bytes) = scene(6 * CHUNK);
    for on in [On::Head, On::Probe, On::PutChunk, On::ComposePiece, On::Compose, On::List, On::Delete] {
        fake.fail(on, [Fault::Answer(401, "AuthenticationRequired")]);
    }
    import(&fake, &bench).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
    fake.always_fail(On::Get, Some(Fault::Answer(401, "AuthenticationRequired")));
    let before = fake.seen(On::Get);
    let refused = run(&fake, &bench, &["export", "gs://drives/blob", "back.img"]).run();
    refused.expect_error(7, &["401", "AuthenticationRequired", "the token was not accepted", "clock"]);
    let asked = fake.seen(On::Get) - before;
    assert!(asked > 0 && asked.is_multiple_of(2), "each is sent once more: {asked}");
}

#[test]
fn whoever_pays_is_named() {
    let (fake, bench, bytes) = scene(3 * CHUNK);
    fake.set_requester_pays(true);
    import(&fake, &bench).run().expect_error(3, &["UserProjectMissing", "GOOGLE_CLOUD_QUOTA_PROJECT"]);
    import(&fake, &bench).env("GOOGLE_CLOUD_QUOTA_PROJECT", "payer").run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
}

#[test]
fn what_is_not_permitted_is_named() {
    for (on, permission) in [
        (On::Get, "storage.objects.get"),
        (On::Probe, "storage.objects.create"),
        (On::PutChunk, "storage.objects.create"),
        (On::ComposePiece, "storage.objects.create and storage.objects.get"),
    ] {
        let (fake, bench, _) = scene(6 * CHUNK);
        if on == On::Get {
            fake.always_fail(On::Head, Some(Fault::Answer(403, "AccessDenied")));
        }
        fake.always_fail(on, Some(Fault::Answer(403, "AccessDenied")));
        import(&fake, &bench).run().expect_error(7, &["AccessDenied", permission, "google-cloud-storage.md"]);
    }
    // Who may not list is told nothing of other transfers, and is not kept from copying.
    let (fake, bench, bytes) = scene(6 * CHUNK);
    fake.always_fail(On::List, Some(Fault::Answer(403, "AccessDenied")));
    import(&fake, &bench).run().expect(0);
    assert!(fake.object("blob").unwrap() == bytes);
    assert_clean(&fake, "blob");
}
