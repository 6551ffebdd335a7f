//! Azurite, started on a free loopback port for each test that needs it, and stopped with it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::parts;

pub const ACCOUNT: &str = "devstoreaccount1";
/// The published key of every emulator.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

pub struct Azurite {
    child: Child,
    port: u16,
}

impl Azurite {
    /// Starts it with one container, `drives`; `None` where it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_after(&[])
    }

    /// The same, started by a command that ends in what it is to run.
    pub fn start_after(prefix: &[&str]) -> Option<Self> {
        let script = parts::azurite()?;
        let mut child = command_after(prefix, "node")
            .arg(script)
            .args(["--disableTelemetry", "--silent", "--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("Azurite ended before it listened").unwrap();
            if let Some((_, rest)) = line.split_once("successfully listens on http://127.0.0.1:") {
                break rest.trim().parse().unwrap();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let azurite = Azurite { child, port };
        azurite.create_container("drives", prefix);
        Some(azurite)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    pub fn connection_string(&self) -> String {
        format!("DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={};", self.endpoint())
    }

    /// The address of a blob with a signature that lives an hour.
    pub fn blob(&self, name: &str) -> String {
        format!("{}/drives/{name}?{}", self.endpoint(), sas(Duration::hours(1)))
    }

    /// The lines of a service's configuration that make this its account.
    pub fn as_account(&self, name: &str) -> String {
        format!("[[account]]\nname = \"{name}\"\nstore = \"{}?{}\"\n", self.endpoint(), sas(Duration::hours(1)))
    }

    /// The bytes of a blob.
    pub fn read(&self, container: &str, blob: &str) -> Vec<u8> {
        let url = format!("{}/{container}/{blob}?{}", self.endpoint(), sas(Duration::hours(1)));
        Command::new("curl").args(["--silent", "--fail", "--noproxy", "*", &url]).output().unwrap().stdout
    }

    /// Takes a snapshot of a blob; gives its time.
    pub fn snapshot(&self, blob: &str) -> String {
        let url = format!("{}/drives/{blob}?comp=snapshot&{}", self.endpoint(), sas(Duration::hours(1)));
        let answer = put(&[], &url);
        let time = answer.lines().find_map(|line| line.strip_prefix("x-ms-snapshot:"));
        time.expect("the answer names the snapshot").trim().to_owned()
    }

    fn create_container(&self, name: &str, prefix: &[&str]) {
        put(prefix, &format!("{}/{name}?restype=container&{}", self.endpoint(), sas(Duration::hours(1))));
    }
}

/// Sends an empty PUT, which has to succeed; gives the headers of the answer.
fn put(prefix: &[&str], url: &str) -> String {
    let mut curl = command_after(prefix, "curl");
    curl.args(["--silent", "--fail", "--noproxy", "*", "-X", "PUT", "-D", "-"]);
    let answer = curl.args(["-H", "x-ms-version: 2022-11-02", "-H", "Content-Length: 0", url]).output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
    String::from_utf8(answer.stdout).unwrap()
}

fn command_after(prefix: &[&str], program: &str) -> Command {
    let [first, rest @ ..] = prefix else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SAS_VERSION: &str = "2022-11-02";

/// A shared access signature for the whole account ("Create an account SAS" of the REST reference).
pub fn sas(lives: Duration) -> String {
    let expiry = from_now(lives);
    let signature = sign(&format!("{ACCOUNT}\nrwdlacup\nb\nsco\n\n{expiry}\n\nhttps,http\n{SAS_VERSION}\n\n"));
    format!("sv={SAS_VERSION}&ss=b&srt=sco&sp=rwdlacup&se={}&spr=https,http&sig={signature}", encode(&expiry))
}

/// A shared access signature of less: for the container `drives` (`c`) or one blob of it (`b`), with these permissions, from
/// and to these times from now ("Create a service SAS").
pub fn narrow_sas(blob: Option<&str>, permissions: &str, [begins, ends]: [Duration; 2]) -> String {
    let (begins, ends) = (from_now(begins), from_now(ends));
    let (kind, below) = blob.map_or(("c", String::new()), |blob| ("b", format!("/{blob}")));
    let resource = format!("/blob/{ACCOUNT}/drives{below}");
    let signature =
        sign(&format!("{permissions}\n{begins}\n{ends}\n{resource}\n\n\nhttps,http\n{SAS_VERSION}\n{kind}\n\n\n\n\n\n\n"));
    let (begins, ends) = (encode(&begins), encode(&ends));
    format!("sv={SAS_VERSION}&sr={kind}&sp={permissions}&st={begins}&se={ends}&spr=https,http&sig={signature}")
}

fn from_now(span: Duration) -> String {
    (OffsetDateTime::now_utc() + span).replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap()
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn sign(text: &str) -> String {
    let base64 = base64::engine::general_purpose::STANDARD;
    let mut mac = Hmac::<Sha256>::new_from_slice(&base64.decode(KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    encode(&base64.encode(mac.finalize().into_bytes()))
}

/// Runs AzCopy; `None` where it is not installed.
pub fn azcopy(folder: &Path, from: &str, to: &str, route: &str, more: &[&str]) -> Option<()> {
    let program = parts::azcopy()?;
    let output = Command::new(program)
        .args(["copy", from, to, "--from-to", route, "--output-level", "quiet", "--log-level", "NONE"])
        .args(more)
        .env("AZCOPY_LOG_LOCATION", folder.join("azcopy-log"))
        .env("AZCOPY_JOB_PLAN_LOCATION", folder.join("azcopy-plan"))
        .env("AZCOPY_DISABLE_SYSLOG", "true")
        .env("HOME", folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "azcopy {from} {to}: {}", String::from_utf8_lossy(&output.stdout));
    Some(())
}
