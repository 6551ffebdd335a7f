//! No secret in what the program says or keeps, whatever a store answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;

use base64::Engine;

use crate::support::images::{KIB, random_bytes};
use crate::support::service::{Service, import, job};
use crate::support::{Agent, Workbench};

/// A signature in a SAS, as it stands in the address and as it is meant.
const SIGNATURE: &str = "Sq3cr3tSignature0123456789abcdefghijklmnopq%3D";

/// What must never be seen: the signature in part, the key, the client's secret, what requests were signed with.
const SECRETS: [&str; 5] = ["Sq3cr3tSignature", "c2VjcmV0LWtleQ", "secret-key", "SharedKey acme", "s3cr3t-of-client"];

/// A store that refuses each request, and repeats it in everything that it says.
struct Echo {
    port: u16,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some((head, body)) = request(&mut reader) {
                        let said = head.replace(['\r', '\n'], " ");
                        // By a HEAD no body is asked for.
                        let text = if head.starts_with("HEAD") { String::new() } else { error(&head, &body) };
                        let _ = write!(
                            stream,
                            "HTTP/1.1 403 {said}\r\nx-ms-error-code: {said}\r\nx-ms-request-id: {said}\r\nserver: {said}\r\n\
                             content-type: application/xml\r\ncontent-length: {}\r\n\r\n{text}",
                            text.len()
                        );
                    }
                });
            }
        });
        Echo { port }
    }

    fn account(&self) -> String {
        format!("http://127.0.0.1:{}/acme", self.port)
    }

    fn blob(&self) -> String {
        format!("{}/drives/blob?sv=2022-11-02&sp=rw&sig={SIGNATURE}", self.account())
    }
}

fn request(reader: &mut BufReader<std::net::TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn error(head: &str, body: &[u8]) -> String {
    let signature = head.split("sig=").nth(1).and_then(|rest| rest.split([' ', '&']).next()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
    format!("<?xml version=\"1.0\"?><Error><Code>{signature}</Code><Message>{signature} {head} {body}</Message></Error>")
}

#[track_caller]
fn shows_no_secret(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "`{secret}` in {what}: {text}");
    }
}

#[track_caller]
fn keeps_no_secret(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            keeps_no_secret(&entry);
        } else if entry.is_file() {
            // The service's socket has no content.
            shows_no_secret(&entry.display().to_string(), &String::from_utf8_lossy(&std::fs::read(&entry).unwrap()));
        }
    }
}

#[test]
fn no_command_shows_a_signature_or_a_key() {
    let (echo, bench) = (Echo::start(), Workbench::new());
    bench.image("drive.img", &random_bytes(64 * KIB, 1));
    let key = base64::engine::general_purpose::STANDARD.encode("secret-key-of-acme, which is not known");
    let account = echo.account();
    let by_string = format!("AccountName=acme;AccountKey={key};BlobEndpoint={account}");
    let broken = format!("AccountName=acme;AccountKey={key}!;BlobEndpoint={account}");
    let (blob, plain, nowhere) =
        (echo.blob(), format!("{account}/drives/blob"), echo.blob().replace(&format!(":{}", echo.port), ":9"));
    let tls = blob.replace("http:", "https:");
    let mut runs: Vec<(Vec<&str>, Option<&str>)> = Vec::new();
    for address in [&blob, &nowhere, &tls] {
        runs.push((vec!["import", "drive.img", address], None));
        runs.push((vec!["import", "drive.img", address, "--dry-run"], None));
        runs.push((vec!["import", "drive.img", address, "--blob-type", "page"], None));
        runs.push((vec!["export", address, "back.img"], None));
        runs.push((vec!["verify", address, "--drive", "drive.img"], None));
    }
    for string in [&by_string, &broken] {
        runs.push((vec!["import", "drive.img", &plain], Some(string)));
        runs.push((vec!["import", "drive.img", "az://drives/blob"], Some(string)));
        runs.push((vec!["export", "az://drives/blob", "back.img"], Some(string)));
    }
    let bad = [
        format!("{blob}#x"),
        format!("{blob}&x").replace("http:", "ftp:"),
        blob.replace("/drives/blob", ""),
        blob.replace("//", "//u:s3cr3t-of-client@"),
    ];
    runs.extend(bad.iter().map(|address| (vec!["import", "drive.img", address], None)));
    for (arguments, string) in runs {
        for output in [&["--output", "json"][..], &["-vv"]] {
            let agent = Agent::bare(bench.path(), &[]).with(&arguments).with(output).with(&["--retry-budget", "1s"]);
            let agent = string.into_iter().fold(agent, |agent, string| agent.env("AZURE_STORAGE_CONNECTION_STRING", string));
            let ended = agent.run();
            assert_ne!(ended.code, Some(0), "{arguments:?}");
            shows_no_secret(&format!("{arguments:?}"), &format!("{}{}", ended.stdout, ended.stderr));
        }
    }
    keeps_no_secret(&bench.file("state"));
}

