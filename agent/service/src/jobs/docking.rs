//! Docking drives and taking them out by hand, in bays that are not watched.

use protocol::arm::is_drive_id;
use protocol::station::DockedDrive;

use super::error::JobError;
use super::service::Jobs;
use crate::store::Actor;

impl Jobs {
    /// Docks a drive by hand.
    ///
    /// # Errors
    /// When the bay is taken or watched, or there is no such drive.
    pub(crate) async fn dock(
        &self,
        actor: &Actor,
        bay: &str,
        path: &str,
        drive_id: Option<&str>,
    ) -> Result<DockedDrive, JobError> {
        if let Some(id) = drive_id.filter(|id| !is_drive_id(id) || id.is_empty()) {
            return Err(JobError::Refused(format!("`{id}` cannot be the name of a drive: letters, digits and `-_.+:=`")));
        }
        let docked = self.scheduler.worker().dock(bay, path, drive_id).await?;
        self.store.note(&actor.name, &format!("docked a drive by hand in {bay}"), self.scheduler.now()).await?;
        self.scheduler.wake();
        Ok(docked)
    }

    /// Takes a drive out of a bay by hand.
    ///
    /// # Errors
    /// When it is copied, or was not docked by hand.
    pub(crate) async fn undock(&self, actor: &Actor, bay: &str) -> Result<(), JobError> {
        if self.scheduler.is_running_in(bay) {
            return Err(JobError::Refused(format!("the drive in `{bay}` is being copied: pause it first")));
        }
        self.scheduler.worker().undock(bay).await?;
        self.store.note(&actor.name, &format!("took a drive out of {bay} by hand"), self.scheduler.now()).await?;
        self.scheduler.wake();
        Ok(())
    }
}
