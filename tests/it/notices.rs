//! Who is told when a job comes to a state: a webhook, and mail through a real server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::images::{MIB, random_bytes};
use crate::support::listener::{Listener, Reply, Request, free_port};
use crate::support::service::{SUBSCRIPTION, Service, import, job};
use crate::support::{Agent, Workbench, parts};

/// A mail server that keeps what it takes.
struct MailServer {
    process: Child,
    port: u16,
    kept: PathBuf,
    certificate: PathBuf,
}

impl MailServer {
    fn start(bench: &Workbench, encryption: &str) -> Option<Self> {
        let python = parts::python()?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = bench.image("mail.pem", made.cert.pem().as_bytes());
        let key = bench.secret("mail.key", made.signing_key.serialize_pem().as_bytes());
        let (port, kept) = (free_port(), bench.file(&format!("mail-{encryption}.jsonl")));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/mail.py");
        let mut run = Command::new(python);
        run.arg(script).arg(&kept).arg(port.to_string()).arg(encryption).arg(&certificate).arg(key);
        let mut process = run.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(process.stdout.take().unwrap()), &mut said).unwrap();
        assert_eq!(said.trim(), "ready");
        Some(MailServer { process, port, kept, certificate })
    }

    fn mails(&self) -> Vec<Value> {
        let kept = std::fs::read_to_string(&self.kept).unwrap_or_default();
        kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn messages(listener: &Listener) -> Vec<Value> {
    listener.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

/// A whole import of one small drive, in the bay.
fn whole_import(bench: &Workbench, service: &Service, name: &str, serial: &str) {
    let image = bench.image(&format!("{serial}.img"), &random_bytes(MIB, 1));
    service.ship_import(name, &[serial]);
    service.dock("bay-1", &image, Some(serial)).expect(200);
    service.wait_for_state(name, "Packaging");
    service.order(name, "shipBack", json!({ "carrierName": "FedEx", "trackingNumber": "B-1" })).expect(200);
    service.wait_for_state(name, "Completed");
    service.undock("bay-1");
}

#[test]
fn a_webhook_is_told_of_each_state_once_and_signed_whatever_comes_between() {
    let bench = Workbench::new();
    let asked = AtomicUsize::new(0);
    // The first two attempts fail: one with an error, one without an answer.
    let listener = Listener::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::of(503, "", ""),
        1 => Reply::Bytes(String::new()),
        _ => Reply::of(204, "", ""),
    });
    let elsewhere = Listener::start(|_| Reply::of(200, "", ""));
    let secret = bench.secret("hook.secret", b"hook-secret\n");
    let config = format!(
        "public_url = \"https://jobs.example.com/\"\n[[bay]]\nname = \"bay-1\"\n\
         [[notify]]\nname = \"ours\"\nwebhook = \"{}/hook?key=SECRET-OF-ADDRESS\"\nsecret_file = \"{}\"\n\
         [[notify]]\nname = \"of others\"\nwebhook = \"{}\"\nsubscriptions = [\"somebody-else\"]\n",
        listener.url(),
        secret.display(),
        elsewhere.url(),
    );
    let mut service = Service::start(&bench, &config);
    whole_import(&bench, &service, "told", "A");
    let told =
        |listener: &Listener| messages(listener).iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    // Two attempts were made again.
    service.wait("five states, and two attempts more", || (listener.requests().len() >= 7).then_some(()));
    service.stays("what was taken is not sent again", || listener.requests().len() == 7);
    let mut states = told(&listener);
    states.sort();
    states.dedup();
    assert_eq!(states, ["Completed", "Packaging", "Received", "Shipping", "Transferring"]);
    // Each has an id of its own, which a second attempt has too.
    let ids: std::collections::BTreeSet<String> =
        messages(&listener).iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 5, "one is the same for each attempt");
    for Request { head, body } in listener.requests() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"hook-secret").unwrap();
        mac.update(&body);
        let signature = format!("x-drive-agent-signature: sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert!(head.to_lowercase().contains(&signature), "{head}");
        assert!(head.starts_with("POST /hook?key=SECRET-OF-ADDRESS "), "{head}");
    }
    let last = messages(&listener).into_iter().find(|one| one["state"] == "Completed").unwrap();
    assert_eq!(
        (&last["event"], &last["job"]["name"], &last["job"]["type"]),
        (&json!("jobStateChanged"), &json!("told"), &json!("Import"))
    );
    assert_eq!(last["job"]["id"].as_str(), job("told").split('?').next());
    let link = last["job"]["link"].as_str().unwrap();
    assert!(link.starts_with("https://jobs.example.com/portal/job/") && link.ends_with("/told"), "{link}");
    assert_eq!(elsewhere.heads(), Vec::<String>::new(), "that is another customer's");
    let log = service.stop().stderr;
    assert!(log.contains("503") && !log.contains("SECRET-OF-ADDRESS"), "{log}");
}

