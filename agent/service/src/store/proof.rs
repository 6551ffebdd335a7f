//! Whether a change was committed whose answer was lost.

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;

/// The entry of the audit log that a change wrote: where it is there, the change was committed.
pub(super) struct Proof {
    /// The number of the transaction, where the engine has one.
    pub(super) number: Option<String>,
    pub(super) id: i64,
    pub(super) at: i64,
    pub(super) actor: String,
    pub(super) action: String,
}

impl Store {
    /// Whether an entry is there.
    pub(super) async fn has_entry(&self, proof: &Proof) -> Result<bool, StoreError> {
        // A server that took over, or recovered, may have given its number to another one.
        let query = sqlx::query("SELECT id FROM audit WHERE id = $1 AND at = $2 AND actor = $3 AND action = $4");
        let query = query.bind(proof.id).bind(proof.at).bind(&proof.actor).bind(&proof.action);
        Ok(query.fetch_optional(&self.pool).answered().await?.is_some())
    }
}
