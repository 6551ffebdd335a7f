//! The pictures of the manual are made from the portal as it is.
//!
//! To renew them: `cp target/portal-pictures/manual/* agent/service/pictures/` after this test has run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::service::Service;
use crate::support::station::Station;
use crate::support::{Workbench, browser, source_root};

/// A service without bays: all drives are in halls. Its clock is moved, so that not everything happens within a minute.
fn config(clock: &Path) -> String {
    format!(
        "requests_per_second = 1000\nbay = []\nclock_offset_file = \"{}\"\n\
         [[location]]\nname = \"Cologne\"\nrecipient = \"The dock\"\nstreet = \"Harbour Road 12\"\ncity = \"Cologne\"\n\
         postal_code = \"50668\"\ncountry = \"Germany\"\nphone = \"+49 221 5550100\"\ncarriers = [\"FedEx\", \"DHL\"]\n",
        clock.display()
    )
}

/// A station with so many bays, and the clock of the service.
fn station_config(clock: &Path, bays: usize) -> String {
    let bays: String = (1..=bays).map(|number| format!("[[bay]]\nname = \"{number:02}\"\n")).collect();
    format!("clock_offset_file = \"{}\"\n[transfer]\nchunk_size = \"4MiB\"\n{bays}", clock.display())
}

fn files(folder: &Path) -> BTreeSet<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    std::fs::read_dir(folder).unwrap().map(name).collect()
}

/// The pictures that pages of the manual show.
fn shown() -> BTreeSet<String> {
    let manual = source_root().join("agent/manual");
    let pages = files(&manual).into_iter().map(|name| manual.join(name)).chain([source_root().join("README.md")]);
    let pictures = |page: PathBuf| {
        let text = std::fs::read_to_string(page).unwrap();
        let links = text.split("service/pictures/").skip(1);
        links.map(|link| link.split(')').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    pages.flat_map(pictures).collect()
}

#[test]
fn every_picture_of_the_manual_can_be_made_again() {
    assert_eq!(files(&source_root().join("agent/service/pictures")), shown());
    let Some(mut run) = browser::script("pictures.js") else { return };
    let bench = Workbench::new();
    let clock = bench.file("clock");
    let service = Service::start(&bench, &config(&clock));
    let bays = [("a-01", 9), ("b-01", 3)];
    let mut stations = bays.map(|(name, bays)| Station::start(&service, &bench, name, &station_config(&clock, bays)));
    for (station, hall) in stations.iter_mut().zip(["Hall A", "Hall B"]) {
        station.move_to(&service, hall);
    }
    let is_ready = |bay: &Value| bay["hall"].is_string() && bay["note"].is_null();
    service.wait("the halls to be known", || service.bays().iter().all(is_ready).then_some(()));
    let acme = service.call("POST", "/operator/v1/tokens", json!({ "name": "acme", "subscriptions": ["acme"] })).expect(201);
    let pictures = source_root().join("target/portal-pictures/manual");
    // What was made before would hide what is not made any more.
    let _ = std::fs::remove_dir_all(&pictures);
    std::fs::create_dir_all(&pictures).unwrap();
    run.current_dir(bench.path()).env("PICTURES", &pictures).env("SERVER", &service.url).env("OPERATOR", &service.token);
    run.env("ACME", acme["token"].as_str().unwrap()).env("DRIVES", bench.path()).env("CLOCK", &clock);
    let output = run.output().unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert_eq!(files(&pictures), shown());
}
