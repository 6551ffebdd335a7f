//! Shipping: the customer's parcel to the datacenter, and the station's parcel back.

use protocol::arm::{Address, DeliveryPackage, Package, UpdateJob, UpdateProperties};
use protocol::job::{Event, JobDrive, JobState};
use protocol::operator::ReturnPackage;
use time::format_description::well_known::Rfc3339;

use super::error::JobError;
use super::service::Jobs;
use crate::store::{Actor, JobKey, Precondition, StoredJob};

/// Longest text about a parcel that goes back, in bytes.
const RETURN_TEXT_BYTES_MAX: usize = 256;

impl Jobs {
    /// The customer's drives are on their way.
    ///
    /// # Errors
    /// When a field is wrong, or the job is not Creating.
    pub(crate) async fn ship(
        &self,
        actor: &Actor,
        key: &JobKey,
        package: DeliveryPackage,
        return_address: Address,
    ) -> Result<StoredJob, JobError> {
        let properties = UpdateProperties {
            state: Some(JobState::Shipping),
            delivery_package: Some(package),
            return_address: Some(return_address),
            ..UpdateProperties::default()
        };
        self.update(actor, key, UpdateJob { tags: None, properties: Some(properties) }, Precondition::default()).await
    }

    /// All drives of a job went back.
    ///
    /// # Errors
    /// When the job is not in Packaging.
    pub(crate) async fn ship_back(&self, actor: &Actor, key: &JobKey, package: &ReturnPackage) -> Result<StoredJob, JobError> {
        for (name, text) in [("carrierName", &package.carrier_name), ("trackingNumber", &package.tracking_number)] {
            if text.trim().is_empty() || text.len() > RETURN_TEXT_BYTES_MAX || !text.chars().all(protocol::text::is_displayed) {
                return Err(JobError::Refused(format!("`{name}` is 1 to {RETURN_TEXT_BYTES_MAX} bytes of plain text")));
            }
        }
        let ship_date = self.scheduler.now().format(&Rfc3339).unwrap_or_default();
        let change = self.change(actor, "sent drives back");
        let changed = self.store.change(key, &change, |job| {
            let was_here = |drive: &&JobDrive| !drive.state.is_final();
            let drive_count = job.machine.drives.iter().filter(was_here).count();
            job.details.return_package = Some(Package {
                carrier_name: package.carrier_name.clone(),
                tracking_number: package.tracking_number.clone(),
                drive_count: i64::try_from(drive_count).unwrap_or_default(),
                ship_date,
            });
            Ok(vec![Event::ShippedBack])
        });
        let job = changed.await?;
        self.scheduler.wake();
        Ok(job)
    }
}
