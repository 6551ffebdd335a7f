//! An account of S3, or a compatible server: its buckets are containers.

use std::sync::Arc;

use async_trait::async_trait;

use super::contract::{Account, BlobItem, ListBounds};
use crate::address::S3Address;
use crate::contract::Blob;
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::error::{BlobError, BlobErrorKind};
use crate::http::network::Network;
use crate::s3::{S3Blob, S3Bucket, S3Failure, StagingPlace, named_by_staging};

#[derive(Clone)]
pub(super) struct S3Buckets {
    /// Any bucket: others are reached the same way.
    any: Arc<S3Bucket>,
    /// Bucket and key of the address mean nothing.
    address: S3Address,
    /// Where pieces are put, where that is not beside their objects.
    staging: Option<StagingPlace>,
}

impl S3Buckets {
    pub(super) fn new(address: S3Address, environment: &Environment, network: &Network) -> Result<Self, CredentialError> {
        Ok(S3Buckets { any: S3Bucket::new(&address, environment, network)?, address, staging: None })
    }

    fn at(&self, container: &str, name: &str) -> Result<S3Blob, BlobError> {
        let is_part = |part: &str| !matches!(part, "" | "." | "..");
        let is_bucket = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
        match is_part(container) && container.bytes().all(is_bucket) && name.split('/').all(is_part) {
            true => {
                let (bucket, key) = (container.to_owned(), name.to_owned());
                let address = S3Address { bucket, key, ..self.address.clone() };
                Ok(S3Blob::new(self.any.beside(container), address).with_place(self.staging.clone()))
            }
            false => {
                let message = "a bucket is one name, and a blob's name has no empty part, no `.` and no `..`";
                Err(BlobError::new(BlobErrorKind::InvalidName, "name", format!("{container}/{name}"), message))
            }
        }
    }

    fn error(&self, operation: &'static str, failure: S3Failure) -> BlobError {
        failure.into_error(operation, self.address())
    }
}

#[async_trait]
impl Account for S3Buckets {
    fn address(&self) -> String {
        match self.any.shown_endpoint() {
            Some(endpoint) => format!("s3+{}", endpoint.as_str().trim_end_matches('/')),
            None => "s3://".to_owned(),
        }
    }

    fn blob(&self, container: &str, name: &str) -> Result<Arc<dyn Blob>, BlobError> {
        Ok(Arc::new(self.at(container, name)?))
    }

    fn with_staging(&self, place: &str) -> Result<Arc<dyn Account>, BlobError> {
        let refused = |message: String| BlobError::new(BlobErrorKind::Refused, "reach", self.address(), message);
        let staging = Some(StagingPlace::of(place, &self.any).map_err(refused)?);
        Ok(Arc::new(S3Buckets { staging, ..self.clone() }))
    }

    async fn make_place(&self, container: &str, name: &str) -> Result<(), BlobError> {
        self.at(container, name)?;
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
        let beside = blob.clone().with_place(None);
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
            // What an unfinished transfer keeps is no blob yet, and a key that ends so stands for a folder.
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
