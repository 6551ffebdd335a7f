//! Many stations and two services: `cargo bench -p tests --bench fleet`. The stations call, and move nothing.
//!
//! - `call`: a station's call that tells of a bay and is answered at once; `bays`, `attention`: as operators ask for them, with a
//!   call of every station a second beside;
//! - `stop`: from the answer to a cancel at the service that stands by until a station that called it has the order to stop;
//! - `takeover`: from a kill of the service that decides until the other one answers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod served;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service::testing::PostgresServer;

use served::Served;

const STATIONS: [usize; 2] = [10, 500];
const BAYS_OF_STATION: usize = 4;
const ASKED: usize = 100;
const STOPS: usize = 20;
const TAKEOVERS: usize = 5;

async fn is_ready(service: &Served, client: &reqwest::Client) -> bool {
    let asked = client.get(format!("{}/readyz", service.url)).timeout(Duration::from_secs(2)).send().await;
    asked.is_ok_and(|answer| answer.status().is_success())
}

#[derive(Clone)]
struct Caller {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Caller {
    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request =
            if body.is_null() { request } else { request.header("content-type", "application/json").body(body.to_string()) };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// A station that calls, with its bays full.
struct Station {
    name: String,
    caller: Caller,
    report: Value,
}

impl Station {
    async fn new(operator: &Caller, at: &str, name: &str) -> Self {
        let made = operator.ask("POST", "/operator/v1/tokens", json!({ "name": name, "role": "station" })).await;
        let token = made["token"].as_str().unwrap().to_owned();
        let bay = |number: usize| {
            let drive = json!({ "path": "/dev/sda", "drive_id": format!("{name}-{number}"), "size_bytes": 1_u64 << 40 });
            json!({ "name": format!("bay-{number}"), "isWatched": true, "drive": drive, "attachment": "1", "sequence": 1 })
        };
        let report = json!({ "callVersion": 1, "version": "1", "stateId": name, "process": 1,
            "bays": (0..BAYS_OF_STATION).map(bay).collect::<Vec<_>>(), "accounts": {}, "rate": { "setBy": "configuration" },
            "copies": {}, "done": {}, "service": "", "call": 1, "seen": 0, "waitSeconds": 0 });
        let caller = Caller { token, url: at.to_owned(), ..operator.clone() };
        let mut station = Station { name: name.to_owned(), caller, report };
        let orders = station.call(0).await;
        station.report["service"] = orders["service"].clone();
        station
    }

