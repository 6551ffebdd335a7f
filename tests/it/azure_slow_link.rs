//! A slow link carries everything once, with the defaults of concurrency: how long a request takes is no reason to give it
//! up, and the link is not shared by more requests than it can carry.

use serde_json::Value;

use crate::support::azurite::Azurite;
use crate::support::images::{MIB, random_bytes, same_content};
use crate::support::slow_link::SlowLink;
use crate::support::{Agent, Workbench};

#[test]
fn requests_that_move_are_not_given_up() {
    let Some(link) = SlowLink::new("8mbit") else { return };
    let Some(azurite) = Azurite::start_after(&link.prefix()) else { return };
    let bench = Workbench::new();
    let bytes = random_bytes(12 * MIB, 1);
    let drive = bench.image("drive.img", &bytes);
    let run = |arguments: &[&str]| -> Value {
        let agent = Agent::new(bench.path(), &[]).with(arguments).with(&["--request-timeout", "3s"]);
        let agent = agent.env("AZURE_STORAGE_CONNECTION_STRING", &azurite.connection_string());
        agent.after(&format!("set -- {} \"$@\"", link.prefix().join(" "))).run().expect(0)
    };
    // With sixteen requests at once each would take twelve seconds, and seven were given to it.
    let sent = run(&["import", "drive.img", "az://drives/blob", "--chunk-size", "1MiB"]);
    assert_eq!((&sent["bytes_sent"], &sent["retries"]), (&Value::from(12 * MIB), &Value::from(0)), "{sent}");
    let got = run(&["export", "az://drives/blob", "copy.img"]);
    assert_eq!(got["retries"], 0, "{got}");
    assert!(same_content(&drive, &bench.file("copy.img")));
}
