//! What a person at a terminal sees: progress in narrow windows, quiet runs, logs; completions and manual pages.

use std::path::Path;
use std::process::Command;

use regex::Regex;

use crate::support::images::{KIB, random_bytes};
use crate::support::loop_device::LoopDevice;
use crate::support::terminal::in_terminal;
use crate::support::{Agent, Workbench, parts};

/// A drive whose reads hang in the middle.
const STUCK: &str = "size = \"16MiB\"\nserial = \"S\"\nseed = 6\n[[fault]]\nkind = \"stuck\"\noffset = \"8MiB\"\nlength = 4096\n";

/// The lines as they were drawn one over the other, without what moves the cursor and sets colours.
fn frames(sent: &str) -> Vec<String> {
    let moves = Regex::new("\x1b\\[[0-9]*[A-GJK]|[\r\n]").unwrap();
    let other = Regex::new("\x1b\\[[0-9;?]*[a-zA-Z]").unwrap();
    moves.split(sent).map(|frame| other.replace_all(frame, "").into_owned()).collect()
}

#[test]
fn the_bar_fits_into_narrow_terminals_and_says_that_a_drive_is_silent() {
    let bench = Workbench::new();
    bench.image("stuck.toml", STUCK.as_bytes());
    for (columns, words) in
        [(40, "no answer "), (80, "no response from the drive for "), (120, "no response from the drive for ")]
    {
        let sent = in_terminal(&bench, columns, &format!("import stuck.toml blob-{columns} --chunk-size 1MiB --read-timeout 4s"));
        let frames = frames(&sent);
        let bars: Vec<&String> = frames.iter().filter(|frame| frame.starts_with("copying ")).collect();
        assert!(!bars.is_empty(), "{sent:?}");
        let longest = bars.iter().map(|bar| bar.chars().count()).max().unwrap();
        assert!(longest <= columns as usize, "{columns}: {bars:?}");
        let silent = bars.iter().filter(|bar| bar.contains(words)).count();
        assert!(silent > 0, "{columns}: {bars:?}");
        let mixed = bars.iter().filter(|bar| bar.contains(words) && (bar.contains(" left") || bar.contains("/s "))).count();
        assert_eq!(mixed, 0, "a silent drive has no rate: {bars:?}");
    }
}

#[test]
fn logs_get_lines_of_text_and_programs_get_json() {
    let bench = Workbench::new();
    bench.image("stuck.toml", STUCK.as_bytes());
    let import = |blob: &str, progress: &str| {
        let agent = Agent::bare(bench.path(), &[&"import", &"stuck.toml", &blob, &"--read-timeout", &"12s"]);
        agent.with(&["--progress", progress, "--chunk-size", "1MiB"]).start()
    };
    let (auto, json) = (import("one", "auto"), import("two", "json"));
    let (auto, json) = (auto.wait(), json.wait());
    assert!(
        auto.stderr.contains("drive-agent: copying ") && auto.stderr.contains("no response from the drive"),
        "{}",
        auto.stderr
    );
    assert!(!auto.stderr.contains('{'), "JSON in a log: {}", auto.stderr);
    let lines: Vec<serde_json::Value> = json.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line["drive_silent_seconds"].as_f64().is_some_and(|seconds| seconds >= 2.0)),
        "{}",
        json.stderr
    );
    // A terminal that cannot move its cursor gets no bar.
    bench.image("drive.img", &random_bytes(100 * KIB, 1));
    let dumb = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("TERM=dumb '{}' import drive.img dumb", env!("CARGO_BIN_EXE_agent-under-test")))
        .arg("/dev/null")
        .current_dir(bench.path())
        .env("XDG_STATE_HOME", bench.file("state"))
        .output();
    let sent = String::from_utf8_lossy(&dumb.unwrap().stdout).into_owned();
    assert!(sent.contains("import complete") && !sent.contains('\x1b'), "{sent}");
}

