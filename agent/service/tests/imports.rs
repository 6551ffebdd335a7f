//! Which part of the service may import which: only parts below itself, and no two files each other.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each part, and the parts that it may import.
const PARTS: [(&str, &[&str]); 11] = [
    ("router", &["api", "http", "portal", "state"]),
    ("api", &["http", "jobs", "state", "store"]),
    ("portal", &["entra", "http", "jobs", "scheduler", "state", "store"]),
    ("state", &["http", "jobs", "scheduler", "store"]),
    ("jobs", &["scheduler", "store"]),
    ("http", &["entra", "store"]),
    ("scheduler", &["store"]),
    ("entra", &["store"]),
    ("store", &["vault"]),
    ("vault", &[]),
    ("lib", &["router", "state"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file but those of tests, by its path without `.rs`, such as `jobs/put`.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let name = path.strip_prefix(root()).unwrap().with_extension("").display().to_string();
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                files.insert(name, code);
            }
        }
    }
    files
}

/// The names that follow `prefix` in a text: one, or those of a list in braces.
fn names_after<'text>(text: &'text str, prefix: &str) -> BTreeSet<&'text str> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let first_word = |text: &'text str| text.trim().split(|letter| !is_word(letter)).next().unwrap_or_default();
    let mut names = BTreeSet::new();
    for rest in text.split(prefix).skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => names.extend(list.split('}').next().unwrap_or_default().split(',').map(first_word)),
            None => drop(names.insert(first_word(rest))),
        }
    }
    names
}

#[test]
fn parts_import_only_parts_below_them() {
    let table: BTreeMap<&str, &[&str]> = PARTS.into_iter().collect();
    let files = files();
    let parts: BTreeSet<&str> = files.keys().map(|name| name.split('/').next().unwrap()).collect();
    assert_eq!(parts, table.keys().copied().collect());
    for (file, text) in &files {
        let part = file.split('/').next().unwrap();
        for imported in names_after(text, "crate::").intersection(&parts) {
            let is_own = *imported == part;
            assert!(is_own || table[part].contains(imported), "{file} must not import {imported}");
        }
    }
}

/// The sibling files that a file imports.
fn siblings<'files>(file: &str, text: &str, files: &'files BTreeMap<String, String>) -> Vec<&'files str> {
    let Some((folder, _)) = file.rsplit_once('/') else { return Vec::new() };
    let names = names_after(text, "super::").into_iter().map(|name| format!("{folder}/{name}"));
    names.filter_map(|name| files.get_key_value(&name).map(|(name, _)| name.as_str())).collect()
}

#[test]
fn files_of_a_folder_import_each_other_in_no_circle() {
    let files = files();
    let mut left: BTreeMap<&str, Vec<&str>> =
        files.iter().map(|(file, text)| (file.as_str(), siblings(file, text, &files))).collect();
    assert!(left["jobs/cancel"].contains(&"jobs/service"), "imports are found");
    // Again and again, what imports nothing that is left goes: a circle stays.
    loop {
        let done: Vec<&str> =
            left.iter().filter(|(_, names)| !names.iter().any(|name| left.contains_key(name))).map(|(file, _)| *file).collect();
        if done.is_empty() {
            break;
        }
        left.retain(|file, _| !done.contains(file));
    }
    assert!(left.is_empty(), "these import each other: {:?}", left.keys());
}

#[test]
fn use_cases_know_no_http() {
    for (file, text) in files().iter().filter(|(file, _)| file.starts_with("jobs/")) {
        for word in ["axum", "hyper", "StatusCode", "HeaderMap"] {
            assert!(!text.contains(word), "{file} names {word}");
        }
    }
}
