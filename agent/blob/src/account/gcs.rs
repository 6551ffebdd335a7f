//! The buckets of a project of Google Cloud Storage, or of an emulator: they are containers.

use std::sync::Arc;

use async_trait::async_trait;

use super::contract::{Account, BlobItem, ListBounds};
use crate::address::GcsAddress;
use crate::contract::Blob;
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::error::{BlobError, BlobErrorKind};
use crate::gcs::{GcsBlob, GcsBucket, GcsFailure, folder_of, named_by_staging};
use crate::http::network::Network;
use crate::staging_address::StagingAddress;

#[derive(Clone)]
pub(super) struct GcsBuckets {
    /// Any bucket: others are reached the same way.
    any: Arc<GcsBucket>,
    /// Bucket and name of the address mean nothing.
    address: GcsAddress,
    /// The bucket with a folder that the pieces of its objects are put into, and that folder.
    staging: Option<(String, String)>,
}

impl GcsBuckets {
    pub(super) fn new(address: GcsAddress, environment: &Environment, network: &Network) -> Result<Self, CredentialError> {
        Ok(GcsBuckets { any: GcsBucket::new(&address, environment, network)?, address, staging: None })
    }

    fn at(&self, container: &str, name: &str) -> Result<GcsBlob, BlobError> {
        let is_part = |part: &str| !matches!(part, "" | "." | "..");
        let is_bucket = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
        match is_part(container) && container.bytes().all(is_bucket) && name.split('/').all(is_part) {
            true => {
                let (bucket, name) = (container.to_owned(), name.to_owned());
                let address = GcsAddress { bucket, name, ..self.address.clone() };
                let folder = self.staging.as_ref().filter(|(bucket, _)| bucket == container).map(|(_, folder)| folder.clone());
                Ok(GcsBlob::new(self.any.beside(container), address).with_folder(folder))
            }
            false => {
                let message = "a bucket is one name, and a blob's name has no empty part, no `.` and no `..`";
                Err(BlobError::new(BlobErrorKind::InvalidName, "name", format!("{container}/{name}"), message))
            }
        }
    }

    fn error(&self, operation: &'static str, failure: GcsFailure) -> BlobError {
        failure.into_error(operation, self.address())
    }
}

#[async_trait]
impl Account for GcsBuckets {
    fn address(&self) -> String {
        match self.any.shown_endpoint() {
            Some(endpoint) => format!("gs+{}", endpoint.as_str().trim_end_matches('/')),
            None => "gs://".to_owned(),
        }
    }

    fn blob(&self, container: &str, name: &str) -> Result<Arc<dyn Blob>, BlobError> {
        Ok(Arc::new(self.at(container, name)?))
    }

    fn with_staging(&self, place: &str) -> Result<Arc<dyn Account>, BlobError> {
        let refused = |message: String| BlobError::new(BlobErrorKind::Refused, "reach", self.address(), message);
        let bucket = match StagingAddress::parse(place) {
            Ok(StagingAddress::Gcs(address)) => address.bucket,
            Ok(other) => return Err(refused(format!("`{other}` is of another store: write gs://BUCKET/FOLDER"))),
            Err(error) => return Err(refused(error.to_string())),
        };
        let any = GcsAddress { bucket: bucket.clone(), ..self.address.clone() };
        let folder = folder_of(place, &any, &self.any).map_err(refused)?;
        Ok(Arc::new(GcsBuckets { staging: Some((bucket, folder)), ..self.clone() }))
    }

    async fn make_place(&self, container: &str, name: &str) -> Result<(), BlobError> {
        self.at(container, name)?;
        // A bucket is made in a project: where none is named it is there already, or the upload says that it is not.
        if !self.any.has_project() {
            return Ok(());
        }
        match self.any.beside(container).create().await.map_err(|failure| self.error("make a bucket in", failure)) {
            // It is there; or it may be, and only its making is not ours to do.
            Err(error) if matches!(error.kind, BlobErrorKind::NotPermitted | BlobErrorKind::AlreadyExists) => Ok(()),
            other => other,
        }
    }

    async fn remove(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        let blob = self.at(container, name)?;
        match blob.head().await {
            Ok(None) => Ok(false),
            Ok(Some(_)) => blob.remove().await.map(|()| true),
            Err(error) if error.kind == BlobErrorKind::ContainerNotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn discard_unfinished(&self, container: &str, name: &str, transfer_id: &str) -> Result<bool, BlobError> {
        let blob = self.at(container, name)?;
        // It may have begun before a place for pieces was named.
        let beside = blob.clone().with_folder(None);
        let mut had_any = false;
        for blob in [Some(blob), self.staging.is_some().then_some(beside)].into_iter().flatten() {
            had_any |= match blob.discard_left_by(transfer_id).await {
                Err(error) if error.kind == BlobErrorKind::ContainerNotFound => false,
                other => other?,
            };
        }
        Ok(had_any)
    }

    async fn containers(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        if !self.any.has_project() {
            let message = "buckets are listed for a project: set GOOGLE_CLOUD_PROJECT to it";
            return Err(BlobError::new(BlobErrorKind::Refused, "list", self.address(), message));
        }
        let mut names = self.any.buckets().await.map_err(|failure| self.error("list", failure))?;
        ListBounds::new(self.address()).add_page(names.iter().map(String::as_str), None)?;
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        Ok(names)
    }

    async fn blobs(&self, container: &str, prefix: &str) -> Result<Vec<BlobItem>, BlobError> {
        let bucket = self.any.beside(container);
        let mut bounds = ListBounds::new(self.address());
        let mut items = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let page = match bucket.list(prefix, "", from.as_deref()).await.map_err(|failure| self.error("list", failure)) {
                Err(error) if error.kind == BlobErrorKind::ContainerNotFound => return Ok(Vec::new()),
                page => page?,
            };
            bounds.add_page(page.items.iter().map(|item| &*item.key), page.next.as_deref())?;
            // What an unfinished transfer keeps is no blob yet, and a name that ends so stands for a folder.
            let listed = page.items.into_iter().filter(|item| !named_by_staging(&item.key) && !item.key.ends_with('/'));
            items.extend(listed.map(|item| BlobItem {
                container: container.to_owned(),
                name: item.key,
                size_bytes: item.size_bytes,
            }));
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(items),
            }
        }
    }
}
