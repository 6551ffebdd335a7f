//! The program in a terminal of so many columns.

use std::process::Command;

use super::images::Workbench;

/// Everything that a terminal is sent by `drive-agent` with these arguments.
pub fn in_terminal(bench: &Workbench, columns: u32, arguments: &str) -> String {
    let shell = format!("stty cols {columns} rows 24; exec '{}' {arguments}", env!("CARGO_BIN_EXE_agent-under-test"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &shell, "/dev/null"]).current_dir(bench.path());
    script.env("XDG_STATE_HOME", bench.file("state")).env("HOME", bench.path()).env("TERM", "xterm").env_remove("NO_COLOR");
    String::from_utf8_lossy(&script.output().unwrap().stdout).into_owned()
}
