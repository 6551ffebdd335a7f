//! `drive-agent transfers`

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blob::azure::PageForm;
use blob::{Blob, BlobAddress, BlobError, Discarded};
use copy::{CopyError, Unfinished, UnfinishedTransfers, unfinished};
use protocol::manifest::MadeAs;
use protocol::outcome::EXIT_USAGE;
use protocol::receipt::Residue;
use protocol::result::Direction;
use protocol::transfers::{DiscardedTransfer, TransferEntries, TransferEntry, UnreadableJournal};
use protocol::units::ByteSize;
use time::format_description::well_known::Rfc3339;

use crate::cli::{BlobType, TransfersArguments, TransfersCommand};
use crate::commands::is_agreed;
use crate::printer::{Printer, table};
use crate::resume_command::{discard_command, quote, resume_command_of, without_signature};
use crate::secrets::without_query;
use crate::settings::{Made, Reach, directory_of_state, reach_new_blob};

/// How long a store may take to answer each question.
const STORE_TIMEOUT: Duration = Duration::from_secs(20);

/// The fewest digits of an id that name a transfer.
const ID_DIGITS_MIN: usize = 4;

/// Lists, shows or discards transfers that were begun and not finished.
pub(crate) async fn run(arguments: TransfersArguments, printer: &Printer) -> u8 {
    match transfers(&arguments, printer).await {
        Ok(()) => 0,
        Err(error) => {
            printer.error(&error.to_string());
            error.outcome().map_or(EXIT_USAGE, |outcome| outcome.exit_code())
        }
    }
}

async fn transfers(arguments: &TransfersArguments, printer: &Printer) -> Result<(), CopyError> {
    // Also where there is nothing to ask a store about: a mistake in the options is one all the same.
    let reach = &Reach::through(&arguments.network, STORE_TIMEOUT)?;
    let asking = Asking { arguments, reach };
    let found = unfinished(&directory_of_state(arguments.state_dir.as_deref())?)?;
    match &arguments.command {
        None => list(asking, &found, false, printer).await,
        Some(TransfersCommand::List { local }) => list(asking, &found, *local, printer).await,
        Some(TransfersCommand::Show { what }) => {
            let transfer = one_of(reach, &found, what)?;
            let entry = entry(asking, transfer, what, false).await;
            printer.document(&entry, || shown(&entry, transfer.header.begun_by.is_some()));
            Ok(())
        }
        Some(TransfersCommand::Discard { what, yes, local }) => {
            let discarded = discard(asking, one_of(reach, &found, what)?, what, *yes, *local).await?;
            printer.document(&discarded, || match &discarded.stays {
                Some(stays) => format!("the transfer {} was discarded; {stays}\n", discarded.transfer_id),
                None => format!("the transfer {} was discarded, and nothing of it is left\n", discarded.transfer_id),
            });
            Ok(())
        }
    }
}

/// What was asked for, and how stores are reached.
#[derive(Clone, Copy)]
struct Asking<'run> {
    arguments: &'run TransfersArguments,
    reach: &'run Reach<'run>,
}

async fn list(asking: Asking<'_>, found: &UnfinishedTransfers, is_local: bool, printer: &Printer) -> Result<(), CopyError> {
    let mut transfers = Vec::new();
    for transfer in &found.transfers {
        transfers.push(entry(asking, transfer, &transfer.header.blob, is_local).await);
    }
    let unreadable = found.unreadable.iter().map(|(path, error)| {
        printer.warn(&format!("the journal `{}` cannot be read: {error}", path.display()));
        UnreadableJournal { journal: path.display().to_string(), error: error.clone() }
    });
    let entries = TransferEntries { transfers, unreadable: unreadable.collect() };
    printer.document(&entries, || rows(&entries.transfers));
    Ok(())
}

