//! Documents of a job in its storage account: where they are, how they are opened, and the list of what was not
//! exported.

use protocol::job::BlobName;
use protocol::manifest::MANIFEST_SUFFIX;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::handle::Scheduler;
use super::order::account_of;
use super::worker::{Document, SelectedBlob, WorkError, with_timeout};
use crate::store::StoredJob;

/// A document that the copy of a drive left in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriveDocument {
    /// The manifest beside the blob.
    Manifest,
    /// What went wrong.
    ErrorLog,
    /// Every chunk.
    VerboseLog,
}

impl Scheduler {
    /// Begins to read a document about a drive of a job; `None` where there is none.
    ///
    /// # Errors
    /// When the store did not answer.
    pub(crate) async fn open_document(
        &self,
        job: &StoredJob,
        drive_id: &str,
        which: DriveDocument,
    ) -> Result<Option<Document>, WorkError> {
        let (worker, account) = (&self.inner.worker, account_of(&job.details));
        let place = job.copies.get(drive_id).and_then(|record| {
            let place_of = |address: &Option<String>| worker.place_of(account, address.as_deref()?);
            match which {
                DriveDocument::Manifest => {
                    let BlobName { container, name } = record.blob.clone()?;
                    Some(BlobName { container, name: name + MANIFEST_SUFFIX })
                }
                DriveDocument::ErrorLog => place_of(&record.logs.error),
                DriveDocument::VerboseLog => place_of(&record.logs.verbose),
            }
        });
        let Some(place) = place else { return Ok(None) };
        with_timeout(worker.open_document(account, &place)).await
    }
}

/// A list of the blobs that no drive took, as the next job takes it; `None` where there are none.
pub(super) fn incomplete_list(job: &StoredJob, selected: &[SelectedBlob]) -> Option<String> {
    let is_taken = |one: &&SelectedBlob| {
        job.copies.values().any(|record| {
            record.blob.as_ref() == Some(&one.blob) && record.result.as_ref().is_some_and(|result| result.outcome.is_complete())
        })
    };
    let left: Vec<&SelectedBlob> = selected.iter().filter(|one| !is_taken(one)).collect();
    if left.is_empty() {
        return None;
    }
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let _ = writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)));
    let list = writer.create_element("BlobList").write_inner_content(|writer| {
        for SelectedBlob { blob, .. } in left {
            let path = format!("{}/{}", blob.container, blob.name);
            writer.create_element("BlobPath").write_text_content(BytesText::new(&path))?;
        }
        Ok(())
    });
    // Writing into memory does not fail.
    list.ok().and_then(|writer| String::from_utf8(std::mem::take(writer.get_mut())).ok())
}
