//! The buckets of a project of Google Cloud Storage, or of an emulator: they are containers.

use std::sync::Arc;

use async_trait::async_trait;

use super::buckets::{BlobList, made, named, require_names, was_removed};
use super::contract::{Account, BlobItem};
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
        require_names(container, name)?;
        let (bucket, name) = (container.to_owned(), name.to_owned());
        let address = GcsAddress { bucket, name, ..self.address.clone() };
        let folder = self.staging.as_ref().filter(|(bucket, _)| bucket == container).map(|(_, folder)| folder.clone());
        Ok(GcsBlob::new(self.any.beside(container), address).with_folder(folder))
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
        let beside = blob.clone().with_folder(None);
        let mut had_any = false;
        for blob in [Some(blob), self.staging.is_some().then_some(beside)].into_iter().flatten() {
            had_any |= was_removed(blob.discard_left_by(transfer_id).await)?;
        }
        Ok(had_any)
    }

    async fn containers(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        if !self.any.has_project() {
            let message = "buckets are listed for a project: set GOOGLE_CLOUD_PROJECT to it";
            return Err(BlobError::new(BlobErrorKind::Refused, "list", self.address(), message));
        }
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
