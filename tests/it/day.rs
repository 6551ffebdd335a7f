//! A day at the dock: what staff and customers do, in the portal and at the command line, each with as few actions as it takes.

use serde_json::{Value, json};

use crate::support::listener::free_port;
use crate::support::service::{Service, slow_profile};
use crate::support::terminal::in_terminal;
use crate::support::wait::wait_until;
use crate::support::{Workbench, browser};

/// Bays that are docked by hand, one that is watched, and a program that is told.
fn config(bench: &Workbench, hook_port: u16) -> String {
    let secret = bench.secret("hook.secret", b"hook-secret\n");
    format!(
        "requests_per_second = 1000\nstation_lease = \"12s\"\n[transfer]\nchunk_size = \"1MiB\"\ndrain_timeout = \"1s\"\n[budget]\nmemory = \"64MiB\"\n\
         [[bay]]\nname = \"bay-1\"\n[[bay]]\nname = \"bay-2\"\n[[bay]]\nname = \"bay-3\"\ndrive = \"{}\"\n\
         [[location]]\nname = \"West US\"\nrecipient = \"The dock\"\nstreet = \"Dock Road 1\"\ncity = \"Dock\"\n\
         postal_code = \"98052\"\ncountry = \"US\"\nphone = \"1\"\ncarriers = [\"FedEx\", \"DHL\"]\n\
         [[notify]]\nname = \"hook\"\nwebhook = \"http://127.0.0.1:{hook_port}/\"\nsecret_file = \"{}\"\n",
        bench.file("watched.toml").display(),
        secret.display()
    )
}

/// The drives of the day, as profiles.
fn drives(bench: &Workbench) {
    for (name, size, rate) in [
        ("WD-B1", "160MiB", "6MB/s"),
        ("WD-B2", "16MiB", "100MB/s"),
        ("OTHERS-1", "16MiB", "100MB/s"),
        ("PULLED-1", "40MiB", "20MB/s"),
        ("TWIN-1", "16MiB", "100MB/s"),
        ("SLOW-1", "512MiB", "8MB/s"),
        ("BAD-1", "32MiB", "100MB/s"),
    ] {
        slow_profile(bench, name, size, rate);
    }
    let read = |name: &str| std::fs::read_to_string(bench.file(name)).unwrap();
    bench.image("TWIN-2.toml", read("TWIN-1.toml").replace("seed = 11", "seed = 12").as_bytes());
    let fault = "[[fault]]\nkind = \"unreadable\"\noffset = \"20MiB\"\nlength = \"64KiB\"\n";
    bench.image("BAD-1.toml", (read("BAD-1.toml") + fault).as_bytes());
    let pulled = "[[fault]]\nkind = \"removed\"\nafter_bytes = \"24MiB\"\n";
    bench.image("PULLED-1.toml", (read("PULLED-1.toml") + pulled).as_bytes());
}

#[test]
fn a_day_in_the_portal_takes_few_actions_and_every_page_fits() {
    let Some(mut run) = browser::script("day.js") else { return };
    let bench = Workbench::new();
    let hook_port = free_port();
    drives(&bench);
    let service = Service::start(&bench, &config(&bench, hook_port));
    let token = |body: Value| service.call("POST", "/operator/v1/tokens", body).expect(201)["token"].as_str().unwrap().to_owned();
    let acme = token(json!({ "name": "acme", "subscriptions": ["acme"] }));
    let hall = bench.secret("hall.token", token(json!({ "name": "hall-a", "role": "station" })).as_bytes());
    let account = format!("[[account]]\nname = \"local\"\nstore = \"{}\"\n", service.blobs().display());
    let hall_config = bench.secret("hall.toml", format!("{account}[[bay]]\nname = \"bay-1\"\n").as_bytes());
    run.current_dir(bench.path())
        .env("SERVER", &service.url)
        .env("OPERATOR", &service.token)
        .env("ACME", acme)
        .env("HALL", hall)
        .env("HALL_CONFIG", hall_config);
    run.env("DRIVES", bench.path()).env("AGENT", env!("CARGO_BIN_EXE_agent-under-test")).env("HOOK_PORT", hook_port.to_string());
    let output = run.output().unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

/// Windows of terminals.
const COLUMNS: [u32; 3] = [40, 80, 120];

/// A person at a terminal, whose commands are counted.
struct Terminal<'bench> {
    bench: &'bench Workbench,
    commands: usize,
}

