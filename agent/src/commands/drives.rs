//! `drive-agent drives`: what is attached, and the small things one does with it.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use copy::{CopyError, Stop};
use drive::discovery::{Roots, Watch, attached};
use drive::loop_device::{self, LoopOptions};
use drive::{DriveError, simulated};
use protocol::drives::{AttachedDrive, DockEvent, Verdict};
use protocol::outcome::{EXIT_USAGE, Outcome};
use protocol::station::WeakIdentity;
use protocol::units::ByteSize;
use serde::Serialize;

use crate::cli::{AttachArguments, DrivesArguments, DrivesCommand};
use crate::opening;
use crate::printer::{Printer, line, table};

/// Longest that looking at the drives, or at a profile, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long drives are waited for that are asked for their condition: one that sleeps takes ten seconds to wake up.
const CONDITION_TIMEOUT: Duration = Duration::from_secs(20);

/// Lists, watches, attaches, detaches or describes.
pub(crate) async fn run(arguments: DrivesArguments, printer: &Printer) -> u8 {
    let done = match &arguments.command {
        None if arguments.watch => watch(printer).await,
        None => list(printer),
        Some(DrivesCommand::Attach(attach)) => attach_image(attach, printer).await,
        Some(DrivesCommand::Detach { device }) => detach_image(device, printer),
        Some(DrivesCommand::Describe { profile, measure }) => describe(profile, *measure, printer),
    };
    match done {
        Ok(()) => Outcome::Complete.exit_code(),
        Err(error) => {
            printer.error(&error.to_string());
            error.outcome().map_or(EXIT_USAGE, Outcome::exit_code)
        }
    }
}

fn list(printer: &Printer) -> Result<(), CopyError> {
    let look = || attached(&Roots::default()).map_err(no_list);
    let mut drives = opening::in_time(Path::new("/sys/block"), ANSWER_TIMEOUT, &Stop::new(), || false, look)?;
    add_conditions(&mut drives);
    printer.document(&drives, || drives_text(&drives));
    Ok(())
}

/// Asks all drives at once how they are; one that does not answer in time is listed without it.
fn add_conditions(drives: &mut [AttachedDrive]) {
    let (sender, answers) = mpsc::channel();
    for (index, drive) in drives.iter().enumerate() {
        let (sender, path) = (sender.clone(), drive.path.clone());
        let ask = move || sender.send((index, drive::health_at(Path::new(&path))));
        if let Err(error) = std::thread::Builder::new().name("condition".to_owned()).spawn(ask) {
            tracing::warn!(%error, "a thread to ask a drive for its condition cannot be started");
        }
    }
    drop(sender);
    let end = Instant::now() + CONDITION_TIMEOUT;
    while let Ok((index, health)) = answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
        drives[index].health = health;
    }
}

fn no_list(source: std::io::Error) -> DriveError {
    DriveError::Io { operation: "list", path: "/sys/block".into(), source }
}

/// One line of `drives --watch --output json`.
#[derive(Serialize)]
struct DockLine<'drive> {
    event: DockEvent,
    drive: &'drive AttachedDrive,
}

async fn watch(printer: &Printer) -> Result<(), CopyError> {
    let (mut watch, present) = Watch::start(Roots::default()).map_err(no_list)?;
    let tell = |event: DockEvent, drive: &AttachedDrive| {
        printer.line(&DockLine { event, drive }, || format!("{:<9} {}\n", event_name(event), drive_line(drive)));
    };
    present.iter().for_each(|drive| tell(DockEvent::Present, drive));
    let (sender, mut events) = tokio::sync::mpsc::channel(16);
    // A thread that is not waited for: it sleeps in the kernel.
    std::thread::spawn(move || {
        loop {
            let looked = watch.wait();
            let failed = looked.is_err();
            if sender.blocking_send(looked).is_err() || failed {
                return;
            }
        }
    });
    let mut interrupted = std::pin::pin!(crate::signals::first());
    let mut reader_gone = std::pin::pin!(printer.reader_gone());
    loop {
        tokio::select! {
            () = &mut interrupted => return Ok(()),
            () = &mut reader_gone => return Ok(()),
            looked = events.recv() => match looked {
                Some(Ok(events)) => events.iter().for_each(|(event, drive)| tell(*event, drive)),
                Some(Err(error)) => return Err(no_list(error).into()),
                None => return Ok(()),
            },
        }
    }
}