#[test]
fn a_quiet_run_says_what_is_wrong_alone_and_the_log_has_everything() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(100 * KIB, 1));
    let quiet = |arguments: &[&str]| {
        Agent::bare(bench.path(), &[&"import", &"drive.img"]).with(arguments).with(&["-q", "--log-file", "log"])
    };
    let ended = quiet(&["blob"]).run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.starts_with("import complete"), "{}", ended.stdout);
    let refused = quiet(&["blob"]).with(&["--chunk-size", "1MiB"]).run();
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("error:"), "{}", refused.stderr);
    let log = std::fs::read_to_string(bench.file("log")).unwrap();
    for words in ["import drive.img blob", "import complete", "ERROR", "root sha256"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert_eq!(log.matches("version ").count(), 2, "the second run goes behind the first: {log}");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(bench.file("log")).unwrap()) & 0o777, 0o600);
    // Somebody else's file is not written through a link of our name.
    std::os::unix::fs::symlink("blob", bench.file("link")).unwrap();
    let before = std::fs::read(bench.file("blob")).unwrap();
    quiet(&["blob-2"]).with(&["--log-file", "link"]).run();
    let ended = Agent::bare(bench.path(), &[&"import", &"drive.img", &"blob-2", &"--log-file", &"link"]).run();
    ended.expect_error(2, &["cannot be written to `link`"]);
    assert_eq!(std::fs::read(bench.file("blob")).unwrap(), before);
}

#[test]
fn a_secret_of_a_command_line_is_not_in_the_log() {
    let bench = Workbench::new();
    bench.image("drive.img", &random_bytes(KIB, 1));
    let address = "http://127.0.0.1:9/acme/c/n?sv=1&sig=SECRET";
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 7] = [
        &"import",
        &"drive.img",
        &address,
        &"--proxy=http://us:SECRET@127.0.0.1:9",
        &"--retry-budget=1s",
        &"--log-file=log",
        &"-vv",
    ];
    let ended = Agent::bare(bench.path(), &arguments).run();
    let log = std::fs::read_to_string(bench.file("log")).unwrap();
    assert!(
        log.contains("import drive.img") && !log.contains("SECRET") && !ended.stderr.contains("SECRET"),
        "{log}{}",
        ended.stderr
    );
}

#[test]
fn colour_is_as_asked() {
    let bench = Workbench::new();
    let help = |arguments: &[&str]| Agent::bare(bench.path(), &[]).with(arguments).run().stdout;
    assert!(!help(&["--help"]).contains('\x1b'));
    assert!(help(&["--color=always", "--help"]).contains('\x1b'));
    assert!(!help(&["--color", "never", "--help"]).contains('\x1b'));
}

#[test]
fn completions_are_scripts_that_their_shell_takes() {
    let bench = Workbench::new();
    let script = |shell: &str| Agent::bare(bench.path(), &[&"completions", &shell]).run();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let made = script(shell);
        assert_eq!(made.code, Some(0));
        assert!(made.stdout.contains("on-unreadable") && made.stdout.contains("drive-agent"), "{shell}");
    }
    std::fs::write(bench.file("completion"), script("bash").stdout).unwrap();
    let words = "COMP_WORDS=(drive-agent impo); COMP_CWORD=1; _drive__agent drive-agent impo ''; echo \"${COMPREPLY[@]}\"";
    let asked =
        Command::new("bash").arg("-c").arg(format!("source '{}'; {words}", bench.file("completion").display())).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "import", "{}", String::from_utf8_lossy(&asked.stderr));
}

