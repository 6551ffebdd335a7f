//! Which blobs an export asks for.

use std::collections::HashSet;
use std::sync::Arc;

use blob::{Account, Blob, BlobError, BlobErrorKind};
use futures::TryStreamExt;
use protocol::arm::{BlobList, Export};
use protocol::job::BlobName;
use protocol::manifest::MANIFEST_SUFFIX;
use protocol::units::ByteRange;
use quick_xml::Reader;
use quick_xml::events::Event;
use service::scheduler::worker::{SelectedBlob, WorkError};

/// Longest list of blobs in a blob: a hundred thousand names.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// Blobs of one export: ten drives take far fewer images.
const BLOBS_MAX: usize = 10_000;

fn failed(error: BlobError) -> WorkError {
    WorkError::Failed(error.to_string())
}

/// The blobs in the order of the lists, each once; manifests are not the customer's blobs.
pub(super) async fn select(account: &Arc<dyn Account>, export: &Export) -> Result<Vec<SelectedBlob>, WorkError> {
    let mut list = export.blob_list.clone().unwrap_or_default();
    if let Some(path) = &export.blob_list_blob_path {
        let name = split(path)?;
        let blob = account.blob(&name.container, &name.name).map_err(failed)?;
        let more = parse_list(&read(&*blob, path).await?)?;
        list.blob_path.extend(more.blob_path);
        list.blob_path_prefix.extend(more.blob_path_prefix);
    }
    let (mut selected, mut known): (Vec<SelectedBlob>, HashSet<(String, String)>) = Default::default();
    let mut add = |blob: BlobName, size_bytes: Option<u64>| {
        let is_new = known.insert((blob.container.clone(), blob.name.clone()));
        if is_new && !blob.name.ends_with(MANIFEST_SUFFIX) {
            selected.push(SelectedBlob { blob, size_bytes });
        }
        match selected.len() > BLOBS_MAX {
            true => Err(WorkError::Refused(format!("the export asks for more than {BLOBS_MAX} blobs"))),
            false => Ok(()),
        }
    };
    for path in &list.blob_path {
        let name = split(path)?;
        let blob = account.blob(&name.container, &name.name).map_err(failed)?;
        let size_bytes = match blob.head().await {
            Ok(facts) => facts.map(|facts| facts.size_bytes),
            Err(error) if error.kind == BlobErrorKind::ContainerNotFound => None,
            Err(error) => return Err(failed(error)),
        };
        add(name, size_bytes)?;
    }
    for prefix in &list.blob_path_prefix {
        // `/` all, `/book` containers that begin so, `/music/love` blobs of a container.
        let prefix = prefix.trim_start_matches('/');
        let (containers, names) = match prefix.split_once('/') {
            Some((container, names)) => (vec![container.to_owned()], names),
            None => (account.containers(prefix).await.map_err(failed)?, ""),
        };
        for container in containers {
            for item in account.blobs(&container, names).await.map_err(failed)? {
                add(BlobName { container: item.container, name: item.name }, Some(item.size_bytes))?;
            }
        }
    }
    Ok(selected)
}

/// `CONTAINER/NAME`, with or without a slash before it.
fn split(path: &str) -> Result<BlobName, WorkError> {
    let parts =
        path.trim_start_matches('/').split_once('/').filter(|(container, name)| !container.is_empty() && !name.is_empty());
    let (container, name) = parts.ok_or_else(|| WorkError::Refused(format!("`{path}` is no `/CONTAINER/NAME`")))?;
    Ok(BlobName { container: container.to_owned(), name: name.to_owned() })
}

/// The list at `path`, as the job names it: where that is at the station is not shown.
async fn read(blob: &dyn Blob, path: &str) -> Result<Vec<u8>, WorkError> {
    let facts = blob.head().await.map_err(failed)?;
    let facts = facts.ok_or_else(|| WorkError::Refused(format!("the list of blobs `{path}` is not there")))?;
    if facts.size_bytes > LIST_BYTES_MAX {
        return Err(WorkError::Refused(format!("the list of blobs `{path}` is longer than {LIST_BYTES_MAX} bytes")));
    }
    let body = blob.read(ByteRange::new(0, facts.size_bytes), &facts.version, false).await.map_err(failed)?;
    let (mut pieces, mut list) = (body.pieces, Vec::new());
    while let Some(piece) = pieces.try_next().await.map_err(failed)? {
        // A store may send more than was asked for.
        if (list.len() + piece.len()) as u64 > facts.size_bytes {
            return Err(WorkError::Failed("the storage account sends more of the list of blobs than it has".to_owned()));
        }
        list.extend_from_slice(&piece);
    }
    Ok(list)
}

/// Understands `<BlobList><BlobPath>…</BlobPath><BlobPathPrefix>…</BlobPathPrefix></BlobList>`.
pub(crate) fn parse_list(bytes: &[u8]) -> Result<BlobList, WorkError> {
    let wrong = |what: &str| WorkError::Refused(format!("the list of blobs is not a BlobList: {what}"));
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let (mut list, mut element, mut content, mut has_root) = (BlobList::default(), None, String::new(), false);
    loop {
        match reader.read_event().map_err(|error| wrong(&error.to_string()))? {
            Event::Start(start) => match start.local_name().as_ref() {
                b"BlobList" => has_root = true,
                name @ (b"BlobPath" | b"BlobPathPrefix") if has_root => {
                    element = Some(name == b"BlobPath");
                    content.clear();
                }
                _ => return Err(wrong("it has other elements")),
            },
            Event::Text(part) => content.push_str(&part.decode().map_err(|error| wrong(&error.to_string()))?),
            Event::GeneralRef(name) => content.push(reference(&name).ok_or_else(|| wrong("it has an unknown entity"))?),
            Event::CData(part) => content.push_str(&String::from_utf8_lossy(&part)),
            Event::End(_) => {
                if let Some(is_path) = element.take() {
                    let path = content.trim().to_owned();
                    if path.is_empty() {
                        return Err(wrong("a path is empty"));
                    }
                    if is_path { list.blob_path.push(path) } else { list.blob_path_prefix.push(path) }
                }
            }
            Event::Empty(element) if element.local_name().as_ref() == b"BlobList" => has_root = true,
            Event::Empty(_) => return Err(wrong("it has other elements")),
            Event::Eof if has_root => return Ok(list),
            Event::Eof => return Err(wrong("it is empty")),
            _ => {}
        }
    }
}

fn reference(name: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    let text: &[u8] = name;
    match text {
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        _ => name.resolve_char_ref().ok().flatten(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_blobs_are_understood() {
        let text = "\u{feff}<?xml version=\"1.0\"?>\n<BlobList>\n <BlobPath>pictures/a &amp; b&#33;.jpg</BlobPath>\n \
                    <BlobPathPrefix>/vhds/</BlobPathPrefix>\n</BlobList>";
        let list = parse_list(text.as_bytes()).unwrap();
        assert_eq!((list.blob_path, list.blob_path_prefix), (vec!["pictures/a & b!.jpg".into()], vec!["/vhds/".into()]));
        for bad in ["", "<x/>", "<BlobList><Other/></BlobList>", "<BlobList><BlobPath> </BlobPath></BlobList>", "<BlobList>"] {
            let is_refused = matches!(parse_list(bad.as_bytes()), Err(WorkError::Refused(_)));
            assert!(is_refused || bad == "<BlobList>", "{bad}");
        }
        assert!(split("container").is_err() && split("//").is_err());
    }
}
