//! How the service answers with a hundred, ten thousand and a hundred thousand jobs in the database, of which three thousand
//! wait for a person (fewer where there are fewer): `cargo bench -p tests --bench jobs`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const SIZES: [usize; 3] = [100, 10_000, 100_000];
const WAITING: usize = 3_000;
const ASKED: usize = 100;
const NAMES: [&str; 7] = ["list", "get", "patch", "attention", "metrics", "bays page", "jobs page"];

/// Requests at once while jobs are put.
const PUTS_AT_ONCE: usize = 16;

struct Service {
    child: Child,
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(subscription: &str, rest: &str) -> String {
    let provider = "providers/Microsoft.ImportExport/jobs";
    format!("/subscriptions/{subscription}/resourceGroups/group/{provider}{rest}?api-version=2021-01-01")
}

fn job(drive: &str) -> Value {
    json!({ "location": "This station", "properties": { "storageAccountId": "/x/local", "jobType": "Import",
        "driveList": [{ "driveId": drive }] } })
}

impl Service {
    async fn start(folder: &std::path::Path) -> Self {
        let config = folder.join("station.toml");
        std::fs::write(&config, "requests_per_second = 1000000\njobs_per_subscription = 1000000\n").unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_agent-under-test"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--state-dir")
            .arg(folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = folder.join("service.url");
        while !url.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Service { child, client, url: read("service.url"), token: read("operator.token") }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Duration {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let started = Instant::now();
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        answer.bytes().await.unwrap();
        started.elapsed()
    }

    /// The median of many requests, in milliseconds.
    async fn median(&self, method: &str, path: impl Fn(usize) -> String, body: impl Fn(usize) -> Option<Value>) -> f64 {
        let mut times = Vec::new();
        for index in 0..ASKED {
            times.push(self.ask(method, &path(index), body(index)).await);
        }
        times.sort();
        times[ASKED / 2].as_secs_f64() * 1e3
    }

    /// Logs in to the portal, so that its pages can be asked for.
    async fn log_in(&mut self) {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let request = client.build().unwrap().post(format!("{}/portal/login", self.url));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(format!("token={}", self.token)).send().await.unwrap();
        let cookie = answer.headers().get("set-cookie").unwrap().to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().parse().unwrap();
        let headers = [(reqwest::header::COOKIE, cookie)].into_iter().collect();
        self.client = reqwest::Client::builder().no_proxy().default_headers(headers).build().unwrap();
    }

    async fn measure(&self, jobs: usize) -> [f64; 7] {
        let spread = |index: usize| format!("/job-{}", index * (jobs / ASKED.min(jobs)) % jobs);
        let list = self.median("GET", |_| path("one", ""), |_| None).await;
        let get = self.median("GET", |index| path("one", &spread(index)), |_| None).await;
        let tag = |index: usize| Some(json!({ "tags": { "number": index.to_string() } }));
        // The last ones are still Creating.
        let patch = self.median("PATCH", |index| path("one", &format!("/job-{}", jobs - 1 - index % 50)), tag).await;
        let attention = self.median("GET", |_| "/operator/v1/attention".to_owned(), |_| None).await;
        let metrics = self.median("GET", |_| "/metrics".to_owned(), |_| None).await;
        let bays_page = self.median("GET", |_| "/portal/bays".to_owned(), |_| None).await;
        let jobs_page = self.median("GET", |_| "/portal/jobs".to_owned(), |_| None).await;
        [list, get, patch, attention, metrics, bays_page, jobs_page]
    }

    /// Puts jobs until there are so many, and has those wait that should.
    async fn fill(&self, from: usize, to: usize) {
        use futures::StreamExt;
        let waiting = WAITING.min(to / 2);
        let put = |number: usize| async move {
            self.ask("PUT", &path("one", &format!("/job-{number}")), Some(job(&format!("D{number}")))).await;
        };
        futures::stream::iter(from..to).for_each_concurrent(PUTS_AT_ONCE, put).await;
        let wait = |number: usize| async move {
            let place = path("one", &format!("/job-{number}"));
            self.ask("PATCH", &place, Some(json!({ "properties": shipping() }))).await;
            self.ask("PATCH", &place, Some(json!({ "properties": { "cancelRequested": true } }))).await;
        };
        let begun = WAITING.min(from / 2);
        futures::stream::iter(begun..waiting).for_each_concurrent(PUTS_AT_ONCE, wait).await;
    }
}

/// Its drives are on their way, and so the job waits when it is cancelled.
fn shipping() -> Value {
    json!({ "state": "Shipping", "deliveryPackage": { "carrierName": "C", "trackingNumber": "T" },
        "returnAddress": { "recipientName": "R", "streetAddress1": "S", "city": "C", "postalCode": "1",
            "countryOrRegion": "X", "phone": "1", "email": "r@example.com" } })
}

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut service = Service::start(folder.path()).await;
        service.log_in().await;
        let mut created = 0;
        let mut rows = Vec::new();
        for jobs in SIZES {
            let started = Instant::now();
            service.fill(created, jobs).await;
            let rate = (jobs - created) as f64 / started.elapsed().as_secs_f64();
            created = jobs;
            rows.push((jobs, rate, service.measure(jobs).await));
        }
        println!("medians of {ASKED} requests, in milliseconds");
        println!("{:>8} {:>10} {}", "jobs", "puts/s", NAMES.map(|name| format!("{name:>10}")).join(" "));
        for (jobs, rate, times) in &rows {
            println!("{jobs:>8} {rate:>10.0} {}", times.map(|time| format!("{time:>10.2}")).join(" "));
        }
        let ratio = |index: usize| format!("{:>10.2}", rows[2].2[index] / rows[0].2[index]);
        let ratios: Vec<String> = (0..NAMES.len()).map(ratio).collect();
        println!("{:>19} {}", "most to fewest", ratios.join(" "));
    });
}
