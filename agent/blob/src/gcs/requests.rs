//! The requests that are sent to a bucket, each once, and what their answers say.

use azure_core::http::Method;
use azure_core::http::headers::Headers;
use bytes::Bytes;

use super::bucket::{Asked, GcsBucket, HeaderList};
use super::crc32c::Crc32c;
use super::error::GcsFailure;
use crate::http::answers::header;
use crate::http::listing::{Listed, Page, objects_of_page};
use crate::http::xml::written;

/// Most objects that are taken for those of one transfer: some for each of its chunks.
const LISTED_MAX: usize = 3_000_000;

/// What the requests need, as roles name it.
const CREATE: &str = "storage.objects.create";
const REPLACE: &str = "storage.objects.create and storage.objects.delete";
const COMPOSE: &str = "storage.objects.create and storage.objects.get";
/// Without the right to list, the store denies what is not there ("Troubleshooting").
const GET: &str = "storage.objects.get and storage.objects.list";
const LIST: &str = "storage.objects.list";
const DELETE: &str = "storage.objects.delete";

/// What a write may replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Whatever has the name, or nothing.
    Anything,
    /// Nothing: the name is free.
    Nothing,
    /// This generation, and no other.
    Version(String),
}

impl Condition {
    /// Zero stands for no object ("x-goog-if-generation-match").
    fn header(&self) -> Option<String> {
        match self {
            Condition::Anything => None,
            Condition::Nothing => Some("0".to_owned()),
            Condition::Version(version) => Some(version.clone()),
        }
    }

    fn permission(&self, otherwise: &'static str) -> &'static str {
        if matches!(self, Condition::Nothing) { otherwise } else { REPLACE }
    }
}

/// An object, as an answer tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) version: String,
    /// Where the answer tells it.
    pub(super) checksum: Option<Crc32c>,
}

impl Stored {
    fn of(headers: &Headers) -> Result<Self, GcsFailure> {
        let version = header(headers, "x-goog-generation").ok_or(GcsFailure::NotUnderstood)?;
        Ok(Stored { version: version.to_owned(), checksum: checksum_of(headers) })
    }
}

/// The CRC32C that an answer tells of an object.
pub(super) fn checksum_of(headers: &Headers) -> Option<Crc32c> {
    Crc32c::of_header(header(headers, "x-goog-hash")?)
}

/// How many bytes the store keeps of an object: what a reader gets may be fewer or more, where they are compressed.
pub(super) fn length_of(headers: &Headers) -> Option<u64> {
    header(headers, "x-goog-stored-content-length").or_else(|| header(headers, "content-length"))?.parse().ok()
}

impl GcsBucket {
    /// Stores an object whole. The server compares the checksum with what came.
    pub(super) async fn put(
        &self,
        name: &str,
        body: Bytes,
        checksum: Crc32c,
        headers: HeaderList,
        condition: &Condition,
    ) -> Result<Stored, GcsFailure> {
        let asked = Asked { body, headers, ..Asked::new(Method::Put, name, &[], condition.permission(CREATE)) };
        let asked = asked.with("x-goog-hash", Some(checksum.header())).with("x-goog-if-generation-match", condition.header());
        Stored::of(&self.ask(asked).await?.headers)
    }

    /// Makes an object of others, in this order: 32 at most, of the same bucket and the same class, and one may come more than
    /// once ("Compose an object").
    pub(super) async fn compose(
        &self,
        name: &str,
        sources: &[String],
        headers: HeaderList,
        condition: &Condition,
    ) -> Result<Stored, GcsFailure> {
        let components = sources.iter().map(|source| format!("<Component>{}</Component>", written("Name", source)));
        let body = format!("<ComposeRequest>{}</ComposeRequest>", components.collect::<String>());
        let query = [("compose", "")];
        let asked = Asked { body: body.into(), headers, ..Asked::new(Method::Put, name, &query, condition.permission(COMPOSE)) };
        let asked = asked.with("x-goog-if-generation-match", condition.header());
        Stored::of(&self.ask(asked).await?.headers)
    }

