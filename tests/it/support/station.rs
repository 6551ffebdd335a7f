//! A station that runs beside a service.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::agent::{Agent, Ended, Running};
use super::images::Workbench;
use super::service::Service;
use super::wait::poll;

/// How often it is looked whether a station is known.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// A station with a state directory of its own, stopped with its test.
pub struct Station {
    running: Option<Running>,
    home: PathBuf,
    name: String,
    arguments: Vec<String>,
}

impl Station {
    /// Starts a station of this name; its account is the service's, unless `config` has others.
    pub fn start(service: &Service, bench: &Workbench, name: &str, config: &str) -> Self {
        let token = token_of(service, name);
        let home = bench.file(&format!("host of {name}"));
        std::fs::create_dir_all(&home).unwrap();
        let file = |end: &str, text: &str| bench.secret(&format!("{name}.{end}"), text.as_bytes()).display().to_string();
        let account = match config.contains("[[account]]") {
            true => String::new(),
            false => format!("[[account]]\nname = \"local\"\nstore = \"{}\"\n", service.blobs().display()),
        };
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let token = file("token", &token);
        let folder = bench.path().display();
        let config = file("toml", &format!("profiles = true\ndrive_folders = [\"{folder}\"]\n{config}\n{account}"));
        let arguments = ["station", "--service", &service.url, "--token-file", &token, "--config", &config, "--name", name];
        let mut station = Station { running: None, home, name: name.to_owned(), arguments: words(&arguments) };
        station.go(service);
        station
    }

    /// Starts it again as one that stands in a hall.
    pub fn move_to(&mut self, service: &Service, hall: &str) {
        self.stop();
        self.arguments.extend(["--hall".to_owned(), hall.to_owned()]);
        self.go(service);
    }

    /// Starts it, and waits until its bays are known.
    pub fn go(&mut self, service: &Service) {
        self.go_with(service, &[]);
    }

    /// Starts it with these variables.
    pub fn go_with(&mut self, service: &Service, environment: &[(&str, &str)]) {
        let agent = environment.iter().fold(self.agent(), |agent, (name, value)| agent.env(name, value));
        let mut running = agent.start();
        let prefix = format!("{}/", self.name);
        let is_known = |bay: &Value| bay["name"].as_str().unwrap().starts_with(&prefix) && bay["note"].is_null();
        let is_there = || service.bays().iter().any(is_known);
        let came = poll(ASK_INTERVAL, || (running.has_ended() || is_there()).then_some(()));
        if came.is_none() || running.has_ended() {
            panic!("the station did not start: {:?}", running.wait_at_most(Duration::ZERO));
        }
        self.running = Some(running);
    }

    /// Starts it, and does not wait for what it does.
    pub fn start_again(&mut self) {
        self.running = Some(self.agent().start());
    }

    /// Its command, not started.
    pub fn agent(&self) -> Agent {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = self.arguments.iter().map(|word| word as _).collect();
        Agent::bare(&self.home, &arguments)
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.home.join("state/drive-agent")
    }

    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        self.running.as_ref().unwrap().signal(signal);
    }

    /// Waits until it was killed by itself.
    pub fn wait_until_ended(&mut self) {
        self.running.take().unwrap().wait();
    }

    /// Ends it as systemd does, and gives its log.
    pub fn stop(&mut self) -> Ended {
        self.signal(Signal::TERM);
        self.running.take().unwrap().wait()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.running.take().unwrap().wait();
    }
}

/// A token for a station.
pub fn token_of(service: &Service, name: &str) -> String {
    let body = json!({ "name": name, "role": "station" });
    service.call("POST", "/operator/v1/tokens", body).expect(201)["token"].as_str().unwrap().to_owned()
}

impl Drop for Station {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::CONT);
            running.signal(Signal::KILL);
            let ended = running.wait();
            if std::thread::panicking() {
                eprintln!("the station `{}` said: {}", self.name, ended.stderr);
            }
        }
    }
}
