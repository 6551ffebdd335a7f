//! Looking at a blob that may be written: the right to write it need not come with the right to look.

use blob::{Blob, BlobErrorKind, BlobFacts};

use crate::error::CopyError;
use crate::flow::attempts::Attempts;

/// What is known of a blob; `None` where the credentials do not permit to look.
pub(crate) async fn look_if_permitted(blob: &dyn Blob, attempts: &Attempts) -> Result<Option<Option<BlobFacts>>, CopyError> {
    match attempts.run("look at", 0, || blob.head()).await.map_err(CopyError::from) {
        Ok((facts, _)) => Ok(Some(facts)),
        Err(error) if error.store_kind() == Some(BlobErrorKind::NotPermitted) => Ok(None),
        Err(error) => Err(error),
    }
}
