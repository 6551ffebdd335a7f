//! An account of S3, or a compatible server: its buckets are containers.

use std::sync::Arc;

use async_trait::async_trait;

use super::buckets::{BlobList, made, named, require_names, was_removed};
use super::contract::{Account, BlobItem};
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
        require_names(container, name)?;
        let (bucket, key) = (container.to_owned(), name.to_owned());
        let address = S3Address { bucket, key, ..self.address.clone() };
        Ok(S3Blob::new(self.any.beside(container), address).with_place(self.staging.clone()))
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
        made(self.any.beside(container).create().await.map_err(|failure| self.error("make a bucket in", failure)))
    }

    async fn remove(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        let blob = self.at(container, name)?;
        let removing = async {
            match blob.head().await? {
                Some(_) => blob.remove().await.map(|()| true),
                None => Ok(false),
            }
        };
        was_removed(removing.await)
    }

    async fn discard_unfinished(&self, container: &str, name: &str, transfer_id: &str) -> Result<bool, BlobError> {
        let blob = self.at(container, name)?;
        // It may have begun before a place for pieces was named.
        let beside = blob.clone().with_place(None);
        let mut had_any = false;
        for blob in [Some(blob), self.staging.is_some().then_some(beside)].into_iter().flatten() {
            had_any |= was_removed(blob.discard_left_by(transfer_id).await)?;
        }
        Ok(had_any)
    }

    async fn containers(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        let names = self.any.buckets().await.map_err(|failure| self.error("list", failure))?;
        named(names, prefix, self.address())
    }

    async fn blobs(&self, container: &str, prefix: &str) -> Result<Vec<BlobItem>, BlobError> {
        let bucket = self.any.beside(container);
        let mut list = BlobList::new(container, self.address());
        loop {
            let page = bucket.list(prefix, "", list.from.as_deref()).await;
            if !list.add(page.map_err(|failure| self.error("list", failure)), named_by_staging)? {
                return Ok(list.items);
            }
        }
    }
}
