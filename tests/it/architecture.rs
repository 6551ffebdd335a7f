//! The architecture: which crate may import which, and what may stand at the top.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::support::images::files_below;
use crate::support::source_root;

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(source_root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let normal = package["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_table_says() {
    let table: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("protocol", &[][..]),
        ("file", &[][..]),
        ("drive", &["file", "protocol"][..]),
        ("blob", &["file", "protocol"][..]),
        ("copy", &["blob", "drive", "file", "protocol"][..]),
        ("service", &["file", "protocol"][..]),
        ("drive-agent", &["blob", "copy", "drive", "file", "protocol", "service"][..]),
        ("fuzz", &[][..]),
        ("tests", &["drive-agent"][..]),
    ]);
    let dependencies = dependencies();
    assert_eq!(dependencies.keys().map(String::as_str).collect::<Vec<_>>(), table.keys().copied().collect::<Vec<_>>());
    for (name, own) in &table {
        let found: Vec<&str> = dependencies[*name].iter().map(String::as_str).filter(|other| table.contains_key(other)).collect();
        assert_eq!(found, *own, "{name} imports other crates of ours than the table says");
    }
}

#[test]
fn crates_keep_away_from_what_is_not_theirs() {
    let dependencies = dependencies();
    for (name, forbidden) in [
        ("protocol", &["tokio", "axum", "reqwest", "rustix", "crossbeam-channel", "clap", "indicatif", "tracing"][..]),
        ("file", &["tokio", "bytes", "reqwest", "clap", "tracing"][..]),
        ("drive", &["tokio", "reqwest", "clap", "indicatif"][..]),
        ("blob", &["crossbeam-channel", "clap", "indicatif"][..]),
        ("service", &["clap", "indicatif", "toml", "azure_core"][..]),
        ("copy", &["axum", "reqwest", "azure_core", "azure_storage_blob", "clap", "indicatif", "rustix"][..]),
    ] {
        for other in forbidden {
            assert!(!dependencies[name].contains(*other), "{name} must not import {other}");
        }
    }
}

#[test]
fn the_service_asks_the_operating_system_for_the_time_alone() {
    for path in files_below(&source_root().join("agent/service/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("rustix") || path.ends_with("moment.rs"), "{} uses the operating system", path.display());
    }
}

#[test]
fn the_top_level_is_the_users() {
    let listed = Command::new("git").args(["ls-files"]).current_dir(source_root()).output().unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let top: BTreeSet<&str> =
        files.lines().filter_map(|path| path.split('/').next()).filter(|name| !name.starts_with('.')).collect();
    let allowed =
        BTreeSet::from(["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "agent", "protocol", "sample-drives", "tests"]);
    assert!(top.is_subset(&allowed), "{:?}", top.difference(&allowed));
}

#[test]
fn unsafe_code_is_only_in_its_small_modules() {
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(source_root()).output().unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let allowed = concat!("allow(", "unsafe_code)");
    let with_unsafe = files.lines().filter(|path| {
        let text = std::fs::read_to_string(source_root().join(path)).unwrap_or_default();
        text.contains(allowed)
    });
    let modules = [
        "agent/copy/src/hashing/extension.rs",
        "agent/drive/src/ioctl.rs",
        "agent/drive/src/pass_through/nvme_admin.rs",
        "agent/drive/src/pass_through/sg_io.rs",
        "tests/fuzz/engine.rs",
    ];
    assert_eq!(with_unsafe.collect::<Vec<_>>(), modules);
}