    /// The headers of an object; `None` where there is none.
    pub(super) async fn headers_of(&self, name: &str) -> Result<Option<Headers>, GcsFailure> {
        // What is compressed is told as it is stored ("Transcoding of gzip-compressed files").
        let asked = Asked::new(Method::Head, name, &[], GET).with("accept-encoding", Some("gzip".to_owned()));
        match self.ask(asked).await {
            Ok(answer) => Ok(Some(answer.headers)),
            Err(failure) if failure.status() == 404 => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Length and rest of an object; `None` where there is none.
    pub(super) async fn stored(&self, name: &str) -> Result<Option<(u64, Stored)>, GcsFailure> {
        let Some(headers) = self.headers_of(name).await? else { return Ok(None) };
        let length = length_of(&headers).ok_or(GcsFailure::NotUnderstood)?;
        Ok(Some((length, Stored::of(&headers)?)))
    }

    /// A range of an object as it is stored.
    pub(super) fn range<'asked>(name: &'asked str, range: String) -> Asked<'asked> {
        let asked = Asked::new(Method::Get, name, &[], GET);
        asked.with("range", Some(range)).with("accept-encoding", Some("gzip".to_owned()))
    }

    /// Removes an object. One that is gone is not a failure.
    pub(super) async fn delete(&self, name: &str, version: Option<&str>) -> Result<(), GcsFailure> {
        let asked = Asked::new(Method::Delete, name, &[], DELETE);
        match self.ask(asked.with("x-goog-if-generation-match", version.map(str::to_owned))).await {
            Err(failure) if failure.status() == 404 && failure.code() != "NoSuchBucket" => Ok(()),
            other => other.map(drop),
        }
    }

    /// A page of the objects below a prefix.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        delimiter: &str,
        from: Option<&str>,
    ) -> Result<Page<Listed, String>, GcsFailure> {
        let mut query = vec![("list-type", "2"), ("prefix", prefix), ("encoding-type", "url")];
        query.extend((!delimiter.is_empty()).then_some(("delimiter", delimiter)));
        query.extend(from.map(|token| ("continuation-token", token)));
        let answer = self.ask(Asked::new(Method::Get, "", &query, LIST)).await?.document()?;
        objects_of_page(&answer).ok_or(GcsFailure::NotUnderstood)
    }

    /// All objects below a prefix.
    pub(super) async fn all_objects(&self, prefix: &str) -> Result<Vec<Listed>, GcsFailure> {
        let mut all = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let page = self.list(prefix, "", from.as_deref()).await?;
            all.extend(page.items.into_iter().filter(|object| object.key.starts_with(prefix)));
            if all.len() > LISTED_MAX {
                return Err(GcsFailure::NotUnderstood);
            }
            match page.next.filter(|next| from.as_ref() != Some(next)) {
                Some(next) => from = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// The names of the buckets of the project.
    pub(crate) async fn buckets(&self) -> Result<Vec<String>, GcsFailure> {
        let asked = Asked { is_of_project: true, ..Asked::new(Method::Get, "", &[], "storage.buckets.list") };
        let answer = self.ask(asked.with("x-goog-project-id", self.project.clone())).await?.document()?;
        let buckets = answer.all("Buckets").flat_map(|buckets| buckets.all("Bucket"));
        Ok(buckets.filter_map(|bucket| bucket.text_of("Name").map(str::to_owned)).collect())
    }

    /// Makes the bucket, in the project that is named. One that is there already is no failure.
    pub(crate) async fn create(&self) -> Result<(), GcsFailure> {
        let asked = Asked::new(Method::Put, "", &[], "storage.buckets.create");
        match self.ask(asked.with("x-goog-project-id", self.project.clone())).await {
            Err(failure) if failure.status() == 409 => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether a project is named whose buckets can be made.
    pub(crate) fn has_project(&self) -> bool {
        self.project.is_some()
    }
}
