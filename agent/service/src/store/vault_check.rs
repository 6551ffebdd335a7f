//! Whether the key file is the one of the database: a state directory goes with its file of jobs, and with no server.

use super::address::DatabaseAddress;
use super::answered::Answered;
use super::database::{Store, has_rows, options_of_server};
use super::dialect::Dialect;
use super::error::StoreError;

/// What is sealed, and for which place.
const TEXT: &str = "drive-agent";
const PLACE: &str = "vault-check";

const INSERT: &str = "INSERT INTO vault_check (id, sealed) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
const REPLACE: &str =
    "INSERT INTO vault_check (id, sealed) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed";

impl Store {
    /// Whether a vault sealed something in the database at a server.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn server_has_vault(address: &DatabaseAddress) -> Result<bool, StoreError> {
        has_rows(Dialect::Postgres, &options_of_server(address)?, "vault_check").await
    }

    /// Whether the database at a server has jobs that a vault sealed.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn server_has_sealed_jobs(address: &DatabaseAddress) -> Result<bool, StoreError> {
        has_rows(Dialect::Postgres, &options_of_server(address)?, "job_seal").await
    }

    /// Requires that the vault is the one that sealed what is in the database; or makes it that one, where the key file is new
    /// and what was sealed before is lost.
    ///
    /// # Errors
    /// [`StoreError::OtherVault`] where it is another one; [`StoreError::SealedJobs`] where all jobs would be lost.
    pub async fn require_own_vault(&self, is_new_key: bool) -> Result<(), StoreError> {
        let sealed_jobs = sqlx::query("SELECT 1 FROM job_seal LIMIT 1");
        if is_new_key && sealed_jobs.fetch_optional(&self.pool).answered().await?.is_some() {
            return Err(StoreError::SealedJobs);
        }
        let statement = if is_new_key { REPLACE } else { INSERT };
        let sealed = self.vault.seal(TEXT, PLACE)?;
        sqlx::query(statement).bind(sealed).execute(&self.pool).answered().await?;
        let query = sqlx::query_scalar("SELECT sealed FROM vault_check WHERE id = 1");
        let sealed: Vec<u8> = query.fetch_one(&self.pool).answered().await?;
        self.vault.open_sealed(&sealed, PLACE).map(|_| ()).map_err(|_| StoreError::OtherVault)
    }
}
