//! A job service that runs, and ways to ask it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service::testing::PostgresServer;
use tokio::runtime::Runtime;

use super::agent::{Agent, Ended, Running};
use super::images::{Workbench, random_bytes};
use super::parts::part;
use super::wait::{EVENT_TIMEOUT, poll};

pub use super::bodies::{KEY, SUBSCRIPTION, address, export, import, job, parcel, shipping};

/// How often a test asks a service for what it waits for.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// Longer than the station takes from one round to the next.
const A_ROUND: Duration = Duration::from_millis(1500);

/// A service, stopped with its test.
pub struct Service {
    running: Option<Running>,
    home: PathBuf,
    config: PathBuf,
    pub url: String,
    pub token: String,
    runtime: Arc<Runtime>,
    client: reqwest::Client,
    /// Where it listens; a free port each time, where it is 0.
    port: u16,
}

/// Says where services keep their jobs that do not say so themselves: `postgres`, or in files.
const ENGINE: &str = "DRIVE_AGENT_TESTS_ENGINE";

/// The line of a configuration that names a new database, where tests are run with a server.
fn database(runtime: &Runtime, config: &str) -> String {
    if config.contains("database = ") || !std::env::var(ENGINE).is_ok_and(|engine| engine == "postgres") {
        return String::new();
    }
    let server = part(PostgresServer::shared(), "PostgreSQL").expect("a server, where tests are to be run with one");
    format!("database = \"{}\"\n", runtime.block_on(server.new_database()))
}

