//! SeaweedFS's S3, started on free loopback ports for each test that needs it, and stopped with it: the one server here that
//! checks what it is sent.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use blob::Environment;
use blob::account::AccountAddress;
use blob::http::{Network, SILENCE_MAX};

use super::parts;

/// The keys that it takes.
pub const KEY_ID: &str = "tests-of-drive-agent";
pub const SECRET_KEY: &str = "no-secret-of-anyone";

/// The bucket that is there.
pub const BUCKET: &str = "drives";

/// How often it is started, where it does not come up.
const STARTS_MAX: u32 = 3;

/// How long it may take to come up: ten seconds on a machine that is busy.
const START_TIMEOUT: Duration = Duration::from_secs(45);

/// How often it is asked.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A running server.
pub struct SeaweedFs {
    child: Child,
    port: u16,
    /// Where it keeps everything; removed with it.
    _folder: tempfile::TempDir,
}

impl SeaweedFs {
    /// Starts it with one bucket, `drives`; `None` where it is not installed.
    pub fn start() -> Option<Self> {
        let program = parts::seaweedfs()?;
        // Another program may take one of its ports before it does: then it comes up in part, or not at all.
        let started = (0..STARTS_MAX).find_map(|_| Self::start_once(&program));
        Some(started.expect("SeaweedFS comes up"))
    }

    fn start_once(program: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let identity = format!(
            r#"{{"identities":[{{"name":"tests","credentials":[{{"accessKey":"{KEY_ID}","secretKey":"{SECRET_KEY}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        std::fs::write(folder.path().join("s3.json"), identity).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        // All of them are open at once, so that no two are the same.
        let listeners: Vec<TcpListener> = (0..11).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let named = [
            "s3.port",
            "s3.port.grpc",
            "s3.port.iceberg",
            "s3.port.lance",
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "metricsPort",
        ];
        let child = Command::new(program)
            .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=data", "-filer", "-s3", "-s3.config=s3.json"])
            .args([
                "-s3.autoCreateBucket=false",
                "-volume.max=100",
                "-master.volumeSizeLimitMB=64",
                "-master.telemetry=false",
                "-metricsIp=127.0.0.1",
            ])
            .args(named.iter().zip(&ports).map(|(name, port)| format!("-{name}={port}")))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = SeaweedFs { child, port: ports[0], _folder: folder };
        // It answers 500 until its file list is there.
        let is_up = |server: &Self| {
            let listens = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
            listens(ports[8]) && listens(ports[0]) && server.make_bucket(BUCKET)
        };
        let end = Instant::now() + START_TIMEOUT;
        while Instant::now() < end && server.child.try_wait().unwrap().is_none() {
            if is_up(&server) {
                return Some(server);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        None
    }

    /// Makes another bucket.
    pub fn make_bucket(&self, bucket: &str) -> bool {
        let account = AccountAddress::parse("s3://").unwrap();
        let account = account.reach(&self.environment(), &Network::direct(SILENCE_MAX)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(account.make_place(bucket, "any")).is_ok()
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The variables of the environment with which it is reached.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// The same as the library takes it.
    pub fn environment(&self) -> Environment {
        let lines = self.variables().map(|(name, value)| format!("{name}={value}"));
        Environment::from_text(&lines.join("\n")).unwrap()
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs s5cmd against a server; gives what it printed. `None` where it is not installed.
pub fn s5cmd(endpoint: &str, folder: &Path, arguments: &[&str]) -> Option<String> {
    let program: PathBuf = parts::s5cmd()?;
    let output = Command::new(program)
        .args(["--endpoint-url", endpoint])
        .args(arguments)
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("PATH", "/usr/bin:/bin")])
        .env("HOME", folder)
        .current_dir(folder)
        .output()
        .unwrap();
    let (printed, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "s5cmd {arguments:?}: {printed}{told}");
    Some(printed.into_owned())
}
