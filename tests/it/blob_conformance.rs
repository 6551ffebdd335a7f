//! What every blob store promises, of Azure's: against a fake that checks, and against Azurite, which knows nothing of us.

use std::sync::Arc;

use blob::account::AccountAddress;
use blob::address::{AzureAddress, GcsAddress, S3Address};
use blob::azure::{AzureAccount, AzureBlob, BlobKind};
use blob::conformance::{TestStore, check};
use blob::gcs::{GcsBlob, GcsBucket};
use blob::http::{Network, SILENCE_MAX};
use blob::s3::{S3Blob, S3Bucket, Sizes};
use blob::{Account, Blob, BlobAddress, Environment};

use crate::support::azure_fake::AzureFake;
use crate::support::azurite::Azurite;
use crate::support::gcs_fake::GcsFake;
use crate::support::s3_fake::S3Fake;
use crate::support::seaweedfs::SeaweedFs;

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

/// Objects in a bucket that is empty otherwise.
struct S3Store {
    environment: Environment,
    bucket: Arc<S3Bucket>,
    /// Other sizes than those of S3.
    sizes: Option<Sizes>,
    /// Where pieces are put, where that is not beside the object.
    staging: Option<&'static str>,
}

impl S3Store {
    fn new(environment: Environment) -> Self {
        let bucket = S3Bucket::new(&s3_address("drives", "any"), &environment, &Network::direct(SILENCE_MAX)).unwrap();
        S3Store { environment, bucket, sizes: None, staging: None }
    }
}

fn s3_address(bucket: &str, key: &str) -> S3Address {
    S3Address { endpoint: None, bucket: bucket.to_owned(), key: key.to_owned() }
}

impl TestStore for S3Store {
    fn blob(&self, name: &str) -> Arc<dyn Blob> {
        let blob = S3Blob::new(self.bucket.clone(), s3_address("drives", name));
        let blob = match self.sizes {
            Some(sizes) => blob.with_sizes(sizes),
            None => blob,
        };
        self.staging.map_or_else(|| Arc::new(blob.clone()) as Arc<dyn Blob>, |place| blob.with_staging(Some(place)).unwrap())
    }

    fn in_missing_container(&self) -> Option<Arc<dyn Blob>> {
        let address = s3_address("missing", "any");
        let bucket = S3Bucket::new(&address, &self.environment, &Network::direct(SILENCE_MAX)).unwrap();
        Some(Arc::new(S3Blob::new(bucket, address)))
    }

    fn account(&self) -> Option<(Arc<dyn Account>, String)> {
        let account = AccountAddress::parse("s3://").unwrap();
        let account = account.reach(&self.environment, &Network::direct(SILENCE_MAX)).unwrap();
        Some((account, "drives".to_owned()))
    }
}

fn conforms_s3(environment: Environment) {
    conforms_s3_store(&S3Store::new(environment));
}

fn conforms_s3_store(store: &S3Store) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(check(store));
}

/// Drives of more than four chunks of 64 KiB are cut into segments of three.
const SMALL: Sizes = Sizes { parts_max: 4, part_bytes_min: 64 << 10, part_bytes_max: 192 << 10, chunk_bytes_max: 192 << 10 };

#[test]
fn objects_made_of_segments_conform() {
    for tells_digests in [true, false] {
        let fake = S3Fake::start();
        fake.set_part_bytes_min(SMALL.part_bytes_min);
        fake.set_tells_digests(tells_digests);
        conforms_s3_store(&S3Store { sizes: Some(SMALL), ..S3Store::new(s3_environment(&fake)) });
    }
}

#[test]
fn objects_made_of_segments_conform_where_commits_have_no_condition() {
    let fake = S3Fake::start();
    fake.set_part_bytes_min(SMALL.part_bytes_min);
    fake.set_knows_if_match(false);
    conforms_s3_store(&S3Store { sizes: Some(SMALL), ..S3Store::new(s3_environment(&fake)) });
}

