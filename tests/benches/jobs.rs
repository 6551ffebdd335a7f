//! How the API answers with few and with ten thousand jobs in the database: `cargo bench -p tests --bench jobs`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const FEW: usize = 100;
const MANY: usize = 10_000;
const ASKED: usize = 300;

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
        std::fs::write(&config, "requests_per_second = 1000000\n").unwrap();
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

    async fn measure(&self, jobs: usize) -> [f64; 4] {
        let spread = |index: usize| format!("/job-{}", index * (jobs / ASKED.min(jobs)) % jobs);
        let list = self.median("GET", |_| path("one", ""), |_| None).await;
        let get = self.median("GET", |index| path("one", &spread(index)), |_| None).await;
        let tag = |index: usize| Some(json!({ "tags": { "number": index.to_string() } }));
        let patch = self.median("PATCH", |index| path("one", &spread(index)), tag).await;
        let attention = self.median("GET", |_| "/operator/v1/attention".to_owned(), |_| None).await;
        [list, get, patch, attention]
    }
}

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::start(folder.path()).await;
        let mut created = 0;
        let mut rows = Vec::new();
        for jobs in [FEW, MANY] {
            let started = Instant::now();
            let begun = created;
            while created < jobs {
                let name = format!("/job-{created}");
                service.ask("PUT", &path("one", &name), Some(job(&format!("D{created}")))).await;
                created += 1;
            }
            let rate = (created - begun) as f64 / started.elapsed().as_secs_f64();
            rows.push((jobs, rate, service.measure(jobs).await));
        }
        println!("{:>8} {:>10} {:>10} {:>10} {:>10} {:>14}", "jobs", "puts/s", "list ms", "get ms", "patch ms", "attention ms");
        for (jobs, rate, [list, get, patch, attention]) in &rows {
            println!("{jobs:>8} {rate:>10.0} {list:>10.2} {get:>10.2} {patch:>10.2} {attention:>14.2}");
        }
        let ratio = |index: usize| rows[1].2[index] / rows[0].2[index];
        println!("ratio: list {:.2}, get {:.2}, patch {:.2}, attention {:.2}", ratio(0), ratio(1), ratio(2), ratio(3));
    });
}