/// What a service answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The code of an error, where it has this status.
    #[track_caller]
    pub fn code(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl Service {
    /// Starts a service with this configuration, on a free port.
    pub fn start(bench: &Workbench, config: &str) -> Self {
        Self::start_at(bench, config, 0)
    }

    /// The same on a port that it keeps over restarts.
    pub fn start_at(bench: &Workbench, config: &str, port: u16) -> Self {
        // Most tests have simulated drives.
        let profiles = if config.contains("profiles = ") { "" } else { "profiles = true\n" };
        let runtime = Arc::new(Runtime::new().unwrap());
        let database = database(&runtime, config);
        let config = bench.secret("station.toml", format!("{database}{profiles}{config}").as_bytes());
        let mut service = Service {
            running: None,
            home: bench.path().to_owned(),
            config,
            url: String::new(),
            token: String::new(),
            runtime,
            client: reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build().unwrap(),
            port,
        };
        service.go();
        service
    }

    /// Another one of the same database, with the key file and the token of the first.
    pub fn start_beside(first: &Service, bench: &Workbench, config: &str, port: u16) -> Self {
        std::fs::create_dir_all(bench.file("state/drive-agent")).unwrap();
        for name in ["vault.key", "operator.token"] {
            let bytes = std::fs::read(first.state().join(name)).unwrap();
            bench.secret(&format!("state/drive-agent/{name}"), &bytes);
        }
        Self::start_at(bench, config, port)
    }

    /// Starts the program, and waits until it serves.
    pub fn go(&mut self) {
        self.go_with(&[]);
    }

    /// The same with these variables in its environment.
    pub fn go_with(&mut self, environment: &[(&str, &str)]) {
        let url = self.state().join("service.url");
        let _ = std::fs::remove_file(&url);
        let listen = format!("127.0.0.1:{}", self.port);
        let agent = Agent::bare(&self.home, &[&"serve", &"--config", &self.config, &"--listen", &listen]);
        let agent = environment.iter().fold(agent, |agent, (name, value)| agent.env(name, value));
        let mut running = agent.start();
        let serves = poll(ASK_INTERVAL, || (running.has_ended() || url.exists()).then_some(()));
        if serves.is_none() || !url.exists() {
            panic!("the service did not start: {:?}", running.wait_at_most(Duration::ZERO));
        }
        self.url = std::fs::read_to_string(&url).unwrap().trim().to_owned();
        self.token = std::fs::read_to_string(self.state().join("operator.token")).unwrap().trim().to_owned();
        self.running = Some(running);
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.home.join("state/drive-agent")
    }

    /// The blobs of the account `local`.
    pub fn blobs(&self) -> PathBuf {
        self.state().join("blobs")
    }

    /// The process.
    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    /// Waits for its end, and gives its log.
    pub fn wait_for_end(&mut self) -> Ended {
        self.running.take().unwrap().wait()
    }

    pub fn id(&self) -> u32 {
        self.running.as_ref().unwrap().id()
    }

    /// Ends it as systemd does, and gives its log.
    pub fn stop(&mut self) -> Ended {
        let running = self.running.take().unwrap();
        running.signal(rustix::process::Signal::TERM);
        running.wait()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.signal(rustix::process::Signal::KILL);
        running.wait();
    }

    pub fn call_as(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        self.try_call(token, method, path, body, &[]).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn try_call(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url)).timeout(EVENT_TIMEOUT);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            let bytes = answer.bytes().await?;
            let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
            let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or_else(|_| text()) };
            Ok(Answer { status, body })
        })
    }

    /// Logs in to the portal, and returns the answer's status, and the cookie with which the session goes on.
    pub fn log_in(&self, token: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut request = client.post(format!("{}/portal/login", self.url)).body(format!("token={token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.runtime.block_on(async { request.send().await }).unwrap();
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
        (answer.status().as_u16(), cookie.unwrap_or_default())
    }

    /// The status of an answer, where it leads to, and not what it says: streams of events have no end.
    pub fn status_of(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = client.request(method, format!("{}{path}", self.url)).timeout(EVENT_TIMEOUT).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.runtime.block_on(async { request.send().await }).unwrap();
        let location = answer.headers().get("location").map(|location| location.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location.unwrap_or_default())
    }

    /// Asks as the first operator.
    pub fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call_as(&self.token, method, path, body)
    }

    /// A job as the published API tells it.
    #[track_caller]
    pub fn job(&self, name: &str) -> Value {
        self.call("GET", &job(name), Value::Null).expect(200)
    }

    pub fn patch(&self, name: &str, properties: Value) -> Answer {
        self.call("PATCH", &job(name), json!({ "properties": properties }))
    }

    pub fn order(&self, name: &str, action: &str, body: Value) -> Answer {
        self.call("POST", &format!("/operator/v1/jobs/{SUBSCRIPTION}/group/{name}/{action}"), body)
    }

    /// A job as operators see it, with its copies.
    #[track_caller]
    pub fn operators_job(&self, name: &str) -> Value {
        self.call("GET", &format!("/operator/v1/jobs/{SUBSCRIPTION}/group/{name}"), Value::Null).expect(200)
    }

    #[track_caller]
    pub fn receipts(&self, name: &str) -> Value {
        self.call("GET", &job(name).replace("?", "/receipts?"), Value::Null).expect(200)
    }

    #[track_caller]
    pub fn bays(&self) -> Vec<Value> {
        self.call("GET", "/operator/v1/bays", Value::Null).expect(200)["value"].as_array().unwrap().clone()
    }

    /// What needs an operator.
    #[track_caller]
    pub fn attention(&self) -> Vec<Value> {
        self.call("GET", "/operator/v1/attention", Value::Null).expect(200)["value"].as_array().unwrap().clone()
    }

    /// What waits of this kind, once it does.
    #[track_caller]
    pub fn wait_for_attention(&self, kind: &str) -> Value {
        self.wait(kind, || self.attention().into_iter().find(|one| one["kind"] == kind))
    }

    #[track_caller]
    pub fn dock(&self, bay: &str, path: &Path, drive_id: Option<&str>) -> Answer {
        let mut body = json!({ "path": path });
        if let Some(id) = drive_id {
            body["driveId"] = id.into();
        }
        self.call("POST", &format!("/operator/v1/bays/{bay}/dock"), body)
    }

    #[track_caller]
    pub fn undock(&self, bay: &str) {
        self.call("POST", &format!("/operator/v1/bays/{bay}/undock"), Value::Null).expect(200);
    }

    /// Makes a token for a customer of the tests' subscription.
    #[track_caller]
    pub fn customer_token(&self, name: &str) -> String {
        let made = self.call("POST", "/operator/v1/tokens", json!({ "name": name, "subscriptions": [SUBSCRIPTION] })).expect(201);
        made["token"].as_str().unwrap().to_owned()
    }

    /// Logs in to the portal; the cookie of the session, as a request carries it.
    pub fn session_cookie(&self, token: &str) -> String {
        self.log_in(token, &[]).1.split(';').next().unwrap().to_owned()
    }

    /// How much of the first drive of a job has landed, as customers see it.
    #[track_caller]
    pub fn bytes_landed(&self, name: &str) -> Option<u64> {
        self.job(name)["properties"]["driveList"][0]["bytesSucceeded"].as_u64()
    }

    /// A page of the portal, as staff see it.
    #[track_caller]
    pub fn portal_page(&self, path: &str) -> String {
        let cookie = self.session_cookie(&self.token);
        let page = self.try_call("", "GET", path, Value::Null, &[("cookie", &cookie)]).unwrap();
        page.expect(200).as_str().unwrap().to_owned()
    }

    /// Puts and ships an import.
    #[track_caller]
    pub fn ship_import(&self, name: &str, drives: &[&str]) {
        self.call("PUT", &job(name), import(drives)).expect(201);
        self.patch(name, shipping()).expect(200);
    }

    /// Waits until a job is in a state.
    #[track_caller]
    pub fn wait_for_state(&self, name: &str, state: &str) -> Value {
        self.wait(&format!("the job `{name}` in {state}"), || {
            let job = self.job(name);
            (job["properties"]["state"] == state).then_some(job)
        })
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        poll(ASK_INTERVAL, look).unwrap_or_else(|| {
            let bays = self.bays();
            panic!("waited {EVENT_TIMEOUT:?} for {what}, which did not come; bays: {bays:#?}");
        })
    }

    /// Expects the receipt of a copy whose host told nothing: it says what surely landed, and of nothing that it did not.
    #[track_caller]
    pub fn expect_receipt_that_denies_nothing(&self, name: &str, size_bytes: u64) {
        let receipt = self.receipts(name)["drives"][0]["result"]["receipt"].clone();
        let bytes = |class: &str| receipt[class]["bytes"].as_u64().unwrap();
        assert!(bytes("landed_before_request") > 0, "{receipt}");
        assert_eq!(bytes("landed_before_request") + bytes("outcome_unknown"), size_bytes, "{receipt}");
    }

    /// Watches the station for a round: there is no event to wait for where something must not happen.
    #[track_caller]
    pub fn stays(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + A_ROUND;
        while Instant::now() < end {
            assert!(is_so(), "{what}; bays: {:#?}", self.bays());
            std::thread::sleep(ASK_INTERVAL);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(rustix::process::Signal::KILL);
            let ended = running.wait();
            if std::thread::panicking() {
                eprintln!("the service said: {}", ended.stderr);
            }
        }
    }
}

