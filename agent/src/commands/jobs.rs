//! `drive-agent jobs`

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use protocol::arm::{DriveStatus, JobResponse};
use protocol::job::JobState;
use protocol::operator::{CheckIn, NeverReceived, OneDrive, OperatorJob, Retry, ReturnPackage};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{CreateArguments, DriveOfJob, JobKindWord, JobPlace, JobsArguments, JobsCommand, ShipArguments};
use crate::client::{ClientError, JobService};
use crate::commands::{answered, is_agreed};
use crate::printer::{Printer, line, table};
use crate::signals;

/// Talks to a job service about jobs.
pub(crate) async fn run(arguments: JobsArguments, printer: &Printer) -> u8 {
    answered(jobs(&arguments, printer).await, printer)
}

/// The jobs of one resource group.
struct Jobs<'command> {
    service: JobService,
    place: &'command JobPlace,
    printer: &'command Printer,
}

const PROVIDER: &str = "Microsoft.ImportExport";

async fn jobs(arguments: &JobsArguments, printer: &Printer) -> Result<(), ClientError> {
    let jobs = Jobs { service: JobService::new(&arguments.connect)?, place: &arguments.place, printer };
    match &arguments.command {
        JobsCommand::Create(create) => jobs.create(create).await,
        JobsCommand::List { all, filter } => jobs.list(*all, filter.as_deref()).await,
        JobsCommand::Show { name, watch: false } => {
            let job = jobs.ask(Method::GET, name, &[], None).await?;
            jobs.show(&job)
        }
        JobsCommand::Show { name, watch: true } => jobs.watch(name).await,
        JobsCommand::Ship(ship) => jobs.ship(ship).await,
        JobsCommand::CorrectDrive { one, to } => jobs.correct_drive(one, to).await,
        JobsCommand::Cancel { name } => {
            let body = json!({ "properties": { "cancelRequested": true } });
            let job = jobs.ask(Method::PATCH, name, &[], Some(&body)).await?;
            jobs.show(&job)
        }
        JobsCommand::Delete { name } => {
            jobs.ask(Method::DELETE, name, &[], None).await?;
            printer.document(&json!({ "name": name }), || format!("the job `{name}` is gone\n"));
            Ok(())
        }
        JobsCommand::Keys { name } => jobs.keys(name).await,
        JobsCommand::Receipts { name } => {
            let receipts = jobs.ask(Method::GET, name, &["receipts"], None).await?;
            printer.document(&receipts, || receipts_text(&receipts));
            Ok(())
        }
        JobsCommand::CheckIn { name, drive, bay, erase, spare, take_over } => {
            let (drive_id, bay) = (drive.clone(), bay.clone());
            let check_in = CheckIn { drive_id, bay, erase: *erase, spare: *spare, take_over: *take_over };
            jobs.order(name, "checkIn", &check_in).await
        }
        JobsCommand::NeverReceived { name, drive } => {
            jobs.order(name, "neverReceived", &NeverReceived { drive_id: drive.clone() }).await
        }
        JobsCommand::Start(one) => jobs.order_drive("start", one).await,
        JobsCommand::Pause(one) => jobs.order_drive("pause", one).await,
        JobsCommand::Resume(one) => jobs.order_drive("resume", one).await,
        JobsCommand::Retry { one, restart, overwrite, rescue, erase } => {
            let drive_id = one.drive.clone();
            let body = Retry { drive_id, restart: *restart, overwrite: *overwrite, rescue: *rescue, erase: *erase };
            jobs.order(&one.name, "retry", &body).await
        }
        JobsCommand::GiveUp { one, yes } => {
            require_yes(one, "ends as it is, and the drive goes back with an error", *yes)?;
            jobs.order_drive("giveUp", one).await
        }
        JobsCommand::UndoGiveUp(one) => jobs.order_drive("undoGiveUp", one).await,
        JobsCommand::UndoCheckIn { one, yes } => {
            require_yes(one, "is set back to its beginning, and waits for the right drive", *yes)?;
            jobs.order_drive("undoCheckIn", one).await
        }
        JobsCommand::UndoNeverReceived { name, drive } => {
            jobs.order(name, "undoNeverReceived", &NeverReceived { drive_id: drive.clone() }).await
        }
        JobsCommand::Release(one) => jobs.order_drive("release", one).await,
        JobsCommand::ShipBack { name, carrier, tracking } => {
            let package = ReturnPackage { carrier_name: carrier.clone(), tracking_number: tracking.clone() };
            jobs.order(name, "shipBack", &package).await
        }
    }
}

