//! The portal in a real browser.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::images::{MIB, random_bytes};
use crate::support::listener::free_port;
use crate::support::service::{Service, slow_profile};
use crate::support::wait::wait_until;
use crate::support::{Workbench, browser};

/// A drive with bad places, slow enough at them that a person sees it.
const FAILING: &str = r#"
size = "64MiB"
serial = "BAD-1"
seed = 7
zero_share = 0.0
run_size = "1MiB"
[timing]
interface_rate = "200MB/s"
command_overhead = "2ms"
queue_depth = 1
[timing.flash]
read_rate = "200MB/s"
write_rate = "200MB/s"
read_latency = "50us"
write_latency = "10us"
[[fault]]
kind = "unreadable"
offset = "20MiB"
length = "64KiB"
"#;

#[test]
fn staff_and_customers_look_at_it() {
    let Some(mut run) = browser::script("portal.js") else { return };
    let bench = Workbench::new();
    let profile = slow_profile(&bench, "SLOW-1", "512MiB", "25MB/s");
    let failing = bench.image("failing.toml", FAILING.as_bytes());
    let empty = bench.image("target.img", &random_bytes(72 * MIB, 3));
    let secret = bench.image("client.secret", b"portal-secret\n");
    // The port has to be the same after a restart.
    let port = free_port();
    let identity_port = free_port();
    let config = format!(
        "requests_per_second = 1000\n[transfer]\nchunk_size = \"1MiB\"\n[budget]\nmemory = \"8MiB\"\n[[bay]]\nname = \"bay-1\"\n\
         drive = \"{}\"\n[[bay]]\nname = \"bay-2\"\n\
         [[location]]\nname = \"West US\"\nrecipient = \"The dock\"\nstreet = \"Dock Road 1\"\ncity = \"Dock\"\npostal_code = \"98052\"\ncountry = \"US\"\nphone = \"1\"\ncarriers = [\"FedEx\", \"DHL\"]\n\
         [entra]\nissuer = \"http://127.0.0.1:{identity_port}/tenant/v2.0\"\naudience = \"drive-agent\"\n\
         jwks = \"http://127.0.0.1:{identity_port}/tenant/v2.0/keys\"\n\
         sign_in = {{ client_id = \"portal-client\", client_secret_file = \"{}\" }}\n",
        profile.display(),
        secret.display()
    );
    let mut service = Service::start_at(&bench, &config, port);
    let token = |name: &str| {
        let body = json!({ "name": name, "subscriptions": [name] });
        service.call("POST", "/operator/v1/tokens", body).expect(201)["token"].as_str().unwrap().to_owned()
    };
    // Words between the script and us, as files.
    let [stop, offline, restarted] = ["stop", "offline", "restarted"].map(|name| bench.file(name));
    run.current_dir(bench.path()).env("SERVER", &service.url).env("OPERATOR", &service.token);
    run.env("ONE", token("one")).env("OTHER", token("other"));
    run.env("IDENTITY_PORT", identity_port.to_string()).env("FAILING", failing).env("TINY", empty);
    run.env("STOP", &stop).env("OFFLINE", &offline).env("RESTARTED", &restarted);
    let mut child = run.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut has_come_or_ended = |file: &Path| file.exists() || child.try_wait().unwrap().is_some();
    while !has_come_or_ended(&stop) {
        // The script's own waits have an end.
        std::thread::sleep(Duration::from_millis(50));
    }
    service.stop();
    wait_until("the page to say that the server is away", || has_come_or_ended(&offline));
    service.go();
    std::fs::write(&restarted, "").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert_eq!(service.call("GET", "/readyz", Value::Null).status, 200);
}
