//! Certificates of stores: whose are trusted, and what is said of those that are not.

use time::Duration;

use crate::support::azure_fake::AzureFake;
use crate::support::images::{KIB, random_bytes};
use crate::support::tls_front::{Authority, TlsFront};
use crate::support::{Agent, Workbench};

struct Scene {
    bench: Workbench,
    fake: AzureFake,
    authority: Authority,
}

fn scene() -> Scene {
    let (bench, authority) = (Workbench::new(), Authority::new());
    bench.image("drive.img", &random_bytes(100 * KIB, 1));
    bench.image("ca.pem", authority.pem().as_bytes());
    Scene { bench, fake: AzureFake::start(), authority }
}

impl Scene {
    fn import(&self, front: &TlsFront) -> Agent {
        let blob = format!("https://localhost:{}/account/drives/disk?sv=2022&sig=good", front.port);
        Agent::new(self.bench.path(), &[&"import", &"drive.img", &blob, &"--overwrite", &"--retry-budget", &"60s"])
    }
}

#[test]
fn an_issuer_is_trusted_where_that_is_said() {
    let scene = scene();
    let front = scene.authority.front("localhost", scene.fake.port());
    let ca = scene.bench.file("ca.pem").display().to_string();
    scene.import(&front).with(&["--ca", "ca.pem"]).run().expect(0);
    scene.import(&front).env("SSL_CERT_FILE", &ca).run().expect(0);
    std::fs::create_dir(scene.bench.file("issuers")).unwrap();
    std::fs::copy(&ca, scene.bench.file("issuers/one.pem")).unwrap();
    scene.import(&front).env("SSL_CERT_DIR", &scene.bench.file("issuers").display().to_string()).run().expect(0);
    // Others than the system's, and one more.
    let other = scene.bench.image("other.pem", Authority::new().pem().as_bytes());
    scene.import(&front).env("SSL_CERT_FILE", &other.display().to_string()).with(&["--ca", "ca.pem"]).run().expect(0);
    let ended = scene.import(&front).env("SSL_CERT_FILE", "/nowhere/ca.pem").run();
    ended.expect_error(7, &["SSL_CERT_FILE is `/nowhere/ca.pem`", "in place of the system's"]);
}

#[test]
fn a_certificate_that_is_not_trusted_is_final_and_says_what_to_do() {
    let scene = scene();
    let port = scene.fake.port();
    let day = Duration::days(1);
    let fronts = [
        (Authority::new().front("localhost", port), vec!["issuer", "`--ca FILE`"]),
        (Authority::front_of_itself(port), vec!["CA:TRUE", "CA:FALSE"]),
        (
            scene.authority.front("other.example", port),
            vec!["is for `other.example`, and not for this name", "correct the address"],
        ),
        (scene.authority.front_of("localhost", port, [-day * 9, -day]), vec!["expired at ", "clock"]),
        (scene.authority.front_of("localhost", port, [day, day * 9]), vec!["not valid before ", "clock"]),
    ];
    for (front, words) in fronts {
        let ended = scene.import(&front).with(&["--ca", "ca.pem"]).run();
        ended.expect_error(7, &[&["the certificate of `localhost`"], &*words].concat());
        assert_eq!(front.handshakes(), 1, "it was tried again: {}", ended.stderr);
    }
    assert_eq!(scene.fake.bytes_received(), 0);
}

#[test]
fn a_file_without_certificates_is_refused_before_anything_is_sent() {
    let scene = scene();
    let front = scene.authority.front("localhost", scene.fake.port());
    let bad = scene.bench.image("bad.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let cut = scene.authority.pem();
    scene.bench.image("cut.pem", &cut.as_bytes()[..cut.len() / 2]);
    scene.bench.image("empty.pem", b"no certificate\n");
    for (file, words) in [
        ("missing.pem", "`missing.pem`"),
        (".", "it is not a file"),
        ("empty.pem", "no certificate in it"),
        ("drive.img", "no certificate in it"),
        ("cut.pem", "cut.pem"),
        (bad.to_str().unwrap(), "number 1 of them is not a certificate"),
    ] {
        scene.import(&front).with(&["--ca", file]).run().expect_error(2, &["cannot be used", words]);
    }
    assert_eq!(front.handshakes(), 0);
    scene.bench.image("station.toml", b"[transfer]\nca = \"missing.pem\"\n");
    let serve = Agent::bare(scene.bench.path(), &[&"serve", &"--config", &"station.toml", &"--listen", &"127.0.0.1:0"]);
    serve.run().expect_error(1, &["`transfer.ca`", "missing.pem"]);
}
