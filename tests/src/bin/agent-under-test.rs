//! The program, as the tests run it.

fn main() -> std::process::ExitCode {
    drive_agent::main()
}