#[test]
fn a_command_line_that_is_wrong_is_repeated_without_secrets() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(64 * KIB, 1));
    let blob = format!("http://127.0.0.1:9/acme/drives/blob?sv=2022-11-02&sp=rw&sig={SIGNATURE}");
    let (blob, of_user) = (blob.as_str(), "http://u:s3cr3t-of-client@127.0.0.1:9/acme");
    let option = format!("--rate={blob}");
    let import = ["import", "drive.img", "blob"];
    let mut lines = vec![
        vec![blob],
        vec!["jobs", "list", blob],
        vec!["jobs", "list", of_user],
        vec!["transfers", "show", blob, blob],
        // The two sides of a transfer in the wrong order.
        vec!["import", blob, "drive.img"],
        vec!["export", "back.img", blob],
        vec!["verify", "drive.img", "--drive", blob],
        vec!["drives", "describe", blob],
        vec!["drives", "attach", blob],
        vec!["drives", "detach", blob],
        vec!["bays", "dock", "bay-1", blob],
        vec!["jobs", "show", blob],
        vec!["jobs", "create", "job-1", "--from", blob],
        vec!["jobs", "list", "--server", blob],
        vec!["jobs", "list", "--server", of_user],
        vec!["jobs", "list", "--token-file", blob],
        vec!["tokens", "create", blob],
        vec!["serve", "--config", blob],
        vec!["serve", "--listen", blob],
        vec!["bench", blob],
    ];
    lines.push([&import[..], &[blob]].concat());
    lines.push([&import[..], &[of_user]].concat());
    lines.push([&import[..], &[&option]].concat());
    for option in [
        "--trust-host",
        "--rate",
        "--concurrency",
        "--time-scale",
        "--blob-type",
        "--memory",
        "--tier",
        "--metadata",
        "--fill",
        "--proxy",
        "--ca",
        "--mapfile",
        "--rate-file",
        "--state-dir",
        "--manifest",
        "--no-such-option",
        "--read-timeout",
        "--output",
    ] {
        lines.push([&import[..], &[option, blob]].concat());
        lines.push([&import[..], &[option, of_user]].concat());
    }
    for line in lines {
        for output in [&[][..], &["--output", "json"]] {
            let ended = Agent::bare(bench.path(), &[]).with(&line).with(output).run();
            shows_no_secret(&format!("{line:?}"), &format!("{}{}", ended.stdout, ended.stderr));
            if line.len() == 1 {
                ended.expect_error(2, &["unrecognized subcommand 'http://127.0.0.1:9/acme/drives/blob"]);
            }
        }
    }
}

#[test]
fn a_station_shows_no_secret_of_an_account() {
    let (echo, bench) = (Echo::start(), Workbench::new());
    let drive = bench.image("MINE.img", &random_bytes(64 * KIB, 1));
    let store = format!("{}?sv=2022-11-02&sp=rw&sig={SIGNATURE}", echo.account());
    let config = format!(
        "[transfer]\nretry_budget = \"1s\"\n[[account]]\nname = \"local\"\nstore = \"{store}\"\n[[bay]]\nname = \"bay-1\"\n"
    );
    let mut service = Service::start(&bench, &config);
    service.call("PUT", &job("in"), import(&["MINE"])).expect(201);
    service.patch("in", crate::support::service::shipping()).expect(200);
    service.dock("bay-1", &drive, None).expect(200);
    service.wait_for_attention("copy-held");
    for told in [
        service.job("in"),
        service.operators_job("in"),
        service.receipts("in"),
        service.attention().into(),
        service.bays().into(),
    ] {
        shows_no_secret("an answer", &told.to_string());
    }
    let cookie = service.session_cookie(&service.token);
    for page in ["/portal/", "/portal/jobs", "/portal/bays", "/portal/job/11111111-2222-3333-4444-555555555555/group/in"] {
        let shown = service.try_call("", "GET", page, serde_json::Value::Null, &[("cookie", &cookie)]).unwrap();
        shows_no_secret(page, &shown.body.to_string());
    }
    keeps_no_secret(&service.state());
    shows_no_secret("the log", &service.stop().stderr);
}
