//! In which a service decides: whatever it does is refused when another one has taken over.

use std::sync::{Mutex, PoisonError};

use sqlx::AnyConnection;
use tokio_util::sync::CancellationToken;

use super::answered::Answered;
use super::error::StoreError;
use crate::moment::Moment;

/// A term of this service.
pub(super) struct Term {
    pub(super) number: i64,
    pub(super) holder: String,
    /// When the last renewal that was answered was sent.
    pub(super) renewed: Mutex<Moment>,
    pub(super) lost: CancellationToken,
}

impl Term {
    pub(super) fn renewed(&self) -> Moment {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a change where another service decides; from here to the end of the transaction none takes over.
    pub(super) async fn require(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let number = sqlx::query_scalar("SELECT number FROM service_term WHERE id = 1 FOR SHARE");
        let number: i64 = number.fetch_one(connection).answered().await?;
        if number == self.number {
            return Ok(());
        }
        self.lost.cancel();
        Err(StoreError::TakenOver)
    }
}