#[test]
fn objects_of_the_fake_of_s3_conform() {
    conforms_s3(s3_environment(&S3Fake::start()));
}

#[test]
fn a_server_of_s3_that_tells_no_digests_conforms() {
    let fake = S3Fake::start();
    fake.set_tells_digests(false);
    fake.set_page(3);
    conforms_s3(s3_environment(&fake));
}

#[test]
fn objects_whose_pieces_are_in_another_bucket_conform() {
    for sizes in [None, Some(SMALL)] {
        let fake = S3Fake::start();
        fake.add_bucket("scratch");
        fake.set_part_bytes_min(SMALL.part_bytes_min);
        let staging = Some("s3://scratch/pieces");
        conforms_s3_store(&S3Store { sizes, staging, ..S3Store::new(s3_environment(&fake)) });
    }
}

fn s3_environment(fake: &S3Fake) -> Environment {
    Environment::from_text(&fake.variables().map(|(name, value)| format!("{name}={value}")).join("\n")).unwrap()
}

#[test]
fn objects_of_seaweedfs_conform() {
    let Some(server) = SeaweedFs::start() else { return };
    conforms_s3(server.environment());
}

/// Objects of Google Cloud Storage, in a bucket that is empty otherwise.
struct GcsStore {
    environment: Environment,
    bucket: Arc<GcsBucket>,
    /// How many are composed at once, where that is less than 32.
    fan_out: Option<usize>,
    /// Where pieces are put, where that is not beside the object.
    staging: Option<&'static str>,
}

impl GcsStore {
    fn new(fake: &GcsFake) -> Self {
        let text = fake.variables().map(|(name, value)| format!("{name}={value}")).join("\n");
        let environment = Environment::from_text(&text).unwrap();
        let bucket = GcsBucket::new(&gcs_address("drives", "any"), &environment, &Network::direct(SILENCE_MAX)).unwrap();
        GcsStore { environment, bucket, fan_out: None, staging: None }
    }
}

fn gcs_address(bucket: &str, name: &str) -> GcsAddress {
    GcsAddress { endpoint: None, bucket: bucket.to_owned(), name: name.to_owned() }
}

impl TestStore for GcsStore {
    fn blob(&self, name: &str) -> Arc<dyn Blob> {
        let blob = GcsBlob::new(self.bucket.clone(), gcs_address("drives", name));
        let blob = match self.fan_out {
            Some(fan_out) => blob.with_fan_out(fan_out),
            None => blob,
        };
        self.staging.map_or_else(|| Arc::new(blob.clone()) as Arc<dyn Blob>, |place| blob.with_staging(Some(place)).unwrap())
    }

    fn in_missing_container(&self) -> Option<Arc<dyn Blob>> {
        let address = gcs_address("missing", "any");
        let bucket = GcsBucket::new(&address, &self.environment, &Network::direct(SILENCE_MAX)).unwrap();
        Some(Arc::new(GcsBlob::new(bucket, address)))
    }

    fn account(&self) -> Option<(Arc<dyn Account>, String)> {
        let account = AccountAddress::parse("gs://").unwrap();
        let account = account.reach(&self.environment, &Network::direct(SILENCE_MAX)).unwrap();
        Some((account, "drives".to_owned()))
    }
}

fn conforms_gcs(store: &GcsStore) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(check(store));
}

#[test]
fn objects_of_the_fake_of_gcs_conform() {
    conforms_gcs(&GcsStore::new(&GcsFake::start()));
}

#[test]
fn objects_that_are_composed_in_several_levels_conform() {
    let fake = GcsFake::start();
    fake.set_page(3);
    conforms_gcs(&GcsStore { fan_out: Some(2), ..GcsStore::new(&fake) });
}

#[test]
fn objects_whose_pieces_are_in_a_folder_conform() {
    let fake = GcsFake::start();
    conforms_gcs(&GcsStore { fan_out: Some(3), staging: Some("gs://drives/scratch"), ..GcsStore::new(&fake) });
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
