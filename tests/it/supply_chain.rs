//! What the program is made of: the document of `tests/sbom` names all of it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::support::{Workbench, parts, source_root};

/// Name and version of each crate in the program.
fn crates_of_the_program() -> BTreeSet<String> {
    let arguments = ["tree", "--package", "drive-agent", "--edges", "normal", "--target", "x86_64-unknown-linux-gnu"];
    let shape = ["--prefix", "none", "--no-dedupe", "--format", "{p}", "--locked", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).args(shape).current_dir(source_root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let name = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ").replace(" v", " ");
    text.lines().filter(|line| !line.is_empty()).map(name).filter(|name| !name.starts_with("drive-agent ")).collect()
}

#[test]
fn the_bill_of_materials_names_every_crate_of_the_program() {
    if parts::cargo_cyclonedx().is_none() {
        return;
    }
    let bench = Workbench::new();
    let document = bench.file("drive-agent.cdx.json");
    let written = Command::new(source_root().join("tests/sbom")).arg(&document).output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let text = std::fs::read_to_string(&document).unwrap();
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(bill["metadata"]["component"]["name"], "drive-agent");
    let components = bill["components"].as_array().unwrap();
    let word = |component: &Value, name: &str| component[name].as_str().unwrap().to_owned();
    let named: BTreeSet<String> =
        components.iter().map(|component| format!("{} {}", word(component, "name"), word(component, "version"))).collect();
    let crates = crates_of_the_program();
    assert!(crates.len() > 200, "{}", crates.len());
    assert_eq!(crates.difference(&named).collect::<Vec<_>>(), [""; 0], "these are in the program, and not in its bill");
    for component in components {
        assert!(component["licenses"][0].is_object(), "{component}");
        let is_ours = component["purl"].as_str().is_some_and(|purl| purl.contains("download_url=file"));
        assert!(is_ours || component["hashes"][0]["alg"] == "SHA-256", "{component}");
    }
    assert!(!text.contains("/tmp/"), "the document says where it was made");
}