/// Runs a command of the program as it was printed.
pub fn run_printed(bench: &Workbench, command: &str) -> Ended {
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>).collect();
    Agent::bare(bench.path(), &arguments).run()
}

/// A profile that gives so many bytes a second: a copy of it can be caught in the middle.
pub fn slow_profile(bench: &Workbench, name: &str, size: &str, rate: &str) -> PathBuf {
    let text = format!(
        "size = \"{size}\"\nserial = \"{name}\"\nseed = 11\nzero_share = 0.0\nrun_size = \"1MiB\"\n[timing]\n\
         interface_rate = \"{rate}\"\ncommand_overhead = \"10us\"\nqueue_depth = 1\n[timing.flash]\nread_rate = \"{rate}\"\n\
         write_rate = \"{rate}\"\nread_latency = \"50us\"\nwrite_latency = \"10us\"\n"
    );
    bench.image(&format!("{name}.toml"), text.as_bytes())
}

/// Two bays with small chunks, and simulated drives in their own time.
pub const TWO_BAYS: &str = "
[transfer]
chunk_size = \"1MiB\"
[[bay]]
name = \"bay-1\"
[[bay]]
name = \"bay-2\"
";

/// Ships an export of one blob.
pub fn ship_export(service: &Service, name: &str, size: usize) -> Vec<u8> {
    let content = random_bytes(size, 90);
    let folder = service.blobs().join("data");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), &content).unwrap();
    service.call("PUT", &job(name), export(&[&format!("/data/{name}")], &[])).expect(201);
    let mut properties = shipping();
    properties["deliveryPackage"] = parcel();
    properties["deliveryPackage"]["driveCount"] = 1.into();
    service.patch(name, properties).expect(200);
    content
}