/// The transfer that was named: by the first digits of its id, its blob or its drive. A path and an address without an
/// account mean what they mean here and now.
fn one_of<'found>(reach: &Reach<'_>, found: &'found UnfinishedTransfers, what: &str) -> Result<&'found Unfinished, CopyError> {
    let blob = match ["az://", "s3://", "gs://"].iter().any(|short| what.starts_with(short)) {
        true => reach_new_blob(what, Made::of(BlobType::Block), reach)?.blob.address(),
        false => without_query(what),
    };
    let is_id = |id: &str| what.len() >= ID_DIGITS_MIN && id.starts_with(what);
    let is_it = |transfer: &&Unfinished| {
        let header = &transfer.header;
        is_id(&header.transfer_id)
            || header.blob == blob
            || header.drive_path().is_some_and(|drive| is_same_path(&drive, what))
            || is_same_path(Path::new(&header.blob), what)
    };
    let matching: Vec<&Unfinished> = found.transfers.iter().filter(is_it).collect();
    match matching.as_slice() {
        [one] => Ok(one),
        [] => Err(CopyError::Usage(format!("there is no unfinished transfer `{blob}`: `drive-agent transfers` lists them"))),
        several => {
            let ids: Vec<&str> = several.iter().map(|transfer| transfer.header.transfer_id.as_str()).collect();
            Err(CopyError::Usage(format!("`{blob}` are several transfers: name one by its id ({})", ids.join(", "))))
        }
    }
}

fn is_same_path(recorded: &Path, asked: &str) -> bool {
    std::path::absolute(asked).is_ok_and(|path| path == recorded)
        || std::fs::canonicalize(asked).is_ok_and(|path| std::fs::canonicalize(recorded).is_ok_and(|recorded| path == recorded))
}

/// The blob of an import, with the credentials of the environment, or with those of the address that was given.
fn blob_of(reach: &Reach<'_>, transfer: &Unfinished, asked: &str) -> Result<Arc<dyn Blob>, CopyError> {
    let recorded = &transfer.header.blob;
    let is_its_address = without_query(asked) == *recorded;
    let made = match is_page_blob(transfer) {
        true => {
            let MadeAs { is_vhd, into_existing, .. } = &transfer.header.made_as;
            Made { form: PageForm { is_vhd: *is_vhd, is_existing: *into_existing }, ..Made::of(BlobType::Page) }
        }
        false => Made::of(BlobType::Block),
    };
    let address = if is_its_address { asked } else { recorded };
    transfer.at_its_staging(reach_new_blob(address, made, reach)?.blob)
}

/// Blocks of Azure are named by their content, and pages are not.
fn is_page_blob(transfer: &Unfinished) -> bool {
    let is_of_azure = matches!(BlobAddress::parse(&transfer.header.blob), Ok(BlobAddress::Azure(_)));
    is_of_azure && transfer.header.block_id_scheme.is_none()
}

/// What is left of a transfer at its target.
async fn left(reach: &Reach<'_>, transfer: &Unfinished, asked: &str) -> Result<Option<Residue>, CopyError> {
    if transfer.header.direction == Direction::Export {
        return Ok(transfer.left_on_drive());
    }
    let blob = blob_of(reach, transfer, asked)?;
    in_time(&*blob, blob.left_by(transfer.left())).await
}

/// What a store says, in time.
async fn in_time<T>(blob: &dyn Blob, asking: impl Future<Output = Result<T, BlobError>>) -> Result<T, CopyError> {
    let silent = || BlobError::new(blob::BlobErrorKind::TimedOut, "ask about", blob.address(), "no answer in time");
    Ok(tokio::time::timeout(STORE_TIMEOUT, asking).await.map_err(|_| silent())??)
}

