//! Exit code, outcome, evidence and text agree.

use crate::oracle::content::blob_address;
use crate::oracle::{MANIFEST_SUFFIX, Verdict};
use crate::run::Finished;
use crate::step::{Action, StoreKind};
use crate::world::{Snapshot, World};

const OUTCOMES: [(i32, &str); 8] = [
    (0, "complete"),
    (1, "failed"),
    (3, "refused"),
    (4, "complete-with-unreadable"),
    (5, "mismatch"),
    (6, "drive-failed"),
    (7, "store-failed"),
    (130, "cancelled"),
];

const USAGE: i32 = 2;

pub fn check(world: &World, run: &Finished, after: &Snapshot) -> Verdict {
    let (stdout, stderr) = (&run.ended.stdout, &run.ended.stderr);
    if stderr.contains("panicked") || stderr.contains("please report") {
        return Err(format!("a panic, or an internal error: {stderr}"));
    }
    let Some(code) = run.code() else {
        return if run.was_killed { Ok(()) } else { Err(format!("it was ended by a signal that was not sent: {stderr}")) };
    };
    if matches!(run.run.action, Action::Import { name, .. } if name.ends_with(MANIFEST_SUFFIX)) && !matches!(code, USAGE | 130) {
        return Err(format!("exit {code}, and the name that the manifest of another blob has is not refused"));
    }
    if code == USAGE {
        return if stdout.is_empty() && !stderr.is_empty() {
            Ok(())
        } else {
            Err("exit 2 without a message, or with a result".to_owned())
        };
    }
    let Some((_, outcome)) = OUTCOMES.iter().find(|(known, _)| *known == code) else {
        return Err(format!("exit code {code} is not in the table"));
    };
    let is_complete = matches!(code, 0 | 4);
    if !is_complete && code != 130 && !stderr.contains("drive-agent: error: ") {
        return Err(format!("exit {code} without a message: {stderr}"));
    }
    if is_complete && stderr.contains("drive-agent: error: ") {
        return Err(format!("exit {code} with an error message: {stderr}"));
    }
    if code == 130 && !run.was_interrupted {
        return Err("cancelled, and no signal was sent".to_owned());
    }
    if run.run.as_text {
        return check_text(run, code, outcome);
    }
    let Some(result) = &run.result else {
        return Err(format!("exit {code} without a JSON document on standard output: `{stdout}`"));
    };
    if result["outcome"] != **outcome {
        return Err(format!("exit {code} and outcome {}", result["outcome"]));
    }
    match (result["error"].is_string(), code) {
        (true, 0 | 4) => return Err(format!("exit {code} with an error in the result: {}", result["error"])),
        (false, 1 | 3 | 6 | 7) => return Err(format!("exit {code} without an error in the result")),
        _ => {}
    }
    if is_complete && result["receipt"].is_object() {
        return Err("complete, with a receipt".to_owned());
    }
    check_evidence(world, run, after)
}

fn check_text(run: &Finished, code: i32, outcome: &str) -> Verdict {
    let verb = match run.run.action {
        Action::Import { .. } => "import",
        Action::Export { .. } => "export",
        Action::Verify { .. } => "verify",
    };
    let stdout = &run.ended.stdout;
    let may_be_early = code != 130 || matches!(run.run.action, Action::Verify { .. });
    if stdout.is_empty() && may_be_early && !matches!(code, 0 | 4) {
        // Nothing was begun.
        return Ok(());
    }
    match stdout.starts_with(&format!("{verb} {outcome}: ")) {
        true => Ok(()),
        false => Err(format!("exit {code}, and the text begins `{}`", stdout.lines().next().unwrap_or_default())),
    }
}

/// The grade of evidence is never more than what the options and the store allow.
fn check_evidence(world: &World, run: &Finished, after: &Snapshot) -> Verdict {
    let Some(evidence) = run.text("evidence").filter(|_| run.is_complete()) else { return Ok(()) };
    let grade = ["sampled", "read", "transport", "read-back"].iter().position(|known| *known == evidence);
    let Some(grade) = grade else { return Err(format!("evidence `{evidence}` is not in the table")) };
    let best = match (&run.run.action, world.store) {
        _ if run.run.options.read_back => 3,
        // A transfer that was resumed is read again for it, and compared on the way.
        _ if run.run.options.stream_sha256 => 3,
        // A blob whose commit was not answered is read again by itself.
        (Action::Import { name, .. }, _) if had_begun_commit(world, run, name) => 3,
        (Action::Import { .. }, StoreKind::Directory) => 1,
        (Action::Export { name, .. }, StoreKind::Directory | StoreKind::S3 | StoreKind::Gcs)
            if !had_manifest(run, after, name) =>
        {
            1
        }
        _ => 2,
    };
    match grade <= best {
        true => Ok(()),
        false => Err(format!("evidence `{evidence}` is overstated")),
    }
}

fn had_begun_commit(world: &World, run: &Finished, name: &str) -> bool {
    let address = blob_address(world, name);
    run.journals_before.iter().any(|journal| journal.is_import && journal.blob == address && journal.has_begun_commit)
}

/// Whether there was a manifest beside the blob at any time of the run.
fn had_manifest(run: &Finished, after: &Snapshot, name: &str) -> bool {
    let key = format!("store/{name}.manifest.jsonl");
    run.before.contains_key(&key) || after.contains_key(&key)
}
