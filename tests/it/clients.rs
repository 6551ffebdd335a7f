//! The public clients of the real service, unchanged, drive whole jobs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::images::{MIB, random_bytes};
use crate::support::service::{SUBSCRIPTION, Service, import, job, parcel, slow_profile};
use crate::support::wait::wait_until;
use crate::support::{Workbench, parts};

/// A service under TLS with a job in each of the seven states, and one bay for the whole job of the client.
struct Scene {
    bench: Workbench,
    service: Service,
    certificate: PathBuf,
    prepared: Value,
}

fn scene(drive: &str) -> Scene {
    let bench = Workbench::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate = bench.image("cert.pem", made.cert.pem().as_bytes());
    let key = bench.secret("key.pem", made.signing_key.serialize_pem().as_bytes());
    let whole = bench.image(&format!("{drive}.img"), &random_bytes(2 * MIB, 1));
    let config = format!(
        "[tls]\ncertificates = \"{}\"\nkey = \"{}\"\n[transfer]\nchunk_size = \"256KiB\"\n[[bay]]\nname = \"whole\"\ndrive = \"{}\"\n\
         [[bay]]\nname = \"one\"\n[[bay]]\nname = \"two\"\n",
        certificate.display(),
        key.display(),
        whole.display()
    );
    let service = Service::start(&bench, &config);
    service.call("PUT", &job("in-creating"), import(&["P1"])).expect(201);
    service.ship_import("in-shipping", &["P2"]);
    service.ship_import("in-received", &["P3"]);
    service.order("in-received", "checkIn", json!({ "driveId": "P3" })).expect(200);
    service.ship_import("in-transferring", &["P4"]);
    service.dock("one", &slow_profile(&bench, "P4", "256MiB", "4MB/s"), None).expect(200);
    service.wait_for_state("in-transferring", "Transferring");
    let small = bench.image("P5.img", &random_bytes(1000, 2));
    service.ship_import("in-packaging", &["P5"]);
    service.dock("two", &small, None).expect(200);
    service.wait_for_state("in-packaging", "Packaging");
    for (name, drives) in [("in-completed", ["P6", "P7"]), ("in-closed", ["P8", "P9"])] {
        service.ship_import(name, &drives);
        service.order(name, "checkIn", json!({ "driveId": drives[0] })).expect(200);
        match name {
            "in-closed" => service.order(name, "neverReceived", json!({ "driveId": drives[1] })),
            _ => service.order(name, "checkIn", json!({ "driveId": drives[1] })),
        }
        .expect(200);
    }
    service.undock("two");
    for id in ["P6", "P7", "P8"] {
        let image = bench.image(&format!("{id}.img"), &random_bytes(1000, 3));
        service.dock("two", &image, None).expect(200);
        service.wait("the drive to be done", || (service.bays()[2]["state"] == "done").then_some(()));
        service.undock("two");
    }
    for name in ["in-completed", "in-closed"] {
        service.wait_for_state(name, "Packaging");
        service.order(name, "shipBack", parcel()).expect(200);
    }
    let prepared = json!({ "Creating": "in-creating", "Shipping": "in-shipping", "Received": "in-received",
        "Transferring": "in-transferring", "Packaging": "in-packaging", "Completed": "in-completed", "Closed": "in-closed" });
    for (state, name) in prepared.as_object().unwrap() {
        assert_eq!(service.job(name.as_str().unwrap())["properties"]["state"], *state);
    }
    Scene { bench, service, certificate, prepared }
}

impl Scene {
    /// Runs a client while an operator sends its drive back.
    fn run(&self, program: &Path, script: &str, whole: &str, drive: &str, environment: &[(&str, &Path)]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
        let token = self.service.customer_token("client");
        let mut command = Command::new(program);
        command.arg(script).current_dir(self.bench.path());
        command.env("SERVER", &self.service.url).env("TOKEN", token).env("SUBSCRIPTION", SUBSCRIPTION);
        command.env("IMPORT", import(&[drive]).to_string()).env("PREPARED", self.prepared.to_string());
        command.env("NODE_EXTRA_CA_CERTS", &self.certificate).env("REQUESTS_CA_BUNDLE", &self.certificate);
        for (name, path) in environment {
            command.env(name, path);
        }
        // Made by the client when it has looked at its job in Packaging.
        let seen = self.bench.file("packaging-seen");
        command.env("PACKAGING_SEEN", &seen);
        let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut has_ended = false;
        wait_until("the client to see its job in Packaging", || {
            has_ended = client.try_wait().unwrap().is_some();
            has_ended || seen.exists()
        });
        if !has_ended {
            self.service.order(whole, "shipBack", parcel()).expect(200);
        }
        let output = client.wait_with_output().unwrap();
        let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
    }
}

#[test]
fn the_javascript_client_drives_whole_jobs() {
    let Some(modules) = parts::job_client_javascript() else { return };
    let scene = scene("JS-DRIVE");
    scene.run(Path::new("node"), "jobs.js", "js-whole", "JS-DRIVE", &[("NODE_PATH", &modules)]);
}

#[test]
fn the_python_client_drives_whole_jobs() {
    let Some(python) = parts::python() else { return };
    let scene = scene("PY-DRIVE");
    scene.run(&python, "jobs.py", "py-whole", "PY-DRIVE", &[]);
}

#[test]
fn the_document_of_the_api_is_valid() {
    let Some(python) = parts::python() else { return };
    let bench = Workbench::new();
    let service = Service::start(&bench, "");
    require_success(Command::new(python).args(["-m", "openapi_spec_validator"]).arg(document(&bench, &service)));
}

/// The document of a service, in a file.
fn document(bench: &Workbench, service: &Service) -> PathBuf {
    let document = service.call_as("", "GET", "/openapi.json", Value::Null).expect(200);
    bench.image("openapi.json", document.to_string().as_bytes())
}

#[track_caller]
fn require_success(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_client_made_from_the_document_drives_a_job() {
    let Some(python) = parts::python() else { return };
    let bench = Workbench::new();
    let service = Service::start(&bench, "[[bay]]\nname = \"bay-1\"\n");
    let mut generate = Command::new(&python);
    generate.args(["-m", "openapi_python_client", "generate", "--meta", "none", "--output-path", "generated", "--path"]);
    require_success(generate.arg(document(&bench, &service)).current_dir(bench.path()));
    let mut client = Command::new(&python);
    client.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/generated.py")).env("GENERATED", bench.path());
    client.env("SERVER", &service.url).env("TOKEN", service.customer_token("client")).env("SUBSCRIPTION", SUBSCRIPTION);
    require_success(client.env("IMPORT", import(&["G1"]).to_string()));
}

#[test]
fn the_service_answers_as_its_document_says() {
    let Some(python) = parts::python() else { return };
    let bench = Workbench::new();
    let service = Service::start(&bench, "requests_per_second = 100000\n[[bay]]\nname = \"bay-1\"\n");
    let mut schemathesis = Command::new(&python);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/schemathesis.toml");
    schemathesis.args(["-m", "schemathesis.cli", "--config-file"]).arg(config).arg("run").arg(document(&bench, &service));
    schemathesis.args(["--url", &service.url, "--header", &format!("Authorization: Bearer {}", service.token)]);
    // Events have no end, and a station calls with a token of its own.
    schemathesis.args(["--exclude-path-regex", "events$|stations/call", "--max-examples", "20", "--generation-deterministic"]);
    require_success(schemathesis.args(["--no-color", "--request-timeout", "30"]).current_dir(bench.path()));
}
