//! Credentials of a store go to the host that they belong to, and to no other.

use crate::support::azure_fake::AzureFake;
use crate::support::azurite::{ACCOUNT, Azurite, KEY};
use crate::support::images::{KIB, random_bytes, same_content};
use crate::support::listener::{Listener, Reply};
use crate::support::{Agent, Ended, Workbench};

/// A key of an account of the cloud, and a signature: none of them may be found anywhere.
const SECRET_KEY: &str = "c2VjcmV0LWtleS1vZi1hY21l";
const SECRET_SAS: &str = "sv=2022-11-02&sig=S3CRETSIGNATURE";

fn refusing() -> Listener {
    Listener::start(|head| {
        // What was asked is sent back: nothing of it may be shown.
        let body = format!("<Error><Code>AuthenticationFailed</Code><Message>no: {}</Message></Error>", head.replace('\r', ""));
        Reply::of(403, "x-ms-error-code: AuthenticationFailed\r\n", &body)
    })
}

/// Each command that reaches a store, about a blob at this address.
fn commands(bench: &Workbench, blob: &str) -> Vec<Agent> {
    let (manifest, beside) = (format!("{blob}.manifest.jsonl"), bench.file("good.manifest.jsonl"));
    let agent = |arguments: &[&dyn AsRef<std::ffi::OsStr>]| Agent::new(bench.path(), arguments).with(&["-vv"]);
    vec![
        agent(&[&"import", &"drive.img", &blob]),
        agent(&[&"import", &"drive.img", &blob, &"--dry-run"]),
        agent(&[&"export", &blob, &"back.img"]),
        agent(&[&"verify", &manifest, &"--drive", &"drive.img"]),
        agent(&[&"verify", &beside, &"--blob", &blob]),
    ]
}

fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(100 * KIB, 1));
    Agent::new(bench.path(), &[&"import", &"drive.img", &"good"]).run().expect(0);
    bench
}