#[test]
fn a_notice_outlives_a_service_that_is_killed() {
    let bench = Workbench::new();
    let is_back = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let answers = is_back.clone();
    let listener = Listener::start(move |_| match answers.load(Ordering::Relaxed) {
        true => Reply::of(200, "", ""),
        false => Reply::of(500, "", ""),
    });
    let config = format!(
        "[[bay]]\nname = \"bay-1\"\n[[notify]]\nname = \"ours\"\nstates = [\"Shipping\"]\nwebhook = \"{}\"\n",
        listener.url()
    );
    let mut service = Service::start(&bench, &config);
    service.ship_import("kept", &["A"]);
    service.wait("an attempt", || (!listener.heads().is_empty()).then_some(()));
    service.kill();
    is_back.store(true, Ordering::Relaxed);
    let before = listener.heads().len();
    service.go();
    service.wait("another attempt", || (listener.heads().len() > before).then_some(()));
    let messages = messages(&listener);
    assert!(messages.iter().all(|one| one["state"] == "Shipping" && one["id"] == messages[0]["id"]), "{messages:?}");
    // It was taken: nothing comes again.
    let after = listener.heads().len();
    service.stays("a notice that was taken is not sent again", || listener.heads().len() == after);
}

#[test]
fn receivers_that_say_nothing_keep_nothing_else_back() {
    let bench = Workbench::new();
    // Connections are taken, and nothing is ever said.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let good = Listener::start(|_| Reply::of(200, "", ""));
    let config = format!(
        "[[bay]]\nname = \"bay-1\"\n[[notify]]\nname = \"mail\"\nemail = [\"a@example.com\"]\nstates = [\"Creating\"]\n\
         [[notify]]\nname = \"hook\"\nwebhook = \"http://127.0.0.1:{port}/\"\nstates = [\"Creating\"]\n\
         [[notify]]\nname = \"good\"\nwebhook = \"{}\"\nstates = [\"Creating\"]\n\
         [smtp]\nserver = \"localhost\"\nport = {port}\nencryption = \"none\"\nfrom = \"drives@example.com\"\n",
        good.url()
    );
    let service = Service::start(&bench, &config);
    for number in 0..40 {
        service.call("PUT", &job(&format!("job-{number}")), import(&["A"])).expect(201);
    }
    service.wait("forty messages", || (good.requests().len() >= 40).then_some(()));
}

#[test]
fn mail_goes_to_staff_and_to_the_customer_of_the_job_through_a_server_that_is_known() {
    let bench = Workbench::new();
    let Some(server) = MailServer::start(&bench, "starttls") else { return };
    let password = bench.secret("mail.password", b"mail-secret\n");
    let smtp = |ca: &str| {
        format!(
            "[smtp]\nserver = \"localhost\"\nport = {}\nencryption = \"starttls\"\n{ca}\
             user = \"station\"\npassword_file = \"{}\"\nfrom = \"Drives <drives@example.com>\"\n",
            server.port,
            password.display()
        )
    };
    let ca = format!("ca = \"{}\"\n", server.certificate.display());
    let config = "[[bay]]\nname = \"bay-1\"\n[[notify]]\nname = \"dock\"\nemail = [\"nobody@example.com\", \"busy@example.com\", \"dock@example.com\"]\nstates = [\"Completed\"]\n\
         [[notify]]\nname = \"customer\"\nemail_customer = true\nstates = [\"Completed\"]\n";
    // A server that nobody vouches for gets no password.
    let file = bench.secret("distrusted.toml", format!("{config}{}", smtp("")).as_bytes());
    let check = |file: &PathBuf| Agent::bare(bench.path(), &[&"serve", &"--check", &"--config", file]).run();
    check(&file).expect_error(1, &["`notify`", "certificate"]);
    let file = bench.secret("trusted.toml", format!("{config}{}", smtp(&ca)).as_bytes());
    assert_eq!(check(&file).code, Some(0));
    assert_eq!(server.mails(), Vec::<Value>::new(), "a check sends nothing");
    let service = Service::start(&bench, &format!("{config}{}", smtp(&ca)));
    let owner = import(&["A"])["properties"]["returnAddress"]["email"].as_str().unwrap().to_owned();
    whole_import(&bench, &service, "mailed", "A");
    service.wait("three mails", || {
        let mut to: Vec<String> = server.mails().iter().map(|mail| mail["to"][0].as_str().unwrap().to_owned()).collect();
        to.sort();
        to.dedup();
        (to.len() == 3).then_some(())
    });
    let mails = server.mails();
    let of_owner = mails.iter().find(|mail| mail["to"] == json!([owner])).unwrap_or_else(|| panic!("{mails:?}"));
    assert_eq!(
        (&of_owner["from"], &of_owner["tls"], &of_owner["user"]),
        (&json!("drives@example.com"), &json!(true), &json!("station"))
    );
    let content = of_owner["content"].as_str().unwrap();
    for words in
        ["Subject: mailed: Completed", "Message-ID: <", "From: Drives <drives@example.com>", "is now Completed", SUBSCRIPTION]
    {
        assert!(content.contains(words), "{words}: {content}");
    }
    assert!(mails.iter().all(|mail| mail["to"].as_array().unwrap().len() == 1), "nobody sees the others: {mails:?}");
    assert_eq!(mails.len(), 3, "who had it before another's server was busy does not get it again: {mails:?}");
}

