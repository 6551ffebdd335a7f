//! Where the client sends a token: to the service that it is for, and to no other program.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::support::Workbench;
use crate::support::agent::Agent;
use crate::support::service::{Service, TWO_BAYS};
use crate::support::wait::wait_until;

/// A program of another user, on an address where a service was or may be.
struct OtherListener(TcpListener);

impl OtherListener {
    fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        OtherListener(listener)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    #[track_caller]
    fn expect_nothing(&self) {
        let accepted = self.0.accept();
        assert_eq!(accepted.map(|(_, peer)| peer).unwrap_err().kind(), ErrorKind::WouldBlock, "it was connected to");
    }
}

#[test]
fn a_token_goes_to_the_service_on_the_state_directory_alone() {
    let bench = Workbench::new();
    let mut service = Service::start(&bench, TWO_BAYS);
    let list = || Agent::new(bench.path(), &[&"jobs", &"list"]);
    list().run().expect(0);
    list().with(&["--server", &service.url]).run().expect(0);
    // After a kill its address is still in the state directory, and another program may listen there.
    service.kill();
    assert!(service.state().join("service.url").exists());
    let other = OtherListener::at(service.url.trim_start_matches("http://"));
    let state_dir = service.state().display().to_string();
    let words = ["no service runs on the state directory", &state_dir, "drive-agent serve --state-dir"];
    list().run().expect_error(1, &words);
    list().with(&["--server", &service.url]).run().expect_error(1, &words);
    list().env("DRIVE_AGENT_TOKEN", &service.token).run().expect_error(1, &words);
    other.expect_nothing();
    // Nor is it sent to another address of this machine.
    let elsewhere = OtherListener::at("127.0.0.1:0");
    list()
        .with(&["--server", &elsewhere.url()])
        .run()
        .expect_error(2, &["there is no token for", &elsewhere.url(), "--token-file"]);
    elsewhere.expect_nothing();
    drop(other);
    // What was said works as printed.
    let said = list().run().stderr;
    let command = said.split('`').find(|part| part.starts_with("drive-agent serve")).unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let started = Agent::bare(bench.path(), &[]).with(&words).with(&["--listen", "127.0.0.1:0"]).start();
    wait_until("the service that was started as printed", || list().run().code == Some(0));
    started.signal(rustix::process::Signal::TERM);
    assert_eq!(started.wait().code, Some(0));
    for left in ["service.sock", "service.url"] {
        assert!(!service.state().join(left).exists(), "{left}");
    }
    list().run().expect_error(1, &["no service runs on the state directory"]);
}

#[test]
fn a_state_directory_that_others_may_write_to_is_not_believed() {
    let bench = Workbench::new();
    let service = Service::start(&bench, TWO_BAYS);
    let set = |mode| std::fs::set_permissions(service.state(), PermissionsExt::from_mode(mode)).unwrap();
    let socket = std::fs::metadata(service.state().join("service.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    set(0o777);
    let refused = Agent::new(bench.path(), &[&"jobs", &"list"]).run();
    refused.expect_error(1, &["may be written to by other users", "chmod 700"]);
    set(0o700);
    Agent::new(bench.path(), &[&"jobs", &"list"]).run().expect(0);
}

#[test]
fn a_token_is_not_sent_in_the_clear() {
    let bench = Workbench::new();
    let to = |server: &str| {
        Agent::new(bench.path(), &[&"jobs", &"list", &"--server", &server]).env("DRIVE_AGENT_TOKEN", "dat_1").run()
    };
    to("http://station.example:7070")
        .expect_error(2, &["`station.example`", "plain http", "`--server https://station.example:7070`"]);
    to("http://192.0.2.1").expect_error(2, &["plain http", "`--server https://192.0.2.1`"]);
    to("http://127.0.0.1.station.example").expect_error(2, &["plain http"]);
    to("ftp://127.0.0.1").expect_error(2, &["begins with https://"]);
    let file = bench.image("token", b"dat_1\n");
    let by_file = Agent::new(bench.path(), &[&"bays", &"--server", &"http://station.example", &"--token-file", &file]).run();
    by_file.expect_error(2, &["plain http"]);
    // On this machine it is.
    to("http://127.0.0.1:1").expect_error(1, &["cannot be reached", "drive-agent serve"]);
}