#[track_caller]
fn shows_no_secret(ended: &Ended) {
    for secret in [SECRET_KEY, "S3CRETSIGNATURE", "SharedKey acme:"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{secret}: {}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn a_key_and_a_signature_go_to_no_host_that_only_has_the_accounts_name() {
    let (bench, listener) = (bench(), refusing());
    let blob = format!("{}/acme/c/n", listener.url());
    let host = listener.host();
    for (variable, value) in [("AZURE_STORAGE_KEY", SECRET_KEY), ("AZURE_STORAGE_SAS_TOKEN", SECRET_SAS)] {
        for command in commands(&bench, &blob) {
            let ended = command.env("AZURE_STORAGE_ACCOUNT", "acme").env(variable, value).run();
            ended.expect_error(7, &[&format!("{variable} is not sent to `{host}`"), &format!("`--trust-host {host}`")]);
            shows_no_secret(&ended);
        }
    }
    let string = format!("AccountName=acme;AccountKey={SECRET_KEY};BlobEndpoint=http://127.0.0.1:9/acme");
    for command in commands(&bench, &blob) {
        let ended = command.env("AZURE_STORAGE_CONNECTION_STRING", &string).run();
        ended.expect_error(7, &[&format!("AZURE_STORAGE_CONNECTION_STRING is not sent to `{host}`")]);
    }
    // Over TLS the name alone is no more.
    let evil = Agent::new(bench.path(), &[&"import", &"drive.img", &"https://acme.localhost:9/c/n"]);
    let ended = evil.env("AZURE_STORAGE_ACCOUNT", "acme").env("AZURE_STORAGE_KEY", SECRET_KEY).run();
    ended.expect_error(7, &["not sent to `acme.localhost:9`"]);
    let token = Agent::new(bench.path(), &[&"import", &"drive.img", &"https://acme.localhost:9/c/n"]).run();
    token.expect_error(7, &["a token of Entra ID is not sent to `acme.localhost:9`"]);
    assert_eq!(listener.heads(), Vec::<String>::new(), "nothing was sent at all");
    let bench_command = Agent::new(bench.path(), &[&"bench", &"--drive", &"drive.img", &"--store", &blob, &"--size", &"1MiB"]);
    let ended = bench_command.env("AZURE_STORAGE_ACCOUNT", "acme").env("AZURE_STORAGE_KEY", SECRET_KEY).run();
    assert!(ended.code != Some(0) && ended.stderr.contains(&format!("`DRIVE_AGENT_TRUST_HOST={host}`")), "{}", ended.stderr);
    assert_eq!(listener.heads(), Vec::<String>::new(), "nothing was sent at all");
}

#[test]
fn a_host_is_trusted_by_its_name_and_port() {
    let (bench, listener) = (bench(), refusing());
    let blob = format!("{}/acme/c/n", listener.url());
    let key = |agent: Agent| agent.env("AZURE_STORAGE_ACCOUNT", "acme").env("AZURE_STORAGE_KEY", SECRET_KEY);
    for other in ["127.0.0.1", "127.0.0.1:9", "localhost"] {
        for command in commands(&bench, &blob) {
            key(command.with(&["--trust-host", other])).run().expect_error(7, &["is not sent to"]);
        }
    }
    assert_eq!(listener.heads(), Vec::<String>::new());
    for command in commands(&bench, &blob) {
        let ended = key(command.with(&["--trust-host", &listener.host()])).run();
        assert_eq!(ended.code, Some(7), "{}", ended.stderr);
        shows_no_secret(&ended);
    }
    for command in commands(&bench, &blob) {
        let hosts = format!("storage.example, {}", listener.host());
        shows_no_secret(&key(command.env("DRIVE_AGENT_TRUST_HOST", &hosts)).run());
    }
    let heads = listener.heads();
    let commands = commands(&bench, &blob).len();
    assert!(heads.len() >= 2 * commands && heads.iter().all(|head| head.contains("SharedKey acme:")), "{heads:#?}");
    let bad = key(Agent::new(bench.path(), &[&"export", &blob, &"x"])).env("DRIVE_AGENT_TRUST_HOST", "https://x").run();
    bad.expect_error(7, &["DRIVE_AGENT_TRUST_HOST cannot be used", "HOST:PORT"]);
    key(Agent::new(bench.path(), &[&"export", &blob, &"x", &"--trust-host", &"https://x"])).run().expect_error(2, &["HOST:PORT"]);
}

#[test]
fn a_signature_in_the_address_crosses_no_network_in_the_clear() {
    let bench = bench();
    for blob in ["http://10.0.0.7:9/acme/c/n", "http://acme.blob.core.windows.net/c/n"] {
        let ended = Agent::new(bench.path(), &[&"export", &format!("{blob}?{SECRET_SAS}"), &"x"]).run();
        ended.expect_error(7, &["in the clear", "https in place of http"]);
        shows_no_secret(&ended);
    }
}

#[test]
fn a_redirect_takes_no_credential_along() {
    let (bench, other) = (bench(), refusing());
    let target = other.url();
    for status in [301, 302, 307, 308] {
        let target = target.clone();
        let store = Listener::start(move |_| Reply::of(status, &format!("location: {target}/acme/c/n?{SECRET_SAS}\r\n"), ""));
        for command in commands(&bench, &format!("{}/acme/c/n?{SECRET_SAS}", store.url())) {
            let ended = command.with(&["--retry-budget", "1ms"]).run();
            assert_eq!(ended.code, Some(7), "{}", ended.stderr);
            shows_no_secret(&ended);
        }
        for command in commands(&bench, &format!("{}/acme/c/n", store.url())) {
            let command = command.with(&["--retry-budget", "1ms", "--trust-host", &store.host()]);
            let ended = command.env("AZURE_STORAGE_ACCOUNT", "acme").env("AZURE_STORAGE_KEY", SECRET_KEY).run();
            shows_no_secret(&ended);
        }
        assert!(!store.heads().is_empty());
    }
    assert_eq!(other.heads(), Vec::<String>::new(), "it was followed");
}

#[test]
fn no_command_shows_a_credential_that_the_store_refuses() {
    let (bench, listener) = (bench(), refusing());
    let blob = format!("{}/acme/c/n", listener.url());
    for command in commands(&bench, &format!("{blob}?{SECRET_SAS}")) {
        let ended = command.run();
        ended.expect_error(7, &["403"]);
        shows_no_secret(&ended);
    }
    let string = format!("AccountName=acme;SharedAccessSignature={SECRET_SAS};BlobEndpoint={}/acme", listener.url());
    for command in commands(&bench, &blob) {
        let ended = command.env("AZURE_STORAGE_CONNECTION_STRING", &string).run();
        ended.expect_error(7, &["403"]);
        shows_no_secret(&ended);
    }
    assert!(listener.heads().iter().all(|head| head.contains("S3CRETSIGNATURE")));
    // Nor is anything kept.
    let kept = std::process::Command::new("grep").args(["-rlaE", "S3CRET|c2VjcmV0"]).arg(bench.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "");
    // A password in an address is not repeated either.
    for blob in ["https://u:S3CRETSIGNATURE@acme.blob.core.windows.net/c/n", "https://S3CRETSIGNATURE@[/c/n"] {
        let ended = Agent::new(bench.path(), &[&"export", &blob, &"x"]).run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        shows_no_secret(&ended);
    }
}

#[test]
fn an_emulators_published_key_is_found_where_its_string_says() {
    let (Some(azurite), bench) = (Azurite::start(), bench()) else {
        return;
    };
    let blob = format!("{}/drives/n", azurite.endpoint());
    // By another name of this machine the emulator is a host of the user's own, and its account stands in the path.
    let named = azurite.endpoint().replace("127.0.0.1", "localhost");
    let string = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={named}");
    let import = |blob: &str| Agent::new(bench.path(), &[&"import", &"drive.img", &blob]);
    import(&format!("{named}/drives/named")).env("AZURE_STORAGE_CONNECTION_STRING", &string).run().expect(0);
    import(&blob).env("AZURE_STORAGE_ACCOUNT", ACCOUNT).env("AZURE_STORAGE_KEY", KEY).run().expect(0);
    let export = Agent::new(bench.path(), &[&"export", &blob, &"back.img"]);
    export.env("AZURE_STORAGE_ACCOUNT", ACCOUNT).env("AZURE_STORAGE_KEY", KEY).run().expect(0);
    assert!(same_content(&bench.file("drive.img"), &bench.file("back.img")));
    // Another key of that account is a secret.
    let other = import(&blob).env("AZURE_STORAGE_ACCOUNT", ACCOUNT).env("AZURE_STORAGE_KEY", SECRET_KEY).run();
    other.expect_error(7, &["AZURE_STORAGE_KEY is not sent to"]);
}

#[test]
fn a_station_sends_an_accounts_key_where_the_configuration_says() {
    let (bench, fake) = (Workbench::new(), AzureFake::start());
    let place = fake.account().split('?').next().unwrap().to_owned();
    let host = place.split('/').nth(2).unwrap().to_owned();
    let account = place.rsplit('/').next().unwrap().to_owned();
    let credentials = format!("AZURE_STORAGE_ACCOUNT={account}\nAZURE_STORAGE_KEY={SECRET_KEY}\n");
    let credentials = bench.image("credentials", credentials.as_bytes());
    std::fs::set_permissions(&credentials, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = format!("[[account]]\nname = \"local\"\nstore = \"{place}\"\ncredentials = \"{}\"\n", credentials.display());
    bench.image("station.toml", text.as_bytes());
    let refused = Agent::bare(bench.path(), &[&"serve", &"--config", &"station.toml", &"--listen", &"127.0.0.1:0"]).run();
    let way_out = format!("trust_host = [\"{host}\"]");
    refused.expect_error(1, &["account `local`", &format!("is not sent to `{host}`"), &way_out]);
    shows_no_secret(&refused);
    let mut service = crate::support::service::Service::start(&bench, &format!("{text}{way_out}\n"));
    shows_no_secret(&service.stop());
    let bad = bench.image("bad.toml", format!("{text}trust_host = [\"https://x\"]\n").as_bytes());
    Agent::bare(bench.path(), &[&"serve", &"--config", &bad]).run().expect_error(1, &["HOST:PORT"]);
}