#[test]
fn mail_goes_out_over_tls_and_in_the_clear_on_this_host() {
    let bench = Workbench::new();
    for encryption in ["tls", "none"] {
        let Some(server) = MailServer::start(&bench, encryption) else { return };
        let password = bench.secret("mail.password", b"mail-secret");
        let access = match encryption {
            "tls" => format!(
                "ca = \"{}\"\nuser = \"station\"\npassword_file = \"{}\"\n",
                server.certificate.display(),
                password.display()
            ),
            _ => String::new(),
        };
        let config = format!(
            "[[bay]]\nname = \"bay-1\"\n[[notify]]\nname = \"dock\"\nemail = [\"dock@example.com\"]\nstates = [\"Shipping\"]\n\
             [smtp]\nserver = \"localhost\"\nport = {}\nencryption = \"{encryption}\"\nfrom = \"drives@example.com\"\n{access}",
            server.port
        );
        let service = Service::start(&bench, &config);
        service.ship_import(&format!("mailed-{encryption}"), &["A"]);
        service.wait("a mail", || (server.mails().len() == 1).then_some(()));
        let user = if encryption == "tls" { json!("station") } else { Value::Null };
        assert_eq!(server.mails()[0]["user"], user);
    }
}

#[test]
fn what_is_wrong_about_notices_is_said_before_anything_is_served() {
    let bench = Workbench::new();
    let hook = |more: &str| format!("[[notify]]\nname = \"x\"\n{more}");
    let smtp = "[smtp]\nserver = \"mail.example.com\"\nfrom = \"a@example.com\"\n";
    for (config, words) in [
        (hook(""), "tells nobody"),
        (hook("webhook = \"http://hooks.example.com/SECRET\""), "can be read by others on the way"),
        (hook("webhook = \"not a url SECRET\""), "is not a URL"),
        (hook("webhook = \"https://h.example.com\"\nemail = [\"a@example.com\"]"), "write two of them"),
        (hook("webhook = \"https://h.example.com\"\nstates = [\"Lost\"]"), "`Lost`"),
        (hook("webhook = \"https://h.example.com\"\nsecret_file = \"/no/such/file\""), "/no/such/file"),
        (hook("email = [\"a@example.com\"]"), "[smtp]"),
        (format!("{}\n{smtp}", hook("email = [\"nobody\"]")), "`nobody`"),
        (
            format!("{}\n{}", hook("webhook = \"https://h.example.com\""), hook("webhook = \"https://h.example.com\"")),
            "two of `notify` `x`",
        ),
        (format!("{smtp}encryption = \"none\"\n"), "read on the way"),
        (format!("{smtp}user = \"me\"\n"), "password_file"),
        (format!("{smtp}port = 70000\n"), "line 4"),
        ("[smtp]\nserver = \"localhost\"\nfrom = \"nobody\"\n".to_owned(), "smtp.from"),
    ] {
        let file = bench.secret("wrong.toml", config.as_bytes());
        let ended = Agent::bare(bench.path(), &[&"serve", &"--listen", &"127.0.0.1:0", &"--config", &file]).run();
        ended.expect_error(1, &[words]);
        assert!(!ended.stderr.contains("SECRET"), "{}", ended.stderr);
    }
}
