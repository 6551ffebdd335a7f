//! How the service answers with a hundred, ten thousand and a hundred thousand jobs in each database, of which three thousand
//! wait for a person (fewer where there are fewer): `cargo bench -p tests --bench jobs`, or `-- MOST` for fewer jobs.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod served;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use service::testing::PostgresServer;

use served::Served;

const SIZES: [usize; 3] = [100, 10_000, 100_000];
const WAITING: usize = 3_000;
const ASKED: usize = 100;
const NAMES: [&str; 7] = ["list", "get", "patch", "attention", "metrics", "bays page", "jobs page"];

/// Requests at once while jobs are put.
const PUTS_AT_ONCE: usize = 16;

struct Service {
    served: Served,
    client: reqwest::Client,
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
    async fn start(folder: &std::path::Path, config: &str) -> Self {
        let config = format!("{config}requests_per_second = 1000000\njobs_per_subscription = 1000000\n");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut service = Service { served: Served::start(folder, &config).await, client };
        service.log_in().await;
        service
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Duration {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.served.url)).bearer_auth(&self.served.token);
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
        let request = client.build().unwrap().post(format!("{}/portal/login", self.served.url));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(format!("token={}", self.served.token)).send().await.unwrap();
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

async fn measure_engine(engine: &str, config: &str, sizes: &[usize]) {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), config).await;
    let mut created = 0;
    let mut rows = Vec::new();
    for &jobs in sizes {
        let started = Instant::now();
        service.fill(created, jobs).await;
        let rate = (jobs - created) as f64 / started.elapsed().as_secs_f64();
        created = jobs;
        rows.push(service.measure(jobs).await);
        let times = rows[rows.len() - 1].map(|time| format!("{time:>10.2}")).join(" ");
        println!("{engine:>10} {jobs:>8} {rate:>10.0} {times}");
    }
    let ratio = |index: usize| format!("{:>10.2}", rows[rows.len() - 1][index] / rows[0][index]);
    let ratios: Vec<String> = (0..NAMES.len()).map(ratio).collect();
    println!("{:>30} {}", "most to fewest", ratios.join(" "));
}

#[tokio::main]
async fn main() {
    let most = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(usize::MAX);
    let sizes: Vec<usize> = SIZES.into_iter().filter(|jobs| *jobs <= most).collect();
    println!("medians of {ASKED} requests, in milliseconds");
    println!("{:>10} {:>8} {:>10} {}", "database", "jobs", "puts/s", NAMES.map(|name| format!("{name:>10}")).join(" "));
    measure_engine("SQLite", "", &sizes).await;
    let Some(server) = PostgresServer::shared() else {
        println!("PostgreSQL is not installed: it was not measured");
        return;
    };
    measure_engine("PostgreSQL", &format!("database = \"{}\"\n", server.new_database().await), &sizes).await;
}
