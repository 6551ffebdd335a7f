//! What every blob store promises, of Azure's: against a fake that checks, and against Azurite, which knows nothing of us.

use std::sync::Arc;

use blob::account::AccountAddress;
use blob::address::AzureAddress;
use blob::azure::{AzureAccount, AzureBlob, BlobKind, Environment, Network, SILENCE_MAX};
use blob::conformance::{TestStore, check};
use blob::{Account, Blob, BlobAddress};

use crate::support::azure_fake::AzureFake;
use crate::support::azurite::Azurite;

/// Blobs of one kind in a container of an account that is empty otherwise.
struct AzureStore {
    account: Arc<AzureAccount>,
    /// Of any blob in the container.
    address: AzureAddress,
    kind: BlobKind,
}

impl AzureStore {
    /// `blob` is the address of any blob of the container, with a signature.
    fn new(blob: &str, kind: BlobKind) -> Self {
        let Ok(BlobAddress::Azure(address)) = BlobAddress::parse(blob) else { panic!("`{blob}` is of Azure") };
        let account = AzureAccount::new(&address, &Environment::default(), &Network::direct(SILENCE_MAX)).unwrap();
        AzureStore { account, address, kind }
    }

    fn at(&self, address: AzureAddress) -> Arc<dyn Blob> {
        Arc::new(AzureBlob::new(self.account.clone(), address, self.kind))
    }
}

impl TestStore for AzureStore {
    fn blob(&self, name: &str) -> Arc<dyn Blob> {
        self.at(self.address.with_name(name.to_owned()))
    }

    fn in_missing_container(&self) -> Option<Arc<dyn Blob>> {
        Some(self.at(AzureAddress { container: "missing".to_owned(), ..self.address.clone() }))
    }

    fn account(&self) -> Option<(Arc<dyn Account>, String)> {
        let account =
            AccountAddress::Azure(self.address.clone()).reach(&Environment::default(), &Network::direct(SILENCE_MAX)).unwrap();
        Some((account, self.address.container.clone()))
    }
}

fn conforms(blob: &str, kind: BlobKind) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(check(&AzureStore::new(blob, kind)));
}

#[test]
fn block_blobs_of_the_fake_conform() {
    conforms(&AzureFake::start().blob("any"), BlobKind::Block);
}

#[test]
fn page_blobs_of_the_fake_conform() {
    conforms(&AzureFake::start().blob("any"), BlobKind::Page);
}

#[test]
fn a_store_without_crc64_conforms() {
    let fake = AzureFake::start();
    fake.set_knows_crc64(false);
    conforms(&fake.blob("any"), BlobKind::Block);
}

#[test]
fn block_blobs_of_azurite_conform() {
    let Some(azurite) = Azurite::start() else { return };
    conforms(&azurite.blob("any"), BlobKind::Block);
}

#[test]
fn page_blobs_of_azurite_conform() {
    let Some(azurite) = Azurite::start() else { return };
    conforms(&azurite.blob("any"), BlobKind::Page);
}
