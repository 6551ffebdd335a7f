//! How long a health check, an operator and a customer wait while hostile clients hold more connections than the service
//! has, for a minute of each kind: `cargo bench -p tests --bench hostile`, or `-- SECONDS` of each.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../it/support/hostile.rs"]
mod hostile;
mod served;

use std::time::{Duration, Instant};

use hostile::{Attack, Hostile};
use serde_json::json;

use served::Served;

/// Time between two rounds of requests.
const ROUND_INTERVAL: Duration = Duration::from_millis(50);

const JOB: &str = "/subscriptions/one/resourceGroups/group/providers/Microsoft.ImportExport/jobs/job-1?api-version=2021-01-01";

/// Asks with a connection of its own; how long the answer took.
async fn ask(request: reqwest::RequestBuilder) -> Result<Duration, String> {
    let started = Instant::now();
    let answer = request.header("connection", "close").send().await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    answer.bytes().await.map_err(|error| format!("{error:?}"))?;
    if status.is_success() { Ok(started.elapsed()) } else { Err(status.to_string()) }
}

async fn token(client: &reqwest::Client, url: &str, operator: &str, name: &str) -> String {
    let request = client.post(format!("{url}/operator/v1/tokens")).bearer_auth(operator);
    let body = json!({ "name": name, "subscriptions": ["one"] }).to_string();
    let text = request.body(body).send().await.unwrap().text().await.unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["token"].as_str().unwrap().to_owned()
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(60);
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), "").await;
    let (url, operator) = (served.url.clone(), served.token.clone());
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
    let (customer, hostile) =
        (token(&client, &url, &operator, "customer").await, token(&client, &url, &operator, "hostile").await);
    let job = json!({ "location": "This station", "properties": { "storageAccountId": "/x/local", "jobType": "Import",
        "driveList": [{ "driveId": "D" }] } });
    ask(client.put(format!("{url}{JOB}")).bearer_auth(&customer).body(job.to_string())).await.unwrap();
    println!("milliseconds until the answer, median and longest, of {seconds} s each");
    println!("{:<22} {:>8} {:>16} {:>16} {:>16} {:>7}", "hostile clients", "rounds", "health", "operator", "customer", "failed");
    for kind in Hostile::ALL {
        let attack = Attack::begin(url.trim_start_matches("http://"), kind.bytes(&hostile, JOB));
        while !attack.is_under_way() {
            tokio::time::sleep(ROUND_INTERVAL).await;
        }
        let (started, mut times, mut failed) = (Instant::now(), [const { Vec::new() }; 3], 0);
        while started.elapsed() < Duration::from_secs(seconds) {
            let requests = [
                client.get(format!("{url}/healthz")),
                client.get(format!("{url}/operator/v1/bays")).bearer_auth(&operator),
                client.get(format!("{url}{JOB}")).bearer_auth(&customer),
            ];
            for (request, times) in requests.into_iter().zip(&mut times) {
                match ask(request).await {
                    Ok(time) => times.push(time.as_secs_f64() * 1e3),
                    Err(_) => failed += 1,
                }
            }
            tokio::time::sleep(ROUND_INTERVAL).await;
        }
        let shown = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            format!("{:.1} / {:.1}", times.get(times.len() / 2).unwrap_or(&0.0), times.last().unwrap_or(&0.0))
        });
        println!(
            "{:<22} {:>8} {:>16} {:>16} {:>16} {failed:>7}",
            format!("{kind:?}"),
            started.elapsed().as_millis() / ROUND_INTERVAL.as_millis(),
            shown[0],
            shown[1],
            shown[2]
        );
    }
}
