//! The command line of a run.

use crate::step::{Action, Run, StoreKind, Target};
use crate::world::World;

/// The arguments of a run, without the program's name.
pub fn arguments(world: &World, run: &Run) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let drive_path = |index: usize| world.drives[index].path.display().to_string();
    match &run.action {
        Action::Import { drive, name } => {
            arguments.extend(["import".to_owned(), drive_path(*drive), world.address(name)]);
            if world.store == StoreKind::PageBlob {
                arguments.extend(["--blob-type".to_owned(), "page".to_owned()]);
            }
            if run.options.skips_unreadable {
                arguments.extend(["--on-unreadable".to_owned(), "skip".to_owned()]);
            }
        }
        Action::Export { name, target } => {
            arguments.extend(["export".to_owned(), world.address(name), world.target_path(*target).display().to_string()]);
            if let (Target::LoopDevice, Some(device)) = (target, &world.places.loop_device) {
                arguments.extend(["--confirm".to_owned(), device.word().to_owned()]);
            }
        }
        Action::Verify { name, drive, with_blob } => {
            arguments.extend(["verify".to_owned(), world.address(&format!("{name}.manifest.jsonl"))]);
            if let Some(drive) = drive {
                arguments.extend(["--drive".to_owned(), drive_path(*drive)]);
            }
            if *with_blob || drive.is_none() {
                arguments.extend(["--blob".to_owned(), world.address(name)]);
            }
        }
    }
    let is_failing = run.action.drive().is_some_and(|drive| !world.drives[drive].unreadable.is_empty());
    if is_failing {
        arguments.extend(["--time-scale".to_owned(), "max".to_owned()]);
    }
    arguments.extend(option_arguments(world, run));
    arguments
}

fn option_arguments(world: &World, run: &Run) -> Vec<String> {
    let options = &run.options;
    let is_transfer = !matches!(run.action, Action::Verify { .. });
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |is_wanted: bool, texts: &[&str]| {
        if is_wanted {
            arguments.extend(texts.iter().map(|text| (*text).to_owned()));
        }
    };
    add(is_transfer && options.overwrite, &["--overwrite"]);
    add(is_transfer && options.restart, &["--restart"]);
    add(is_transfer && options.read_back, &["--verify", "read-back"]);
    add(is_transfer && options.stream_sha256, &["--stream-sha256"]);
    if let Some(size) = options.chunk_kib.filter(|_| is_transfer) {
        add(true, &["--chunk-size", &format!("{size}KiB")]);
    }
    if let Some(count) = options.concurrency {
        add(true, &["--concurrency", &count.to_string()]);
    }
    if let Some(size) = options.memory_mib {
        add(true, &["--memory", &format!("{size}MiB")]);
    }
    if let Some(milliseconds) = options.stretched_to_milliseconds {
        let rate = world.drives[0].content().len() as u64 * 1000 / milliseconds;
        add(true, &["--rate", &format!("{}B/s", rate.max(1000))]);
    }
    let manifest = world.folder.join("manifests").join("copy.jsonl");
    add(is_transfer && options.manifest, &["--manifest", &manifest.display().to_string()]);
    add(is_transfer, &["--drain-timeout", "5s"]);
    add(true, &["--retry-budget", "300ms", "--request-timeout", "1s", "--read-timeout", "5s", "--progress", "none"]);
    add(!run.as_text, &["--output", "json"]);
    arguments
}

/// The command as a shell takes it.
pub fn shell_line(world: &World, operator: usize, arguments: &[String]) -> String {
    let quote = |text: &String| match text.contains(['&', '?', ' ']) {
        true => format!("'{text}'"),
        false => text.clone(),
    };
    let words: Vec<String> = arguments.iter().map(quote).collect();
    format!("XDG_STATE_HOME={} drive-agent {}", world.states[operator].display(), words.join(" "))
}