async fn entry(asking: Asking<'_>, transfer: &Unfinished, asked: &str, is_local: bool) -> TransferEntry {
    let header = &transfer.header;
    let (left, store_error) = match is_local && header.direction == Direction::Import {
        true => (None, None),
        false => match left(asking.reach, transfer, asked).await {
            Ok(left) => (left, None),
            Err(error) => (None, Some(error.to_string())),
        },
    };
    let drive_path = header.drive_path().map_or_else(|| header.drive.path.clone(), |path| path.display().to_string());
    let resume = header.begun_by.as_ref().map_or_else(|| command_of_parts(transfer, &drive_path), resume_command_of);
    // Its id says nothing of the signature that the store wants.
    let is_signed = without_query(asked) == header.blob && asked != header.blob;
    let discarded = if is_signed { without_signature(asked) } else { header.transfer_id.clone() };
    TransferEntry {
        transfer_id: header.transfer_id.clone(),
        direction: header.direction,
        drive: drive_path,
        drive_serial: header.drive.serial.clone(),
        blob: header.blob.clone(),
        begun_at: header.created_at,
        bytes_total: header.total_bytes,
        bytes_landed: transfer.landed_bytes,
        is_running: transfer.is_running,
        is_committed: transfer.is_committed,
        journal: transfer.journal.display().to_string(),
        left,
        store_error,
        resume,
        discard: discard_command(&discarded, asking.arguments),
    }
}

/// The command that resumes the transfer of a journal which does not say how it was begun, as far as it is known.
fn command_of_parts(transfer: &Unfinished, drive_path: &str) -> String {
    let header = &transfer.header;
    let (drive, blob) = (quote(drive_path), quote(&header.blob));
    match header.direction {
        Direction::Import => format!("drive-agent import {drive} {blob}{}", options_of(transfer)),
        Direction::Export => format!("drive-agent export {blob} {drive}"),
    }
}

/// The options without which an import is not resumed.
fn options_of(transfer: &Unfinished) -> String {
    let MadeAs { is_vhd, into_existing, overwrite, staging } = &transfer.header.made_as;
    let options = [
        (is_page_blob(transfer), " --blob-type page"),
        (*is_vhd, " --blob-format vhd"),
        (*into_existing, " --into-existing"),
        (*overwrite, " --overwrite"),
    ];
    let mut options: String = options.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, option)| option).collect();
    if let Some(place) = staging {
        options += &format!(" --staging {}", quote(place));
    }
    options
}

/// Removes what a transfer left, and then its journal: cut off in between, it is repeated.
async fn discard(
    asking: Asking<'_>,
    transfer: &Unfinished,
    asked: &str,
    yes: bool,
    is_local: bool,
) -> Result<DiscardedTransfer, CopyError> {
    let entry = entry(asking, transfer, asked, is_local).await;
    if transfer.is_running {
        return Err(CopyError::Refused(format!("the transfer {} is running: cancel it first", entry.transfer_id)));
    }
    require_yes(&entry, yes)?;
    let taken = transfer.take()?;
    let stays = match transfer.header.direction {
        Direction::Export => {
            let is_found = taken.remove_image(transfer)?;
            let left = transfer.left_on_drive().map(|left| format!("{} stays", left.description));
            left.or_else(|| {
                (!is_found).then(|| {
                    format!("an unfinished image of `{}` may stay: it is not known in which folder that was", entry.drive)
                })
            })
        }
        Direction::Import if is_local => Some("what it left at the store stays".to_owned()),
        Direction::Import => {
            let discarding = async {
                let blob = blob_of(asking.reach, transfer, asked)?;
                in_time(&*blob, blob.discard(transfer.left())).await
            };
            match discarding.await.map_err(with_way_out)? {
                Discarded::Everything => None,
                Discarded::Stays(why) => Some(why),
            }
        }
    };
    taken.forget()?;
    Ok(DiscardedTransfer { transfer_id: entry.transfer_id, stays })
}

/// What can be done where a store is out of reach.
fn with_way_out(error: CopyError) -> CopyError {
    match error {
        CopyError::Store(error) => {
            let message = format!("{}; `--local` discards the rest, and leaves what is there", error.message);
            CopyError::Store(BlobError { message, ..error })
        }
        error => error,
    }
}

