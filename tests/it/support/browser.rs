//! Scripts that a browser runs: they are in `tests/clients`.

use std::path::Path;
use std::process::Command;

use super::parts;

/// A script, with the browser it needs and a folder for its pictures; `None` where there is no browser.
pub fn script(name: &str) -> Option<Command> {
    let (browser, modules) = parts::chromium().zip(parts::playwright())?;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = tests.join("../target/portal-pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut run = Command::new("node");
    run.arg(tests.join("clients").join(name));
    run.env("NODE_PATH", modules).env("CHROMIUM", browser).env("PICTURES", pictures);
    Some(run)
}
