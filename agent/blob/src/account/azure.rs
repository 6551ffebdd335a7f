//! An account of Azure, or of an emulator.

use std::sync::Arc;

use async_trait::async_trait;
use azure_storage_blob::models::{
    BlobContainerClientListBlobsOptions, BlobServiceClientListContainersOptions, ListBlobsIncludeItem,
};
use futures::TryStreamExt;

use super::contract::{Account, BlobItem, ListBounds};
use crate::address::AzureAddress;
use crate::azure::{AzureAccount, AzureBlob, BlobKind, is_folder};
use crate::contract::Blob;
use crate::credential_error::CredentialError;
use crate::environment::Environment;
use crate::error::{BlobError, BlobErrorKind};
use crate::http::network::Network;

pub(super) struct AzureContainers {
    account: Arc<AzureAccount>,
    address: AzureAddress,
}

impl AzureContainers {
    pub(super) fn new(address: AzureAddress, environment: &Environment, network: &Network) -> Result<Self, CredentialError> {
        Ok(AzureContainers { account: AzureAccount::new(&address, environment, network)?, address })
    }

    fn at(&self, container: &str, name: &str) -> Result<AzureAddress, BlobError> {
        let is_part = |part: &str| !matches!(part, "" | "." | "..");
        match is_part(container) && !container.contains('/') && name.split('/').all(is_part) {
            true => Ok(AzureAddress { container: container.to_owned(), name: name.to_owned(), ..self.address.clone() }),
            false => {
                let message = "a container is one name, and a blob's name has no empty part, no `.` and no `..`";
                Err(BlobError::new(BlobErrorKind::InvalidName, "name", format!("{container}/{name}"), message))
            }
        }
    }

    fn bounds(&self) -> ListBounds {
        ListBounds::new(self.address())
    }

    fn error(&self, operation: &'static str, error: &azure_core::Error) -> BlobError {
        self.account.error(operation, &self.address(), error)
    }
}

#[async_trait]
impl Account for AzureContainers {
    fn address(&self) -> String {
        self.address.endpoint.to_string().trim_end_matches('/').to_owned()
    }

    fn blob(&self, container: &str, name: &str) -> Result<Arc<dyn Blob>, BlobError> {
        Ok(Arc::new(AzureBlob::new(self.account.clone(), self.at(container, name)?, BlobKind::Block)))
    }

    async fn make_place(&self, container: &str, name: &str) -> Result<(), BlobError> {
        let address = self.at(container, name)?;
        let client = self.account.container(&address).map_err(|error| self.error("reach", &error))?;
        match client.create(None).await {
            Ok(_) => Ok(()),
            Err(error) => match self.error("make a container in", &error) {
                // It is there; or it may be, and only its making is not ours to do.
                error
                    if matches!(
                        error.kind,
                        BlobErrorKind::Denied | BlobErrorKind::NotPermitted | BlobErrorKind::AlreadyExists
                    ) =>
                {
                    Ok(())
                }
                error => Err(error),
            },
        }
    }

    async fn remove(&self, container: &str, name: &str) -> Result<bool, BlobError> {
        let blob = AzureBlob::new(self.account.clone(), self.at(container, name)?, BlobKind::Block);
        match blob.remove().await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind, BlobErrorKind::NotFound | BlobErrorKind::ContainerNotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn discard_unfinished(&self, container: &str, name: &str, _transfer_id: &str) -> Result<bool, BlobError> {
        // Blocks have no name of their own, and another transfer's may be among them.
        self.at(container, name).map(|_| false)
    }

    async fn containers(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        let client = self.account.service(&self.address).map_err(|error| self.error("reach", &error))?;
        let options = BlobServiceClientListContainersOptions {
            prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            ..Default::default()
        };
        let mut pages = client.list_containers(Some(options)).map_err(|error| self.error("list", &error))?.into_pages();
        let mut names = Vec::new();
        let mut bounds = self.bounds();
        while let Some(page) = pages.try_next().await.map_err(|error| self.error("list", &error))? {
            let page = page.into_model().map_err(|error| self.error("list", &error))?;
            let found = page.container_items.iter().filter_map(|item| item.name.as_deref());
            bounds.add_page(found, page.next_marker.as_deref())?;
            names.extend(page.container_items.into_iter().filter_map(|item| item.name));
        }
        Ok(names)
    }

    async fn blobs(&self, container: &str, prefix: &str) -> Result<Vec<BlobItem>, BlobError> {
        let address = self.at(container, container)?;
        let client = self.account.container(&address).map_err(|error| self.error("reach", &error))?;
        let options = BlobContainerClientListBlobsOptions {
            prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            include: Some(vec![ListBlobsIncludeItem::Metadata]),
            ..Default::default()
        };
        let mut pages = client.list_blobs(Some(options)).map_err(|error| self.error("list", &error))?.into_pages();
        let mut items = Vec::new();
        let mut bounds = self.bounds();
        loop {
            let page = match pages.try_next().await.map_err(|error| self.error("list", &error)) {
                Ok(Some(page)) => page.into_model().map_err(|error| self.error("list", &error))?,
                Ok(None) => return Ok(items),
                Err(error) if error.kind == BlobErrorKind::ContainerNotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let found = page.blob_items.iter().filter_map(|item| item.name.as_deref());
            bounds.add_page(found, page.next_marker.as_deref())?;
            items.extend(page.blob_items.into_iter().filter_map(|item| blob_item(container, item)));
        }
    }
}

/// A blob of a list; `None` for one that stands for a folder.
pub(super) fn blob_item(container: &str, item: azure_storage_blob::models::BlobItem) -> Option<BlobItem> {
    let size_bytes = item.properties.and_then(|properties| properties.content_length).unwrap_or(0);
    let metadata = item.metadata.and_then(|metadata| metadata.values).unwrap_or_default();
    let is_blob = !is_folder(size_bytes, metadata.iter(), None);
    item.name.filter(|_| is_blob).map(|name| BlobItem { container: container.to_owned(), name, size_bytes })
}
