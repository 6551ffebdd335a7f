//! The keys that jobs are sealed with: a new one for each job, sealed with the service's.

use super::database::Store;
use super::dialect::Dialect;
use super::error::StoreError;
use super::seal::{JobSeal, Sealer};
use crate::vault::{KEY_BYTES, SealingKey};

/// The place that the key of a job is sealed for.
fn place_of_key(job_uid: &str) -> String {
    format!("{job_uid}/key")
}

impl Store {
    /// A key for a new job.
    pub(super) fn new_seal(&self, job_uid: &str) -> Result<JobSeal, StoreError> {
        match self.dialect {
            Dialect::Sqlite => Ok(JobSeal::default()),
            Dialect::Postgres => {
                let key: [u8; KEY_BYTES] = rand::random();
                Ok(JobSeal(Some(self.vault.seal(&hex::encode(key), &place_of_key(job_uid))?)))
            }
        }
    }

    /// What seals the texts of a job.
    pub(super) fn sealer(&self, job_uid: &str, seal: &JobSeal) -> Result<Sealer, StoreError> {
        let key = match &seal.0 {
            Some(sealed) => Some(SealingKey::from_hex(&self.vault.open_sealed(sealed, &place_of_key(job_uid))?)?),
            None => None,
        };
        Ok(Sealer { key, job_uid: job_uid.to_owned() })
    }
}