    async fn call(&mut self, wait_seconds: u64) -> Value {
        self.report["call"] = (self.report["call"].as_u64().unwrap() + 1).into();
        self.report["waitSeconds"] = wait_seconds.into();
        self.caller.ask("POST", &format!("/stations/v1/{}/call", self.name), self.report.clone()).await
    }
}

fn milliseconds(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let shown = |time: Duration| time.as_secs_f64() * 1000.0;
    (shown(times[times.len() / 2]), shown(times[times.len() - 1]))
}

/// Medians of a hundred calls and questions while every station calls once a second.
async fn with_stations(engine: &str, config: &str, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let service = Served::start(folder.path(), config).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let operator = Caller { client, url: service.url.clone(), token: service.token.clone() };
    let mut stations = Vec::new();
    for number in 0..count {
        stations.push(Station::new(&operator, &service.url, &format!("station-{number}")).await);
    }
    let mut measured = stations.pop().unwrap();
    let calling: Vec<_> = stations
        .into_iter()
        .map(|mut station| {
            tokio::spawn(async move {
                loop {
                    station.call(0).await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut medians = Vec::new();
    for what in ["call", "/operator/v1/bays", "/operator/v1/attention"] {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let begun = Instant::now();
            match what {
                "call" => measured.call(0).await,
                path => operator.ask("GET", path, Value::Null).await,
            };
            times.push(begun.elapsed());
        }
        medians.push(milliseconds(times).0);
    }
    println!("{engine:>10} {count:>8} {:>10.2} {:>10.2} {:>10.2}", medians[0], medians[1], medians[2]);
    calling.iter().for_each(tokio::task::JoinHandle::abort);
}

/// From a cancel at the service that stands by to the order to stop at a station that calls it.
async fn stops(first: &Served, second: &Served, client: &reqwest::Client) {
    let operator = Caller { client: client.clone(), url: second.url.clone(), token: first.token.clone() };
    let mut times = Vec::new();
    for number in 0..STOPS {
        let name = format!("stop-{number}");
        let mut station = Station::new(&operator, &second.url, &name).await;
        let path =
            format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.ImportExport/jobs/{name}?api-version=2021-01-01");
        let address = json!({ "recipientName": "R", "streetAddress1": "S", "city": "C", "postalCode": "1", "countryOrRegion": "X",
            "phone": "1", "email": "a@example.com" });
        let job = json!({ "location": "This station", "properties": { "storageAccountId": "/x/local", "jobType": "Import",
            "returnAddress": address, "driveList": [{ "driveId": format!("{name}-0") }] } });
        operator.ask("PUT", &path, job).await;
        let package = json!({ "carrierName": "C", "trackingNumber": "1" });
        operator.ask("PATCH", &path, json!({ "properties": { "state": "Shipping", "deliveryPackage": package } })).await;
        let grant = loop {
            let orders = station.call(1).await;
            if let Some(grant) = orders["grants"][0]["order"]["grant"].as_str() {
                station.report["seen"] = orders["number"].clone();
                break grant.to_owned();
            }
            station.report["seen"] = orders["number"].clone();
        };
        let progress = json!({ "phase": "copying", "bytes_total": 10, "bytes_done": 5, "bytes_sent": 5, "bytes_reused": 0,
            "bytes_zero": 0, "bytes_unreadable": 0, "retries": 0, "limited_by": "read", "elapsed_seconds": 1.0, "bytes_per_second": 5.0 });
        station.report["copies"] = json!({ grant: { "state": "running", "progress": progress,
            "unreadable": { "bad": [], "doubtful": [] } } });
        let waiting = tokio::spawn(async move {
            loop {
                let orders = station.call(20).await;
                if orders["grants"][0]["stop"] == "job-cancelled" {
                    return Instant::now();
                }
                station.report["seen"] = orders["number"].clone();
            }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        operator.ask("PATCH", &path, json!({ "properties": { "cancelRequested": true } })).await;
        let cancelled = Instant::now();
        times.push(waiting.await.unwrap().saturating_duration_since(cancelled));
    }
    let (median, worst) = milliseconds(times);
    println!("from a cancel to the stop at a station: median {median:.0} ms, worst {worst:.0} ms of {STOPS}");
}

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let Some(server) = PostgresServer::shared() else {
            println!("PostgreSQL is not installed: nothing was measured");
            return;
        };
        let plain = "requests_per_second = 1000000\nconnections = 4096\n";
        println!(
            "medians of {ASKED}, in milliseconds\n{:>10} {:>8} {:>10} {:>10} {:>10}",
            "database", "stations", "call", "bays", "attention"
        );
        for count in STATIONS {
            with_stations("SQLite", plain, count).await;
            with_stations("PostgreSQL", &format!("database = \"{}\"\n{plain}", server.new_database().await), count).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        let account = format!("[[account]]\nname = \"local\"\nstore = \"{}\"\n", blobs.display());
        let config = format!("database = \"{}\"\n{plain}{account}", server.new_database().await);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let folders = ["one", "two"].map(|name| folder.path().join(name));
        let first = Served::start(&folders[0], &config).await;
        std::fs::create_dir_all(&folders[1]).unwrap();
        for name in ["vault.key", "operator.token"] {
            std::fs::copy(folders[0].join(name), folders[1].join(name)).unwrap();
        }
        let second = Served::start(&folders[1], &config).await;
        stops(&first, &second, &client).await;
        let (mut services, mut times) = ([first, second], Vec::new());
        for turn in 0..TAKEOVERS {
            let (decides, stands_by) = (turn % 2, (turn + 1) % 2);
            services[decides].child.kill().unwrap();
            services[decides].child.wait().unwrap();
            let killed = Instant::now();
            while !is_ready(&services[stands_by], &client).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            times.push(killed.elapsed());
            services[decides] = Served::start(&folders[decides], &config).await;
        }
        let (median, worst) = milliseconds(times);
        println!("from a kill until another service decides: median {:.1} s, worst {:.1} s", median / 1000.0, worst / 1000.0);
    });
}