fn event_name(event: DockEvent) -> &'static str {
    match event {
        DockEvent::Present => "present",
        DockEvent::Docked => "docked",
        DockEvent::Undocked => "undocked",
        DockEvent::Changed => "changed",
    }
}

/// One drive on one line.
fn drive_line(drive: &AttachedDrive) -> String {
    let parts = [drive.path.clone(), ByteSize(drive.size).to_string(), name(drive), serial(drive), verdict(drive)];
    parts.into_iter().chain(note(drive)).collect::<Vec<_>>().join("  ")
}

fn name(drive: &AttachedDrive) -> String {
    let image = drive.backing_file.as_ref().map(|file| format!("image {file}"));
    image.or_else(|| drive.model.clone()).unwrap_or_else(|| "unknown model".to_owned())
}

/// Marked, where it does not say which drive it is.
fn serial(drive: &AttachedDrive) -> String {
    let serial = drive.serial.as_deref().unwrap_or("-");
    if drive.weak_identity.is_empty() { serial.to_owned() } else { format!("{serial} (weak)") }
}

fn note(drive: &AttachedDrive) -> Option<String> {
    WeakIdentity::note(drive.bridge_serial.as_deref(), &drive.weak_identity)
}

fn verdict(drive: &AttachedDrive) -> String {
    match drive.verdict {
        Verdict::Free => "free".to_owned(),
        Verdict::System => format!("system ({})", drive.in_use_by.join("; ")),
        Verdict::InUse => format!("in use: {}", drive.in_use_by.join("; ")),
    }
}

fn content(drive: &AttachedDrive) -> String {
    let Some(layout) = &drive.layout else { return "?".to_owned() };
    layout.described().unwrap_or_else(|| "-".to_owned())
}

fn drives_text(drives: &[AttachedDrive]) -> String {
    if drives.is_empty() {
        return "no drive is attached\n".to_owned();
    }
    let head = ["DRIVE", "SIZE", "SECTOR", "BUS", "KIND", "MODEL", "SERIAL", "CONTENT", "VERDICT"].map(str::to_owned).to_vec();
    let rows = drives.iter().map(|drive| {
        let mut kind = vec![if drive.rotational { "disk" } else { "flash" }];
        kind.extend(drive.removable.then_some("removable"));
        kind.extend(drive.read_only.then_some("read-only"));
        let sector = match drive.sector_size == drive.physical_sector_size {
            true => drive.sector_size.to_string(),
            false => format!("{}/{}", drive.sector_size, drive.physical_sector_size),
        };
        vec![
            drive.path.clone(),
            ByteSize(drive.size).to_string(),
            sector,
            drive.transport.name().to_owned(),
            kind.join(" "),
            name(drive),
            serial(drive),
            content(drive),
            verdict(drive),
        ]
    });
    let health = |drive: &AttachedDrive| drive.health.and_then(|health| health.described());
    let notes = |drive: &AttachedDrive| health(drive).into_iter().chain(note(drive)).collect::<Vec<_>>();
    let notes = drives.iter().flat_map(|drive| notes(drive).into_iter().map(|note| format!("{}: {note}\n", drive.path)));
    let notes: String = notes.collect();
    table(std::iter::once(head).chain(rows).collect()) + &notes
}

/// What `drives attach` and `drives detach` print.
#[derive(Serialize)]
struct LoopResult {
    device: String,
    image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<String>,
}