/// Asks before something is done about a copy that cannot easily be taken back, where nothing says that it may be.
fn require_yes(one: &DriveOfJob, what: &str, yes: bool) -> Result<(), ClientError> {
    if yes {
        return Ok(());
    }
    let what = format!("the copy of the drive `{}` of the job `{}` {what}", one.drive, one.name);
    match is_agreed(&what) {
        true => Ok(()),
        false => Err(ClientError::Usage(format!("{what}: repeat the command with `--yes` if it is to be so"))),
    }
}

impl Jobs<'_> {
    /// The subscription, the group and the name of a job: of its name, of `SUBSCRIPTION/GROUP/NAME`, or of its path.
    fn place_of<'name>(&'name self, name: &'name str) -> [&'name str; 3] {
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            [subscription, group, name] => [subscription, group, name],
            ["", _, subscription, _, group, _, _, _, name] => [subscription, group, name],
            _ => [&self.place.subscription, &self.place.resource_group, name],
        }
    }

    fn segments<'path>(&'path self, name: &'path str, rest: &[&'path str]) -> Vec<&'path str> {
        let [subscription, group, name] = self.place_of(name);
        let job = ["subscriptions", subscription, "resourceGroups", group, "providers", PROVIDER, "jobs", name];
        [job.as_slice(), rest].concat()
    }

    async fn ask(&self, method: Method, name: &str, rest: &[&str], body: Option<&Value>) -> Result<Value, ClientError> {
        self.service.published(method, &self.segments(name, rest), body, &[]).await
    }

    async fn order_drive(&self, action: &str, one: &DriveOfJob) -> Result<(), ClientError> {
        self.order(&one.name, action, &OneDrive { drive_id: one.drive.clone() }).await
    }

    async fn order(&self, name: &str, action: &str, body: &impl Serialize) -> Result<(), ClientError> {
        let [subscription, group, name] = self.place_of(name);
        let path = ["jobs", subscription, group, name, action];
        let OperatorJob { job, .. } = self.service.operator_post(&path, Some(body)).await?;
        self.printer.document(&job, || job_text(&job));
        Ok(())
    }

    fn show(&self, job: &Value) -> Result<(), ClientError> {
        let parsed = parse(job)?;
        self.printer.document(job, || job_text(&parsed));
        Ok(())
    }

    async fn create(&self, create: &CreateArguments) -> Result<(), ClientError> {
        let mut body = create.from.as_deref().map(read_json).transpose()?.unwrap_or_else(|| json!({}));
        if !body.is_object() || body.get("properties").is_some_and(|properties| !properties.is_object()) {
            return Err(ClientError::Usage("the body of a job is an object, and its `properties` are another".to_owned()));
        }
        if let Some(location) = &create.location {
            body["location"] = location.as_str().into();
        }
        if body.get("location").is_none() {
            let list = self.service.published(Method::GET, &["providers", PROVIDER, "locations"], None, &[]).await?;
            body["location"] = list["value"][0]["name"].clone();
        }
        let properties = &mut body["properties"];
        if let Some(kind) = create.kind {
            let word = if kind == JobKindWord::Import { "Import" } else { "Export" };
            properties["jobType"] = word.into();
        }
        if let Some(account) = &create.account {
            let JobPlace { subscription, resource_group } = self.place;
            properties["storageAccountId"] = format!(
                "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.Storage/storageAccounts/{account}"
            )
            .into();
        }
        if !create.drives.is_empty() {
            properties["driveList"] = create.drives.iter().map(|id| json!({ "driveId": id })).collect();
        }
        for (name, values) in [("blobPath", &create.blobs), ("blobPathPrefix", &create.prefixes)] {
            if !values.is_empty() {
                properties["export"]["blobList"][name] = json!(values);
            }
        }
        if create.verbose_log {
            properties["logLevel"] = "Verbose".into();
        }
        if create.backup_manifest {
            properties["backupDriveManifest"] = true.into();
        }
        let job = self.ask(Method::PUT, &create.name, &[], Some(&body)).await?;
        self.show(&job)
    }

    async fn ship(&self, ship: &ShipArguments) -> Result<(), ClientError> {
        let mut package = json!({ "carrierName": ship.carrier, "trackingNumber": ship.tracking });
        if let Some(count) = ship.drives {
            package["driveCount"] = count.into();
        }
        let mut properties = json!({ "state": "Shipping", "deliveryPackage": package });
        if let Some(path) = &ship.return_address {
            properties["returnAddress"] = read_json(path)?;
        }
        let job = self.ask(Method::PATCH, &ship.name, &[], Some(&json!({ "properties": properties }))).await?;
        self.show(&job)
    }

    async fn correct_drive(&self, one: &DriveOfJob, to: &str) -> Result<(), ClientError> {
        let job = self.ask(Method::GET, &one.name, &[], None).await?;
        let mut drives = parse(&job)?.properties.drive_list.unwrap_or_default();
        let drive = drives.iter_mut().find(|drive| drive.drive_id.as_deref() == Some(&one.drive));
        let no_such_drive = || ClientError::Usage(format!("the job `{}` has no drive `{}`", one.name, one.drive));
        drive.ok_or_else(no_such_drive)?.drive_id = Some(to.to_owned());
        let drives: Vec<DriveStatus> = drives.iter().map(DriveStatus::of_customer).collect();
        let job = self.ask(Method::PATCH, &one.name, &[], Some(&json!({ "properties": { "driveList": drives } }))).await?;
        self.show(&job)
    }

    async fn list(&self, all: bool, filter: Option<&str>) -> Result<(), ClientError> {
        let query: Vec<(&str, &str)> = filter.map(|filter| ("$filter", filter)).into_iter().collect();
        let jobs: Vec<Value> = match all {
            true => self.service.operator_list(&["jobs"], &query, usize::MAX).await?,
            false => self.service.published_list(&self.of_subscription(), &query).await?,
        };
        let parsed = jobs.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        self.printer.document(&jobs, || jobs_text(&parsed));
        Ok(())
    }

    fn of_subscription(&self) -> Vec<&str> {
        vec!["subscriptions", &self.place.subscription, "providers", PROVIDER, "jobs"]
    }

    async fn keys(&self, name: &str) -> Result<(), ClientError> {
        let keys = self.ask(Method::POST, name, &["listBitLockerKeys"], None).await?;
        self.printer.document(&keys["value"], || {
            let row =
                |key: &Value| ["driveId", "bitLockerKey"].map(|name| key[name].as_str().unwrap_or_default().to_owned()).to_vec();
            let head = ["DRIVE", "KEY"].map(str::to_owned).to_vec();
            table(std::iter::once(head).chain(keys["value"].as_array().into_iter().flatten().map(row)).collect())
        });
        Ok(())
    }

    /// Tells how a job stands whenever that changes, until it ends; a service that restarts is waited for.
    async fn watch(&self, name: &str) -> Result<(), ClientError> {
        let watching = async {
            let mut has_seen = false;
            loop {
                match self.watch_once(name, &mut has_seen).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(ClientError::Failed(_)) if has_seen => {}
                    Err(error) => return Err(error),
                }
                tokio::time::sleep(RECONNECT).await;
            }
        };
        tokio::select! {
            ended = watching => ended,
            () = signals::first() => Ok(()),
            () = self.printer.reader_gone() => Ok(()),
        }
    }

    /// True where the job has ended; false where the service hung up.
    async fn watch_once(&self, name: &str, has_seen: &mut bool) -> Result<bool, ClientError> {
        let segments = self.segments(name, &["events"]);
        let events = self.service.events(&segments).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let (event, data) = event?;
            *has_seen = true;
            if event == "gone" {
                self.printer.line(&json!({ "gone": name }), || format!("the job `{name}` is gone\n"));
                return Ok(true);
            }
            let job: Value = serde_json::from_str(&data)
                .map_err(|error| ClientError::Failed(format!("an event is not understood: {error}")))?;
            let parsed = parse(&job)?;
            self.printer.line(&job, || watch_text(&parsed));
            if parsed.properties.state.is_some_and(JobState::is_final) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The pause before a service that hung up is asked again.
const RECONNECT: Duration = Duration::from_secs(1);

fn parse(job: &Value) -> Result<JobResponse, ClientError> {
    serde_json::from_value(job.clone()).map_err(|error| ClientError::Failed(format!("a job is not understood: {error}")))
}

fn read_json(path: &Path) -> Result<Value, ClientError> {
    let shown = path.display();
    let failed = |error: std::io::Error| ClientError::Usage(format!("`{shown}` cannot be read: {error}"));
    let mut text = String::new();
    match path == Path::new("-") {
        true => std::io::stdin().lock().read_to_string(&mut text).map(|_| ()).map_err(failed)?,
        false => text = std::fs::read_to_string(path).map_err(failed)?,
    }
    serde_json::from_str(&text).map_err(|error| ClientError::Usage(format!("`{shown}` is not JSON: {error}")))
}

fn state_text(job: &JobResponse) -> String {
    let state = job.properties.state.map(|state| state.name().to_owned()).unwrap_or_default();
    match job.properties.cancel_requested {
        Some(true) => format!("{state} (cancelled)"),
        _ => state,
    }
}

fn percent_text(percent: Option<i64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"))
}

fn jobs_text(jobs: &[JobResponse]) -> String {
    let head = ["JOB", "TYPE", "STATE", "DONE", "CHANGED", "SUBSCRIPTION", "GROUP"].map(str::to_owned).to_vec();
    let row = |job: &JobResponse| {
        let changed = job.system_data.as_ref().map(|data| data.last_modified_at);
        let changed = changed.and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok());
        vec![
            job.name.clone(),
            job.properties.job_type.map(|kind| kind.name().to_owned()).unwrap_or_default(),
            state_text(job),
            percent_text(job.properties.percent_complete),
            changed.unwrap_or_default(),
            job.id.split('/').nth(2).unwrap_or_default().to_owned(),
            job.id.split('/').nth(4).unwrap_or_default().to_owned(),
        ]
    };
    table(std::iter::once(head).chain(jobs.iter().map(row)).collect())
}

