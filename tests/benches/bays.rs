//! What the portal costs while 64 bays copy: `cargo bench -p tests --bench bays`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod served;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use served::Served;

const BAYS: usize = 64;
const WATCHED: Duration = Duration::from_secs(15);
const ASKED: usize = 100;

/// What the service costs.
struct Cost(u32);

impl Cost {
    /// Processor time so far, in seconds: fields 14 and 15 of /proc/PID/stat, in hundredths.
    fn cpu_seconds(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    /// Percent of one core over a while.
    async fn percent(&self) -> f64 {
        let (started, before) = (Instant::now(), self.cpu_seconds());
        tokio::time::sleep(WATCHED).await;
        100.0 * (self.cpu_seconds() - before) / started.elapsed().as_secs_f64()
    }
}

fn configuration(folder: &std::path::Path) -> String {
    // Slow on purpose: the copies themselves should not hide what the portal costs.
    let mut config = "profiles = true\nrequests_per_second = 1000000\n[budget]\nrate = \"8MB/s\"\nmemory = \"4GiB\"\n".to_owned();
    config += "[transfer]\nchunk_size = \"64KiB\"\n";
    for bay in 0..BAYS {
        let profile = folder.join(format!("D{bay}.toml"));
        let text = format!("size = \"1GiB\"\nserial = \"D{bay}\"\nseed = {bay}\nrun_size = \"1MiB\"\n");
        std::fs::write(&profile, text).unwrap();
        config += &format!("[[bay]]\nname = \"bay-{bay}\"\ndrive = \"{}\"\n", profile.display());
    }
    config
}

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let service = Served::start(folder.path(), &configuration(folder.path())).await;
        let cost = Cost(service.child.id());
        let (url, token) = (service.url.clone(), service.token.clone());
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let send = async |method: reqwest::Method, path: &str, body: Value| {
            let request = client.request(method, format!("{url}{path}")).bearer_auth(&token).body(body.to_string());
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
            answer.text().await.unwrap()
        };
        let address = json!({ "recipientName": "R", "streetAddress1": "S", "city": "C", "postalCode": "1", "countryOrRegion": "X",
            "phone": "1", "email": "a@example.com" });
        for bay in 0..BAYS {
            let path = format!(
                "/subscriptions/one/resourceGroups/group/providers/Microsoft.ImportExport/jobs/job-{bay}?api-version=2021-01-01"
            );
            let job = json!({ "location": "This station", "properties": { "storageAccountId": "/x/local", "jobType": "Import",
                "returnAddress": address, "driveList": [{ "driveId": format!("D{bay}") }] } });
            send(reqwest::Method::PUT, &path, job).await;
            let ship = json!({ "properties": { "state": "Shipping",
                "deliveryPackage": { "carrierName": "C", "trackingNumber": "T" } } });
            send(reqwest::Method::PATCH, &path, ship).await;
        }
        loop {
            let bays = send(reqwest::Method::GET, "/operator/v1/bays", Value::Null).await;
            if bays.matches("\"state\":\"copying\"").count() == BAYS {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let alone = cost.percent().await;
        let login = client.post(format!("{url}/portal/login")).body(format!("token={token}")).send().await.unwrap();
        let cookie = login.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let page = async |path: &str| client.get(format!("{url}{path}")).header("cookie", &cookie).send().await.unwrap();
        let mut live = page("/portal/events/bays").await;
        let watching = tokio::spawn(async move {
            let mut bytes = 0;
            while let Ok(Some(piece)) = live.chunk().await {
                bytes += piece.len();
            }
            bytes
        });
        let watched = cost.percent().await;
        watching.abort();
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let started = Instant::now();
            page("/portal/bays").await.text().await.unwrap();
            times.push(started.elapsed());
        }
        times.sort();
        println!(
            "{BAYS} bays copy: {alone:.1}% of a core; with the page open {watched:.1}%: the page costs {:.1}%",
            watched - alone
        );
        println!("the page in {:.1} ms (median of {ASKED})", times[ASKED / 2].as_secs_f64() * 1e3);
    });
}
