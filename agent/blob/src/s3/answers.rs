//! What the documents of S3's answers say of multipart uploads. Nothing is asked here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::digest::Sha256Digest;

use crate::http::listing::{Page, decoder};
use crate::http::xml::Element;

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: u32,
    /// Without quotation marks, which not every answer has.
    pub(super) etag: String,
    pub(super) size_bytes: u64,
    /// Where the store tells it.
    pub(super) digest: Option<Sha256Digest>,
}

/// An upload of a list: its key, and its id.
pub(super) type ListedUpload = (String, String);

/// The parts of a page of their list, and whether there are more; `None` where it is not such a list.
pub(super) fn parts_of_page(list: &Element) -> Option<(Vec<Part>, bool)> {
    let part = |part: &Element| {
        Some(Part {
            number: part.number_of("PartNumber")?.try_into().ok()?,
            etag: unquoted(part.text_of("ETag")?),
            size_bytes: part.number_of("Size")?,
            digest: digest_of(part.text_of("ChecksumSHA256")),
        })
    };
    let parts: Option<Vec<Part>> = list.all("Part").map(part).collect();
    Some((parts?, list.is("IsTruncated")))
}

/// A page of a list of uploads; `None` where it is not one.
pub(super) fn uploads_of_page(list: &Element) -> Option<Page<ListedUpload, ListedUpload>> {
    let decode = decoder(list);
    let upload = |item: &Element| Some((decode(item.text_of("Key")?)?, item.text_of("UploadId")?.to_owned()));
    let items: Option<Vec<ListedUpload>> = list.all("Upload").map(upload).collect();
    let next = list.text_of("NextKeyMarker").filter(|_| list.is("IsTruncated")).and_then(&decode);
    let next_id = list.text_of("NextUploadIdMarker").unwrap_or_default().to_owned();
    Some(Page { items: items?, prefixes: Vec::new(), next: next.map(|key| (key, next_id)) })
}

/// The ETag of a part that was copied; `None` where the answer has none.
pub(super) fn etag_of_copy(result: &Element) -> Option<String> {
    result.text_of("ETag").map(unquoted)
}

pub(super) fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn digest_of(text: Option<&str>) -> Option<Sha256Digest> {
    // That of a whole object that was put together has the number of its parts behind it, and is not a digest of bytes.
    STANDARD.decode(text?).ok()?.try_into().ok().map(Sha256Digest)
}