fn job_text(job: &JobResponse) -> String {
    let details = &job.properties;
    let mut text = format!("job {}: {}\n", job.name, state_text(job));
    text += &line("type", details.job_type.map(|kind| kind.name().to_owned()).unwrap_or_default());
    let account = details.storage_account_id.as_deref().and_then(|id| id.rsplit('/').next());
    text += &line("account", account.unwrap_or_default());
    if let Some(percent) = details.percent_complete {
        text += &line("done", format!("{percent}%"));
    }
    if let Some(package) = &details.delivery_package {
        text += &line("came by", format!("{} {}", package.carrier_name, package.tracking_number));
    }
    if let Some(package) = &details.return_package {
        text += &line(
            "went by",
            format!("{} {}, {}", package.carrier_name, package.tracking_number, counted(package.drive_count as usize, "drive")),
        );
    }
    if let Some(list) = &details.incomplete_blob_list_uri {
        text += &line("incomplete", format!("not every blob was exported: {list} lists the rest"));
    }
    let drives = details.drive_list.as_deref().unwrap_or_default();
    if drives.is_empty() {
        return text;
    }
    let head = ["DRIVE", "STATE", "DONE", "BYTES", "COPY"].map(str::to_owned).to_vec();
    let row = |drive: &DriveStatus| {
        vec![
            drive.drive_id.clone().unwrap_or_default(),
            drive.state.map(|state| state.name().to_owned()).unwrap_or_default(),
            percent_text(drive.percent_complete),
            drive.bytes_succeeded.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            drive.copy_status.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    text + &table(std::iter::once(head).chain(drives.iter().map(row)).collect())
}

fn watch_text(job: &JobResponse) -> String {
    let drive = |drive: &DriveStatus| {
        let id = drive.drive_id.as_deref().unwrap_or_default();
        let state = drive.state.map(|state| state.name().to_owned()).unwrap_or_default();
        format!("{id} {state} {}", percent_text(drive.percent_complete))
    };
    let drives: Vec<String> = job.properties.drive_list.iter().flatten().map(drive).collect();
    let done = percent_text(job.properties.percent_complete);
    format!("{} {} {done} [{}]\n", job.name, state_text(job), drives.join(", "))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn receipts_text(receipts: &Value) -> String {
    let mut text = String::new();
    for drive in receipts["drives"].as_array().into_iter().flatten() {
        let word = |name: &str| drive[name].as_str().unwrap_or_default();
        text += &format!("drive {}: {}\n", word("drive_id"), word("state"));
        text += &line("copy", word("copy_status"));
        let result = &drive["result"];
        if result.is_null() {
            continue;
        }
        text += &line("blob", result["blob"].as_str().unwrap_or_default());
        text += &line("size", format!("{} bytes", result["bytes_total"]));
        if let Some(root) = result["root_sha256"].as_str() {
            text += &line("root sha256", root);
        }
        let receipt = &result["receipt"];
        for (name, class) in [
            ("before", "landed_before_request"),
            ("after", "landed_after_request"),
            ("unknown", "outcome_unknown"),
            ("never sent", "never_sent"),
        ] {
            if let Some(class) = receipt.get(class) {
                let listed = class["ranges"].as_array().map_or(0, Vec::len);
                let ranges = class["ranges_total"].as_u64().map_or(listed, |total| total as usize);
                text += &line(name, format!("{} bytes in {}", class["bytes"], counted(ranges, "range")));
            }
        }
        if let Some(note) = result["note"].as_str() {
            text += &line("note", note);
        }
        if receipt.is_object() {
            text += &line(
                "left behind",
                format!("{} bytes, and nothing under the blob's name that looks complete", receipt["residue_bytes"]),
            );
        }
    }
    text
}
