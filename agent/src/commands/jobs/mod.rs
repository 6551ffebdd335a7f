//! `drive-agent jobs`
//!
//! | file | responsibility |
//! |---|---|
//! | here | what each command asks of the service |
//! | [`create`] | the body of a new job |
//! | [`watch`] | how a job stands, whenever that changes |
//! | [`text`] | answers as text |

mod create;
mod text;
mod watch;

use protocol::arm::{Address, DeliveryPackage, DriveStatus, JobResponse, UpdateJob, UpdateProperties};
use protocol::job::JobState;
use protocol::operator::{CheckIn, NeverReceived, OneDrive, OperatorJob, Retry, ReturnPackage};
use serde::Serialize;
use serde_json::json;

use self::text::{job_text, jobs_text, keys_text, receipts_text};
use crate::cli::{CreateArguments, DriveOfJob, JobPlace, JobsArguments, JobsCommand, ShipArguments};
use crate::client::{ClientError, JobPath, JobService};
use crate::commands::{answered, is_agreed};
use crate::printer::Printer;

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

async fn jobs(arguments: &JobsArguments, printer: &Printer) -> Result<(), ClientError> {
    let jobs = Jobs { service: JobService::new(&arguments.connect)?, place: &arguments.place, printer };
    match &arguments.command {
        JobsCommand::Create(create) => jobs.create(create).await,
        JobsCommand::List { all, search, filter } => jobs.list(*all, search.as_deref(), filter.as_deref()).await,
        JobsCommand::Show { name, watch: false } => {
            jobs.show(&jobs.service.job(&jobs.path_of(name)).await?);
            Ok(())
        }
        JobsCommand::Show { name, watch: true } => jobs.watch(name).await,
        JobsCommand::Ship(ship) => jobs.ship(ship).await,
        JobsCommand::CorrectDrive { one, to } => jobs.correct_drive(one, to).await,
        JobsCommand::Cancel { name } => {
            let cancel = UpdateProperties { cancel_requested: Some(true), ..UpdateProperties::default() };
            jobs.update(name, cancel).await
        }
        JobsCommand::Delete { name } => {
            jobs.service.delete_job(&jobs.path_of(name)).await?;
            printer.document(&json!({ "name": name }), || format!("the job `{name}` is gone\n"));
            Ok(())
        }
        JobsCommand::Keys { name } => {
            let keys = jobs.service.keys(&jobs.path_of(name)).await?;
            printer.document(&keys, || keys_text(&keys));
            Ok(())
        }
        JobsCommand::Receipts { name } => {
            let receipts = jobs.service.receipts(&jobs.path_of(name)).await?;
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
        false => Err(ClientError::Usage(format!("{what}: repeat the command with `--yes` to confirm it"))),
    }
}

impl Jobs<'_> {
    /// Which job is meant by its name, by `SUBSCRIPTION/GROUP/NAME`, or by its path.
    fn path_of(&self, text: &str) -> JobPath {
        let parts: Vec<&str> = text.split('/').collect();
        let [subscription, resource_group, name] = match *parts.as_slice() {
            [subscription, group, name] => [subscription, group, name],
            ["", _, subscription, _, group, _, _, _, name] => [subscription, group, name],
            _ => [&self.place.subscription, &self.place.resource_group, text],
        }
        .map(str::to_owned);
        JobPath { subscription, resource_group, name }
    }

    async fn order_drive(&self, action: &str, one: &DriveOfJob) -> Result<(), ClientError> {
        self.order(&one.name, action, &OneDrive { drive_id: one.drive.clone() }).await
    }

    async fn order(&self, name: &str, action: &str, body: &impl Serialize) -> Result<(), ClientError> {
        let job = self.path_of(name);
        let path = ["jobs", &job.subscription, &job.resource_group, &job.name, action];
        let ordered = self.service.operator_post(&path, Some(body)).await;
        let OperatorJob { job, .. } = ordered.map_err(|error| error.about(&job))?;
        self.show(&job);
        Ok(())
    }

    async fn update(&self, name: &str, properties: UpdateProperties) -> Result<(), ClientError> {
        let update = UpdateJob { tags: None, properties: Some(properties) };
        self.show(&self.service.update_job(&self.path_of(name), &update).await?);
        Ok(())
    }

    fn show(&self, job: &JobResponse) {
        self.printer.document(job, || job_text(job));
    }

    async fn create(&self, create: &CreateArguments) -> Result<(), ClientError> {
        let mut body = create::body(create, self.place)?;
        if body.get("location").is_none() {
            body["location"] = self.service.locations().await?.into_iter().next().map(|location| location.name).into();
        }
        self.show(&self.service.put_job(&self.path_of(&create.name), &body).await?);
        Ok(())
    }

    async fn ship(&self, ship: &ShipArguments) -> Result<(), ClientError> {
        let package = DeliveryPackage {
            carrier_name: ship.carrier.clone(),
            tracking_number: ship.tracking.clone(),
            drive_count: ship.drives.map(i64::from),
            ship_date: None,
        };
        let return_address: Option<Address> = ship.return_address.as_deref().map(create::read_json).transpose()?;
        let properties = UpdateProperties {
            state: Some(JobState::Shipping),
            delivery_package: Some(package),
            return_address,
            ..UpdateProperties::default()
        };
        let shipped = self.update(&ship.name, properties).await;
        shipped.map_err(|error| match ship.return_address {
            None => error.without_address(),
            Some(_) => error,
        })
    }

    async fn correct_drive(&self, one: &DriveOfJob, to: &str) -> Result<(), ClientError> {
        let job = self.service.job(&self.path_of(&one.name)).await?;
        let mut drives = job.properties.drive_list.unwrap_or_default();
        let drive = drives.iter_mut().find(|drive| drive.drive_id.as_deref() == Some(&one.drive));
        let no_such_drive = || ClientError::Usage(format!("the job `{}` has no drive `{}`", one.name, one.drive));
        drive.ok_or_else(no_such_drive)?.drive_id = Some(to.to_owned());
        let drives = drives.iter().map(DriveStatus::of_customer).collect();
        self.update(&one.name, UpdateProperties { drive_list: Some(drives), ..UpdateProperties::default() }).await
    }

    async fn list(&self, all: bool, search: Option<&str>, filter: Option<&str>) -> Result<(), ClientError> {
        let jobs: Vec<JobResponse> = match all || search.is_some() {
            true => {
                let query = [("search", search), ("$filter", filter)];
                let query: Vec<(&str, &str)> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                self.service.operator_list(&["jobs"], &query, usize::MAX).await?
            }
            false => self.service.jobs(&self.place.subscription, filter).await?,
        };
        self.printer.document(&jobs, || jobs_text(&jobs));
        Ok(())
    }
}
