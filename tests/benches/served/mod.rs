//! A service that runs for a benchmark, and ends with it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Served {
    pub child: Child,
    pub url: String,
    /// The operator's.
    pub token: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// Starts one with this configuration, and its state in `folder`.
    pub async fn start(folder: &Path, config: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join("station.toml");
        std::fs::write(&path, config).unwrap();
        let url = folder.join("service.url");
        let _ = std::fs::remove_file(&url);
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent-under-test"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&path).arg("--state-dir").arg(folder);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        while !url.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
        Served { child, url: read("service.url"), token: read("operator.token") }
    }
}
