//! `drive-agent bays`

use futures::StreamExt;
use protocol::operator::{Dock, Done, List, StationState};
use protocol::progress::Progress;
use protocol::station::{Attention, AuditEntry, Bay, DockedDrive, WeakIdentity, short_job_name, station_and_bay};
use protocol::station_rate::{SetRate, StationRate};
use protocol::units::ByteSize;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use crate::cli::{BaysArguments, BaysCommand};
use crate::client::{ClientError, JobService};
use crate::commands::answered;
use crate::printer::{Printer, table, table_rows};
use crate::signals;

/// Shows the bays, or docks and undocks by hand.
pub(crate) async fn run(arguments: BaysArguments, printer: &Printer) -> u8 {
    answered(bays(&arguments, printer).await, printer)
}

async fn bays(arguments: &BaysArguments, printer: &Printer) -> Result<(), ClientError> {
    if arguments.watch && arguments.command.is_some() {
        return Err(ClientError::Usage("`--watch` is for the list of bays: leave out the command behind it".to_owned()));
    }
    let service = JobService::new(&arguments.connect)?;
    match &arguments.command {
        None if arguments.watch => watch(&service, printer).await?,
        None => {
            let List { value: bays } = service.operator_get::<List<Bay>>(&["bays"], &[]).await?;
            printer.document(&bays, || bays_text(&bays));
        }
        Some(BaysCommand::Dock { bay, drive, drive_id }) => {
            let path = match station_and_bay(bay) {
                // A path of this machine, where the service is too.
                None => std::path::absolute(drive).unwrap_or_else(|_| drive.clone()),
                Some(_) if drive.is_absolute() => drive.clone(),
                Some((station, _)) => {
                    let message =
                        format!("`{}` is looked for at the station `{station}`: write its whole path there", drive.display());
                    return Err(ClientError::Usage(message));
                }
            };
            let path = path.into_os_string().into_string();
            let path =
                path.map_err(|path| ClientError::Usage(format!("the path `{}` is not UTF-8: rename it", path.display())))?;
            let body = Dock { path, drive_id: drive_id.clone() };
            let docked: DockedDrive = service.operator_post(&["bays", bay, "dock"], Some(&body)).await?;
            printer.document(&docked, || format!("{bay}: {}\n", drive_text(&docked)));
        }
        Some(BaysCommand::Undock { bay }) => {
            let _: Done = service.operator_post(&["bays", bay, "undock"], None::<&Done>).await?;
            printer.document(&json!({ "name": bay }), || format!("{bay} is empty\n"));
        }
        Some(BaysCommand::Rate { rate }) => {
            let rate: StationRate = match rate {
                None => service.operator_get(&["rate"], &[]).await?,
                Some(rate) => service.operator_post(&["rate"], Some(&SetRate { rate: rate.clone() })).await?,
            };
            printer.document(&rate, || format!("{}\n", rate.text()));
        }
        Some(BaysCommand::Stations) => {
            let List { value: list } = service.operator_get::<List<StationState>>(&["stations"], &[]).await?;
            printer.document(&list, || stations_text(&list));
        }
        Some(BaysCommand::Attention) => {
            let list: Vec<Attention> = service.operator_list(&["attention"], &[], usize::MAX).await?;
            printer.document(&list, || attention_text(&list));
        }
        Some(BaysCommand::Audit { job, actor, action, since, until, limit }) => {
            let filters = [("job", job), ("actor", actor), ("action", action), ("since", since), ("until", until)];
            let filters: Vec<(&str, &str)> =
                filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
            let list: Vec<AuditEntry> = service.operator_list(&["audit"], &filters, *limit as usize).await?;
            printer.document(&list, || audit_text(&list));
        }
    }
    Ok(())
}

async fn watch(service: &JobService, printer: &Printer) -> Result<(), ClientError> {
    let events = service.events(&["operator", "v1", "events"]).await?;
    let mut events = std::pin::pin!(events);
    let ended = async {
        while let Some(event) = events.next().await {
            let (_, data) = event?;
            let bays: Vec<Bay> = serde_json::from_str(&data)
                .map_err(|error| ClientError::Failed(format!("an event is not understood: {error}")))?;
            printer.line(&bays, || bays_text(&bays) + "\n");
        }
        Ok(())
    };
    tokio::select! {
        ended = ended => ended,
        () = signals::first() => Ok(()),
        () = printer.reader_gone() => Ok(()),
    }
}