async fn attach_image(arguments: &AttachArguments, printer: &Printer) -> Result<(), CopyError> {
    let options =
        LoopOptions { sector_size_bytes: arguments.sector_size, read_only: arguments.read_only, detach_on_drop: arguments.hold };
    let held = loop_device::attach(&arguments.image, options)?;
    let device = held.path.display().to_string();
    let drive = drive::discovery::attached_at(&held.path);
    let layout = drive.and_then(|drive| drive.layout);
    let numbers = layout.into_iter().flat_map(|layout| layout.partitions).map(|partition| partition.number);
    let names: Vec<String> = numbers.map(|number| format!("{device}p{number}")).collect();
    let (partitions, unseen): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| Path::new(name).exists());
    if !unseen.is_empty() {
        printer.warn("it has partitions, and the kernel shows no devices for them: see `drive-agent drives --output json`");
    }
    let result = LoopResult { partitions, image: arguments.image.display().to_string(), device };
    printer.document(&result, || {
        std::iter::once(&result.device).chain(&result.partitions).map(|name| format!("{name}\n")).collect()
    });
    if arguments.hold {
        printer.inform("attached until this command ends: press Ctrl-C to detach");
        crate::signals::first().await;
    }
    let path = held.path.clone();
    drop(held);
    if arguments.hold && drive::discovery::attached_image(&arguments.image).is_some() {
        let users = drive::discovery::attached_at(&path).map(|drive| drive.in_use_by.join("; ")).unwrap_or_default();
        printer.warn(&format!("`{}` stays attached until it is released: {users}", path.display()));
    }
    Ok(())
}

/// Takes the image away from its device; either of them may be named.
fn detach_image(named: &Path, printer: &Printer) -> Result<(), CopyError> {
    let attached = named.is_file().then(|| drive::discovery::attached_image(named));
    let device = match attached {
        Some(Some(drive)) => PathBuf::from(drive.path),
        Some(None) => {
            let image = named.display();
            return Err(CopyError::Refused(format!("the image `{image}` is attached to no device: see `drive-agent drives`")));
        }
        None => named.to_owned(),
    };
    let image = loop_device::detach(&device)?;
    let result = LoopResult { device: device.display().to_string(), image: image.display().to_string(), partitions: Vec::new() };
    printer.document(&result, || format!("{} is detached from {}\n", result.image, result.device));
    Ok(())
}

fn describe(profile: &Path, measure: bool, printer: &Printer) -> Result<(), CopyError> {
    let owned = profile.to_owned();
    let describe = move || simulated::describe(&owned, measure);
    // The first signal ends this command.
    let description = opening::in_time(profile, ANSWER_TIMEOUT, &Stop::new(), || false, describe)?;
    printer.document(&description, || {
        let mut text = format!("{}: {}\n", description.profile, description.model);
        if let Some(serial) = &description.serial {
            text += &line("serial", serial);
        }
        if let Some(bridge) = &description.bridge {
            text += &line("bridge", bridge);
        }
        if let Some(size) = description.size {
            text += &line("size", format!("{} ({size} bytes)", ByteSize(size)));
        }
        text += &line("sectors", format!("{} logical, {} physical", description.sector_size, description.physical_sector_size));
        text += &line(
            "time",
            match (description.is_timed, description.is_rotational) {
                (false, _) => "as fast as this machine computes it",
                (true, true) => "as a disk with heads and platters",
                (true, false) => "as flash memory",
            },
        );
        text += &line("content", &description.content);
        text += &line("writing", if description.is_writable { "allowed" } else { "refused: it has no `backing`" });
        for fault in &description.faults {
            text += &line("fault", fault);
        }
        for (name, said) in [("figures", &description.source), ("note", &description.note)] {
            if let Some(said) = said {
                text += &line(name, said);
            }
        }
        if !description.measured.is_empty() {
            text += &measured_text(&description.measured);
        }
        text
    });
    Ok(())
}

fn measured_text(measured: &[simulated::Measured]) -> String {
    let head = ["FIGURE", "PUBLISHED", "MODEL", "DIFFERENCE"].map(str::to_owned).to_vec();
    let rows = measured.iter().map(|one| {
        let number = |value: f64| format!("{value:.2} {}", one.unit);
        vec![
            one.figure.to_owned(),
            one.published.map_or_else(|| "-".to_owned(), number),
            number(one.model),
            one.difference_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:+.1} %")),
        ]
    });
    table(std::iter::once(head).chain(rows).collect())
}
