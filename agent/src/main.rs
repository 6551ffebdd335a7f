//! The program `drive-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    drive_agent::main()
}
