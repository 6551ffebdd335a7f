//! Options that come from variables and from the file of options: what goes over what, and what cannot be given there.

use std::time::Duration;

use crate::support::images::{KIB, random_bytes};
use crate::support::wait::poll;
use crate::support::{Agent, Workbench};

/// A drive of 10 MiB, and options of everything that is imported here.
fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(10 * 1024 * KIB, 1));
    bench
}

fn import(bench: &Workbench, blob: &str) -> Agent {
    Agent::new(bench.path(), &[&"import", &"drive.img", &blob])
}

fn options(bench: &Workbench, text: &str) {
    std::fs::create_dir_all(bench.file(".config/drive-agent")).unwrap();
    std::fs::write(bench.file(".config/drive-agent/options.toml"), text).unwrap();
}

#[test]
fn the_command_line_goes_over_the_variable_and_that_over_the_file() {
    let bench = bench();
    options(&bench, "chunk-size = \"1MiB\"\n");
    assert_eq!(import(&bench, "of-file").run().expect(0)["chunk_size"], 1 << 20);
    let variable = || import(&bench, "of-variable").env("DRIVE_AGENT_CHUNK_SIZE", "2MiB");
    assert_eq!(variable().run().expect(0)["chunk_size"], 2 << 20);
    assert_eq!(variable().with(&["--chunk-size", "4MiB", "--overwrite"]).run().expect(0)["chunk_size"], 4 << 20);
    // An empty variable is one that is not set, and names no file of options.
    assert_eq!(import(&bench, "empty").env("DRIVE_AGENT_CHUNK_SIZE", "").run().expect(0)["chunk_size"], 1 << 20);
    let none = import(&bench, "none").env("DRIVE_AGENT_OPTIONS_FILE", "");
    assert_eq!(none.run().expect(0)["chunk_size"], 8 << 20);
    std::fs::write(bench.file("other.toml"), "stream-sha256 = true\n").unwrap();
    let other = import(&bench, "other").env("DRIVE_AGENT_OPTIONS_FILE", "other.toml").run().expect(0);
    assert!(other["stream_sha256"].is_string() && other["chunk_size"] == 8 << 20, "{other}");
}

#[test]
fn flags_are_variables_too() {
    let bench = bench();
    import(&bench, "blob").run().expect(0);
    bench.image("drive.img", &random_bytes(10 * 1024 * KIB, 2));
    import(&bench, "blob").env("DRIVE_AGENT_OVERWRITE", "false").run().expect_error(3, &["exists"]);
    import(&bench, "blob").env("DRIVE_AGENT_OVERWRITE", "true").run().expect(0);
    let wrong = import(&bench, "blob").env("DRIVE_AGENT_OVERWRITE", "perhaps").run();
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("set in the environment: DRIVE_AGENT_OVERWRITE"), "{}", wrong.stderr);
}

#[test]
fn the_command_that_resumes_works_without_the_variables() {
    let bench = bench();
    let begun = import(&bench, "blob")
        .env("DRIVE_AGENT_STATE_DIR", &bench.file("elsewhere").to_string_lossy())
        .env("DRIVE_AGENT_CHUNK_SIZE", "1MiB")
        .env("DRIVE_AGENT_RATE", "2MB/s")
        .start();
    let lines = || {
        let journals = std::fs::read_dir(bench.file("elsewhere/journals")).into_iter().flatten();
        let texts = journals.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
        texts.map(|text| text.lines().count()).max().unwrap_or(0)
    };
    poll(Duration::from_millis(5), || (lines() > 2).then_some(())).unwrap();
    begun.signal(rustix::process::Signal::INT);
    let result = begun.wait().expect(130);
    let resume = result["receipt"]["resume"].as_str().unwrap();
    let words = ["--chunk-size=1MiB", "--rate=2MB/s"].map(|word| resume.contains(word));
    assert_eq!(words, [true, true], "{resume}");
    // Another shell, without the variables.
    let ended = Agent::bare(bench.path(), &[]).with(&resume.split(' ').skip(1).collect::<Vec<_>>()).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("resuming a transfer"), "{}", ended.stderr);
}

#[test]
fn what_cannot_stand_in_the_file_is_named_and_nothing_is_moved() {
    let bench = bench();
    for (text, words) in [
        ("overwrite = true", "`overwrite` cannot stand there"),
        ("chunk-size = \"eight\"", "--chunk-size"),
        ("quiet = 1", "`quiet` is true or false"),
        ("\nno value", "line 2"),
    ] {
        options(&bench, text);
        let ended = import(&bench, "blob").run();
        assert_eq!(ended.code, Some(2), "{text}: {}", ended.stderr);
        assert!(ended.stderr.contains(words) && ended.stderr.contains("options.toml"), "{text}: {}", ended.stderr);
        // Help and version are there all the same.
        assert_eq!(Agent::bare(bench.path(), &[&"import", &"--help"]).run().code, Some(0));
    }
    assert!(!bench.file("blob").exists());
    // Neither a missing file that was named, nor a pipe in its place, holds it up.
    import(&bench, "blob").env("DRIVE_AGENT_OPTIONS_FILE", "missing.toml").run().expect_error(2, &["missing.toml"]);
    assert!(std::process::Command::new("mkfifo").arg(bench.file("pipe.toml")).status().unwrap().success());
    import(&bench, "blob").env("DRIVE_AGENT_OPTIONS_FILE", "pipe.toml").run().expect_error(2, &["not a file"]);
}