#[test]
fn every_command_has_a_manual_page_with_all_its_options() {
    let bench = Workbench::new();
    let made = Agent::bare(bench.path(), &[&"man", &"--dir", &"pages"]).run();
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let page = |name: &str| std::fs::read_to_string(bench.file("pages").join(name)).unwrap();
    for name in ["drive-agent.1", "drive-agent-import.1", "drive-agent-jobs-create.1", "drive-agent-bench-peers.1"] {
        assert!(page(name).starts_with(".ie"), "{name}");
    }
    let import = page("drive-agent-import.1");
    for words in ["it is kept as PATH.bak", "Examples:", "FAILING DRIVES"] {
        assert!(import.contains(words), "{words}");
    }
    assert_eq!(Agent::bare(bench.path(), &[&"man", &"import"]).run().stdout, import);
    Agent::bare(bench.path(), &[&"man", &"jobs", &"nothing"])
        .run()
        .expect_error(2, &["`drive-agent jobs` has no command `nothing`"]);
    let unwritable = Agent::bare(bench.path(), &[&"man", &"--dir", &"/proc/pages"]).run();
    unwritable.expect_error(1, &["cannot be written"]);
}

#[test]
fn the_version_says_what_it_was_built_from() {
    let bench = Workbench::new();
    let version = Agent::bare(bench.path(), &[&"version", &"--output", &"json"]).run().expect(0);
    assert_eq!(version["version"], "0.1.0");
    assert_eq!(version["api_versions"][2], "2021-01-01");
    let text = Agent::bare(bench.path(), &[&"version"]).run().stdout;
    assert!(text.contains("commit") && text.contains("stores"), "{text}");
}

#[test]
fn an_image_is_detached_by_its_own_name() {
    let Some(()) = parts::root_with_loop_devices() else { return };
    let bench = Workbench::new();
    let image = bench.image("drive.img", &random_bytes(1024 * KIB, 1));
    let device = LoopDevice::attach(&image, 512);
    let detached = Agent::new(bench.path(), &[&"drives", &"detach", &"drive.img"]).run().expect(0);
    assert_eq!(detached["device"], device.path.to_str().unwrap());
    let backing = format!("/sys/block/{}/loop/backing_file", device.word());
    assert!(!Path::new(&backing).exists());
    Agent::new(bench.path(), &[&"drives", &"detach", &"drive.img"]).run().expect_error(3, &["attached to no device"]);
}

#[test]
fn a_log_goes_into_no_drive_no_image_and_no_blob() {
    let bench = Workbench::new();
    let bytes = random_bytes(100 * KIB, 1);
    bench.image("drive.img", &bytes);
    bench.image("other", b"a text of somebody");
    let import = |log: &str| Agent::bare(bench.path(), &[&"import", &"drive.img", &"blob"]).with(&["--log-file", log]).run();
    for (log, words) in [
        ("drive.img", "named twice"),
        ("./drive.img", "named twice"),
        ("blob", "named twice"),
        ("blob.manifest.jsonl", "named twice"),
        ("other", "something else than a log"),
    ] {
        import(log).expect_error(2, &[words]);
    }
    assert_eq!(std::fs::read(bench.file("drive.img")).unwrap(), bytes, "the drive is as it was");
    assert_eq!(std::fs::read(bench.file("other")).unwrap(), b"a text of somebody");
    assert!(!bench.file("blob").exists() && !bench.file("blob.manifest.jsonl").exists());
    Agent::bare(bench.path(), &[&"drives", &"--log-file", &"drive.img"]).run().expect_error(2, &["something else than a log"]);
    assert_eq!(import("log").code, Some(0));
    let log = std::fs::read_to_string(bench.file("log")).unwrap();
    assert_eq!(import("log").code, Some(3), "the blob is there");
    assert!(std::fs::read_to_string(bench.file("log")).unwrap().starts_with(&log), "it goes on behind the first");
    if parts::root_with_loop_devices().is_some() {
        let device = LoopDevice::attach(&bench.file("drive.img"), 512);
        let on_drive = Agent::bare(bench.path(), &[&"drives", &"--log-file", &device.path]).run();
        on_drive.expect_error(2, &["it is a drive"]);
    }
    assert_eq!(std::fs::read(bench.file("drive.img")).unwrap(), bytes);
}
