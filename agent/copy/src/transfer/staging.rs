//! Where an import puts what is not its blob yet: where that was asked for, and once it was begun, where its journal says.

use std::collections::HashSet;
use std::sync::Arc;

use blob::BlobErrorKind::{ContainerNotFound, NotPermitted, Refused};
use blob::{Blob, BlobError, LeftBy};
use protocol::manifest::Header;

use crate::call::options::TransferOptions;
use crate::error::CopyError;
use crate::flow::attempts::Attempts;

/// The blob with its pieces where that was asked for.
pub(crate) fn as_asked(blob: Arc<dyn Blob>, options: &TransferOptions) -> Result<Arc<dyn Blob>, CopyError> {
    Ok(match &options.staging {
        Some(place) => blob.with_staging(Some(place))?,
        None => blob,
    })
}

/// The same for an import that is resumed: its pieces are where it was begun.
///
/// # Errors
/// Where another place was asked for.
pub(crate) fn as_begun(asked: Arc<dyn Blob>, header: &Header, options: &TransferOptions) -> Result<Arc<dyn Blob>, CopyError> {
    let begun = elsewhere(&*asked, header)?;
    match (&begun, &options.staging) {
        (Some(_), Some(place)) => {
            let recorded = header.made_as.staging.as_ref();
            let how =
                recorded.map_or_else(|| "without `--staging`".to_owned(), |recorded| format!("with `--staging {recorded}`"));
            Err(CopyError::Usage(format!(
                "the transfer was begun {how}, where its pieces are, and `{place}` is asked for now: leave out `--staging` to resume it, or start over with `--restart`"
            )))
        }
        _ => Ok(begun.unwrap_or(asked)),
    }
}

/// The blob with the pieces where the transfer of this header has them; `None` where that is the blob that is given.
pub(crate) fn elsewhere(blob: &dyn Blob, header: &Header) -> Result<Option<Arc<dyn Blob>>, BlobError> {
    let recorded = header.made_as.staging.as_deref();
    match blob.staging().as_deref() == recorded {
        true => Ok(None),
        false => blob.with_staging(recorded).map(Some),
    }
}

/// Removes the pieces of the transfer that is started over, where the new one's are elsewhere: while a journal still leads there.
/// Where that is not permitted they stay, and are told of: another place is asked for because the old one was of no use.
pub(crate) async fn discard_elsewhere(blob: &dyn Blob, replaced: &Header, attempts: &Attempts) -> Result<(), CopyError> {
    let Some(blob) = elsewhere(blob, replaced)? else { return Ok(()) };
    let recorded = HashSet::new();
    let left = LeftBy { transfer_id: &replaced.transfer_id, landed_bytes: 0, recorded: &recorded };
    let removed = attempts.run("remove what is left of", 0, || blob.discard(left)).await.map_err(CopyError::from);
    match removed {
        Err(error) if matches!(error.store_kind(), Some(NotPermitted | Refused | ContainerNotFound)) => {
            attempts.handle.warn(format!("what the transfer left that is started over stays where it was put: {error}"));
            Ok(())
        }
        other => other.map(drop),
    }
}