fn stations_text(stations: &[StationState]) -> String {
    if stations.is_empty() {
        return "no station calls this service\n`drive-agent bays` shows its own bays\n".to_owned();
    }
    let head = ["STATION", "HALL", "BAYS", "DRIVES", "COPIES", "RATE", "VERSION", "CALLED", "NOTE"].map(str::to_owned).to_vec();
    let row = |one: &StationState| {
        let dash = || "-".to_owned();
        vec![
            one.name.clone(),
            one.hall.clone().unwrap_or_else(dash),
            one.bays.to_string(),
            one.drives.to_string(),
            one.copies.to_string(),
            one.rate.as_ref().map_or_else(dash, StationRate::text),
            one.version.clone().unwrap_or_else(dash),
            one.heard_at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(dash),
            one.away.clone().unwrap_or_default(),
        ]
    };
    table(std::iter::once(head).chain(stations.iter().map(row)).collect())
}

fn drive_text(drive: &DockedDrive) -> String {
    let name = drive.drive_id.as_deref().unwrap_or("(no serial number)");
    let note = identity_note(drive).map(|note| format!(", {note}")).unwrap_or_default();
    format!("{name}, {}, {}{note}", ByteSize(drive.size_bytes), drive.path)
}

fn identity_note(drive: &DockedDrive) -> Option<String> {
    WeakIdentity::note(drive.bridge_serial.as_deref(), &drive.weak_identity)
}

/// A drive's name in the list of bays, marked where it does not say which drive it is.
fn drive_name(drive: &DockedDrive) -> String {
    let name = drive.drive_id.as_deref().unwrap_or("-");
    if drive.weak_identity.is_empty() { name.to_owned() } else { format!("{name} (weak)") }
}

fn bays_text(bays: &[Bay]) -> String {
    let head = ["BAY", "STATE", "DRIVE", "SIZE", "PROGRESS", "JOB", "NOTE"].map(str::to_owned).to_vec();
    let row = |bay: &Bay| {
        let drive = bay.drive.as_ref();
        let dash = || "-".to_owned();
        let job = bay.work.as_ref().map(|work| short_job_name(&work.job));
        let progress = bay.work.as_ref().and_then(|work| work.progress.as_ref()).map(progress_text);
        vec![
            bay.name.clone(),
            bay.state.name().to_owned(),
            drive.map_or_else(dash, drive_name),
            drive.map_or_else(dash, |drive| ByteSize(drive.size_bytes).to_string()),
            progress.unwrap_or_else(dash),
            job.unwrap_or_else(dash),
            bay.note.clone().unwrap_or_default(),
        ]
    };
    let note = |bay: &Bay| Some(format!("{}: {}\n", bay.name, identity_note(bay.drive.as_ref()?)?));
    let notes: String = bays.iter().filter_map(note).collect();
    table(std::iter::once(head).chain(bays.iter().map(row)).collect()) + &notes
}

fn progress_text(progress: &Progress) -> String {
    let percent = protocol::job::percent(progress.bytes_done, progress.bytes_total, false);
    format!("{percent}% {}/s", ByteSize(progress.bytes_per_second as u64))
}

fn attention_text(list: &[Attention]) -> String {
    if list.is_empty() {
        return "nothing needs attention\n".to_owned();
    }
    let row = |one: &Attention| {
        let job = one.job.as_deref().map(short_job_name);
        vec![
            one.kind.name().to_owned(),
            one.bay.clone().unwrap_or_else(|| "-".to_owned()),
            one.drive_id.clone().unwrap_or_else(|| "-".to_owned()),
            job.unwrap_or_else(|| "-".to_owned()),
            one.message.clone(),
        ]
    };
    let head = ["WHAT", "BAY", "DRIVE", "JOB", "WHY"].map(str::to_owned).to_vec();
    let mut rows = table_rows(std::iter::once(head).chain(list.iter().map(row)).collect()).into_iter();
    let mut text = rows.next().unwrap_or_default();
    for (row, one) in rows.zip(list) {
        text += &row;
        for offered in &one.actions {
            let label = offered.action.label();
            text += &match &offered.command {
                Some(command) => format!("  - {label}: {command}\n"),
                None => format!("  - {label}\n"),
            };
        }
    }
    text
}

fn audit_text(list: &[AuditEntry]) -> String {
    let row = |one: &AuditEntry| {
        let at = one.at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
        vec![
            at,
            one.actor.clone(),
            one.job.as_deref().map(short_job_name).or(one.job_uid.clone()).unwrap_or_else(|| "-".to_owned()),
            [Some(one.action.clone()), one.detail.clone(), one.entered.map(|state| state.name().to_owned())]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": "),
        ]
    };
    let head = ["WHEN", "WHO", "JOB", "WHAT"].map(str::to_owned).to_vec();
    table(std::iter::once(head).chain(list.iter().map(row)).collect())
}