impl Terminal<'_> {
    /// A command, in a window of each width where it only shows something; what the widest shows.
    fn run(&mut self, arguments: &str) -> String {
        self.commands += 1;
        let only_shows =
            ["jobs list", "jobs show", "jobs receipts", "bays attention"].iter().any(|one| arguments.starts_with(one))
                || arguments == "bays";
        let widths = if only_shows { &COLUMNS[..] } else { &COLUMNS[..1] };
        let mut shown = String::new();
        for columns in widths {
            shown = in_terminal(self.bench, *columns, arguments).replace('\r', "");
            assert!(!shown.contains("error:"), "{arguments}: {shown}");
            for line in shown.lines() {
                // What is to be copied stays in one piece, and so does a word that is longer than the window.
                let words = || line.split(' ').map(|word| word.chars().count());
                let has_room = line.chars().count() <= *columns as usize || words().max() > Some(*columns as usize / 2);
                assert!(has_room || line.contains(": drive-agent "), "{arguments} in {columns} columns cuts a word:\n{shown}");
            }
        }
        shown
    }

    /// What a scenario takes.
    #[track_caller]
    fn scenario(&mut self, name: &str, most: usize, play: impl FnOnce(&mut Self)) {
        self.commands = 0;
        play(self);
        assert!(self.commands <= most, "{name} takes {} commands, and may take {most}", self.commands);
    }

    /// The command that `bays attention` offers for this.
    fn offered(&mut self, what: &str) -> String {
        let shown = self.run("bays attention");
        let line =
            shown.lines().find_map(|line| line.trim().strip_prefix("- ")?.strip_prefix(what)?.strip_prefix(": drive-agent "));
        line.unwrap_or_else(|| panic!("no `{what}` in {shown}")).to_owned()
    }
}

#[test]
fn a_day_at_the_terminal_takes_few_commands_and_every_line_fits() {
    let bench = Workbench::new();
    drives(&bench);
    let service = Service::start(&bench, &config(&bench, free_port()));
    let address = r#"{"recipientName": "R", "streetAddress1": "S", "city": "C", "postalCode": "1", "countryOrRegion": "X",
        "phone": "1", "email": "a@example.com"}"#;
    bench.image("address.json", address.as_bytes());
    let mut terminal = Terminal { bench: &bench, commands: 0 };
    let wait_for = |job: &str, state: &str| {
        let path = format!("/operator/v1/jobs/default/default/{job}");
        wait_until(state, || service.call("GET", &path, Value::Null).body["job"]["properties"]["state"] == state);
    };
    terminal.scenario("a new job", 1, |hands| {
        assert!(
            hands.run("jobs create photos --kind import --account local --drive WD-B1 --drive WD-B2").contains("Dock Road 1")
        );
    });
    let forgotten = in_terminal(&bench, 80, "jobs ship photos --carrier FedEx --tracking 1Z-TYPO");
    assert!(forgotten.contains("add `--return-address FILE`") && forgotten.contains("recipientName"), "{forgotten}");
    terminal.scenario("the first parcel", 1, |hands| {
        hands.run("jobs ship photos --carrier FedEx --tracking 1Z-TYPO --drives 2 --return-address address.json");
    });
    terminal.scenario("a tracking number with a typo", 1, |hands| {
        assert!(hands.run("jobs ship photos --carrier FedEx --tracking 1Z-PHOTOS --drives 2").contains("FedEx 1Z-PHOTOS"));
    });
    terminal.scenario("a parcel with two drives, found by its number", 3, |hands| {
        let found = hands.run("jobs list --search z-photos");
        assert!(found.contains("photos") && found.lines().count() == 2, "{found}");
        hands.run("jobs check-in photos --drive WD-B1");
        hands.run("jobs check-in photos --drive WD-B2");
    });
    assert!(terminal.run("jobs list --search no-such-parcel").lines().count() == 1);
    terminal.scenario("a drive into a bay", 1, |hands| drop(hands.run("bays dock bay-1 WD-B1.toml")));
    wait_for("photos", "Transferring");
    terminal.scenario("how far it is", 2, |hands| {
        hands.run("bays");
        assert!(hands.run("jobs show photos").contains("WD-B1"));
    });
    terminal.scenario("a pause, and on", 2, |hands| {
        hands.run("jobs pause photos --drive WD-B1");
        hands.run("jobs resume photos --drive WD-B1");
    });
    terminal.scenario("a cancel before the drives are packed", 1, |hands| drop(hands.run("jobs cancel photos")));
    wait_for("photos", "Packaging");
    terminal.scenario("what moved", 1, |hands| assert!(hands.run("jobs receipts photos").contains("MiB (")));
    terminal.scenario("the parcel back", 2, |hands| {
        let command = hands.offered("Send back").replace("CARRIER", "FedEx").replace("NUMBER", "BACK-1");
        assert!(hands.run(&command).contains("Completed"));
    });
    terminal.run("bays undock bay-1");
    terminal.scenario("a job that is deleted", 1, |hands| drop(hands.run("jobs delete photos")));

    terminal.run("jobs create failing --kind import --account local --drive BAD-1");
    terminal.run("jobs ship failing --carrier FedEx --tracking T-BAD --return-address address.json");
    terminal.run("bays dock bay-2 BAD-1.toml");
    service.wait_for_attention("copy-held");
    terminal.scenario("a copy that was given up by mistake", 3, |hands| {
        let command = hands.offered("Give up");
        hands.run(&command);
        hands.run("jobs undo-give-up failing --drive BAD-1");
    });
    terminal.scenario("a failing drive", 2, |hands| {
        let command = hands.offered("Rescue what can be read");
        hands.run(&command);
    });
    wait_for("failing", "Packaging");
    terminal.scenario("a customer's token that is lost", 2, |hands| {
        service.call("POST", "/operator/v1/tokens", json!({ "name": "acme", "subscriptions": ["acme"] })).expect(201);
        hands.run("tokens revoke acme");
        hands.run("tokens create acme --for acme");
    });
    assert!(terminal.run("bays stations").contains("no station calls this service"));
}
