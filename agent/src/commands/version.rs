//! `drive-agent version`: what somebody who helps has to know of this program.

use protocol::arm::API_VERSIONS;
use protocol::outcome::Outcome;
use serde::Serialize;

use crate::printer::{Printer, line};

/// Set where a package is made; else found by `build.rs` in a build for release.
const COMMIT: Option<&str> = option_env!("DRIVE_AGENT_COMMIT");

#[derive(Serialize)]
struct Version {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    target: String,
    is_optimized: bool,
    stores: [&'static str; 5],
    databases: [&'static str; 2],
    api_versions: [&'static str; 3],
}

/// Prints it.
pub(crate) fn run(printer: &Printer) -> u8 {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT.filter(|commit| !commit.is_empty()),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        is_optimized: !cfg!(debug_assertions),
        stores: ["directory", "azure block blobs", "azure page blobs", "s3", "gcs"],
        databases: ["sqlite", "postgresql"],
        api_versions: API_VERSIONS,
    };
    printer.document(&version, || text(&version));
    Outcome::Complete.exit_code()
}

fn text(version: &Version) -> String {
    let build = if version.is_optimized { "" } else { ", not optimized" };
    let mut text = format!("drive-agent {}\n", version.version);
    text += &line("commit", version.commit.unwrap_or("not recorded in this build"));
    text += &line("target", format!("{}{build}", version.target));
    text += &line("stores", version.stores.join(", "));
    text += &line("databases", version.databases.join(", "));
    text += &line("API", version.api_versions.join(", "));
    text
}
