//! `drive-agent bays`

use futures::StreamExt;
use protocol::progress::Progress;
use protocol::station::{Attention, AuditEntry, Bay, DockedDrive};
use protocol::units::ByteSize;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::{BaysArguments, BaysCommand};
use crate::client::{ClientError, JobService};
use crate::commands::answered;
use crate::printer::{Printer, table};
use crate::signals;

/// Shows the bays, or docks and undocks by hand.
pub(crate) async fn run(arguments: BaysArguments, printer: &Printer) -> u8 {
    answered(bays(&arguments, printer).await, printer)
}

/// The entries of a list.
fn entries<T: DeserializeOwned>(mut answer: Value) -> Result<Vec<T>, ClientError> {
    let value = answer.get_mut("value").map(Value::take).unwrap_or_default();
    serde_json::from_value(value).map_err(|error| ClientError::Failed(format!("the answer is not understood: {error}")))
}

async fn bays(arguments: &BaysArguments, printer: &Printer) -> Result<(), ClientError> {
    if arguments.watch && arguments.command.is_some() {
        return Err(ClientError::Usage("`--watch` is for the list of bays: leave out the command behind it".to_owned()));
    }
    let service = JobService::new(&arguments.connect)?;
    match &arguments.command {
        None if arguments.watch => watch(&service, printer).await?,
        None => {
            let bays: Vec<Bay> = entries(service.operator(Method::GET, &["bays"], None, &[]).await?)?;
            printer.document(&bays, || bays_text(&bays));
        }
        Some(BaysCommand::Dock { bay, drive, drive_id }) => {
            // A path of this machine, where the service is too; of the station's, where it is there alone.
            let path = std::path::absolute(drive).unwrap_or_else(|_| drive.clone());
            let mut body = json!({ "path": path });
            if let Some(id) = drive_id {
                body["driveId"] = id.as_str().into();
            }
            let docked = service.operator(Method::POST, &["bays", bay, "dock"], Some(&body), &[]).await?;
            printer.document(&docked, || {
                let drive: Option<DockedDrive> = serde_json::from_value(docked.clone()).ok();
                format!("{bay}: {}\n", drive.map(|drive| drive_text(&drive)).unwrap_or_default())
            });
        }
        Some(BaysCommand::Undock { bay }) => {
            service.operator(Method::POST, &["bays", bay, "undock"], None, &[]).await?;
            printer.document(&json!({ "name": bay }), || format!("{bay} is empty\n"));
        }
        Some(BaysCommand::Attention) => {
            let list: Vec<Attention> = entries(service.operator(Method::GET, &["attention"], None, &[]).await?)?;
            printer.document(&list, || attention_text(&list));
        }
        Some(BaysCommand::Audit) => {
            let list: Vec<AuditEntry> = entries(service.operator(Method::GET, &["audit"], None, &[]).await?)?;
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

/// `SUBSCRIPTION/GROUP/NAME` of a job's path.
fn short_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["", _, subscription, _, group, .., name] => format!("{subscription}/{group}/{name}"),
        _ => path.to_owned(),
    }
}

fn drive_text(drive: &DockedDrive) -> String {
    let name = drive.drive_id.as_deref().unwrap_or("(no serial number)");
    format!("{name}, {}, {}", ByteSize(drive.size_bytes), drive.path)
}

fn bays_text(bays: &[Bay]) -> String {
    let head = ["BAY", "STATE", "DRIVE", "SIZE", "PROGRESS", "JOB", "NOTE"].map(str::to_owned).to_vec();
    let row = |bay: &Bay| {
        let drive = bay.drive.as_ref();
        let dash = || "-".to_owned();
        let job = bay.work.as_ref().map(|work| short_name(&work.job));
        let progress = bay.work.as_ref().and_then(|work| work.progress.as_ref()).map(progress_text);
        vec![
            bay.name.clone(),
            bay.state.name().to_owned(),
            drive.and_then(|drive| drive.drive_id.clone()).unwrap_or_else(dash),
            drive.map_or_else(dash, |drive| ByteSize(drive.size_bytes).to_string()),
            progress.unwrap_or_else(dash),
            job.unwrap_or_else(dash),
            bay.note.clone().unwrap_or_default(),
        ]
    };
    table(std::iter::once(head).chain(bays.iter().map(row)).collect())
}

fn progress_text(progress: &Progress) -> String {
    let percent = protocol::job::percent(progress.bytes_done, progress.bytes_total, false);
    format!("{percent}% {}/s", ByteSize(progress.bytes_per_second as u64))
}

fn attention_text(list: &[Attention]) -> String {
    if list.is_empty() {
        return "nothing waits for a person\n".to_owned();
    }
    let row = |one: &Attention| {
        let kind = serde_json::to_value(one.kind).ok();
        let job = one.job.as_deref().map(short_name);
        vec![
            kind.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            one.bay.clone().unwrap_or_else(|| "-".to_owned()),
            one.drive_id.clone().unwrap_or_else(|| "-".to_owned()),
            job.unwrap_or_else(|| "-".to_owned()),
            one.message.clone(),
        ]
    };
    let head = ["WHAT", "BAY", "DRIVE", "JOB", "WHY"].map(str::to_owned).to_vec();
    table(std::iter::once(head).chain(list.iter().map(row)).collect())
}

fn audit_text(list: &[AuditEntry]) -> String {
    let row = |one: &AuditEntry| {
        let at = one.at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
        vec![
            at,
            one.actor.clone(),
            one.job.as_deref().map(short_name).or(one.job_uid.clone()).unwrap_or_else(|| "-".to_owned()),
            match one.entered {
                Some(state) => format!("{}: {state:?}", one.action),
                None => one.action.clone(),
            },
        ]
    };
    let head = ["WHEN", "WHO", "JOB", "WHAT"].map(str::to_owned).to_vec();
    table(std::iter::once(head).chain(list.iter().map(row)).collect())
}