/// Asks before what had landed is given up, where nothing says that it may be.
fn require_yes(entry: &TransferEntry, yes: bool) -> Result<(), CopyError> {
    if yes {
        return Ok(());
    }
    let lost = entry.left.as_ref().map_or(String::new(), |left| {
        let joined = if left.bytes > 0 { ", and " } else { "; " };
        format!("{joined}{}", described(left))
    });
    let what = format!(
        "the {} of `{}` {} `{}` is abandoned, with {} that had landed{lost}",
        name_of(entry.direction),
        entry.drive,
        if entry.direction == Direction::Import { "to" } else { "from" },
        entry.blob,
        ByteSize(entry.bytes_landed),
    );
    match is_agreed(&what) {
        true => Ok(()),
        false => Err(CopyError::Refused(format!("{what}: repeat the command with `--yes` to confirm it"))),
    }
}

fn name_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Import => "import",
        Direction::Export => "export",
    }
}

fn percent(entry: &TransferEntry) -> String {
    let share = u128::from(entry.bytes_landed) * 100 / u128::from(entry.bytes_total.max(1));
    format!("{share} %")
}

fn state_of(entry: &TransferEntry) -> &'static str {
    match () {
        () if entry.is_running => "running",
        () if entry.is_committed => "committed",
        () => "stopped",
    }
}

/// What is left, with its size where it has one.
fn described(left: &Residue) -> String {
    match left.bytes {
        0 => left.description.clone(),
        bytes => format!("{} ({})", left.description, ByteSize(bytes)),
    }
}

/// What is left, in as few words as a table takes.
fn left_in_short(entry: &TransferEntry) -> String {
    match (&entry.left, &entry.store_error) {
        (Some(Residue { bytes, lives_days: Some(days), .. }), _) => format!("{}, {days} days", ByteSize(*bytes)),
        (Some(left), _) if left.bytes > 0 => ByteSize(left.bytes).to_string(),
        (None, Some(_)) => "not known".to_owned(),
        _ => "-".to_owned(),
    }
}

fn rows(entries: &[TransferEntry]) -> String {
    if entries.is_empty() {
        return "there are no unfinished transfers\n".to_owned();
    }
    let row = |entry: &TransferEntry| {
        let id = entry.transfer_id.chars().take(8).collect();
        let since = entry.begun_at.date().to_string();
        let (way, state) = (name_of(entry.direction).to_owned(), state_of(entry).to_owned());
        vec![id, way, since, percent(entry), state, left_in_short(entry), entry.drive.clone(), entry.blob.clone()]
    };
    let head = ["ID", "WAY", "SINCE", "LANDED", "STATE", "LEFT", "DRIVE", "BLOB"].map(str::to_owned).to_vec();
    table(std::iter::once(head).chain(entries.iter().map(row)).collect())
}

/// `is_recorded`: the journal has the command that began it.
fn shown(entry: &TransferEntry, is_recorded: bool) -> String {
    let serial = entry.drive_serial.as_ref().map_or(String::new(), |serial| format!(" (serial {serial})"));
    let left = match (&entry.left, &entry.store_error) {
        (Some(left), _) => {
            let lives = left.lives_days.map_or(String::new(), |days| format!(", vanishes {days} days after it came"));
            format!("{}{lives}", described(left))
        }
        (None, Some(error)) => format!("not known: {error}"),
        (None, None) => "nothing at its target".to_owned(),
    };
    let resume = match is_recorded {
        true => entry.resume.clone(),
        false => format!("{} (with the other options of the command that began it: this journal has none)", entry.resume),
    };
    [
        ("transfer", format!("{} ({}, {})", entry.transfer_id, name_of(entry.direction), state_of(entry))),
        ("drive", format!("{}{serial}", entry.drive)),
        ("blob", entry.blob.clone()),
        ("begun", entry.begun_at.format(&Rfc3339).unwrap_or_default()),
        ("landed", format!("{} of {} ({})", ByteSize(entry.bytes_landed), ByteSize(entry.bytes_total), percent(entry))),
        ("left", left),
        ("journal", entry.journal.clone()),
        ("resume", resume),
        ("discard", entry.discard.clone()),
    ]
    .map(|(name, value)| crate::printer::line(name, value))
    .concat()
}
