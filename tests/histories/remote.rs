//! The fake of the store that a history is about: what the histories ask of it is the same for each.

use std::time::Duration;

use bytes::Bytes;
use protocol::digest::Sha256Digest;

use crate::places::Places;
use crate::step::{StoreFault, StoreKind};
use crate::support::azure_fake::{AzureFake, Fault, On};
use crate::support::gcs_fake::{self, GcsFake};
use crate::support::s3_fake::{self, S3Fake};

/// What of S3 the small drives of histories are tried with: objects of at most twelve parts.
pub const S3_SIZES: &str = "12,4096,16777216";

/// How many objects of Google Cloud Storage are composed at once: the small drives of histories have several levels.
const GCS_FAN_OUT: &str = "3";

/// A blob of a list: its name, its content, and the transfer that it is an unfinished one of.
pub type Listed = (String, Bytes, Option<String>);

/// A fake.
pub enum Remote<'places> {
    Azure(&'places AzureFake),
    S3(&'places S3Fake),
    Gcs(&'places GcsFake),
}

impl<'places> Remote<'places> {
    /// That of a kind of store; a directory has none, and is given one that is not used.
    pub fn of(places: &'places Places, store: StoreKind) -> Self {
        match store {
            StoreKind::S3 => Remote::S3(&places.s3),
            StoreKind::Gcs => Remote::Gcs(&places.gcs),
            StoreKind::Directory | StoreKind::BlockBlob | StoreKind::PageBlob => Remote::Azure(&places.azure),
        }
    }

    /// The address of a blob.
    pub fn blob(&self, name: &str) -> String {
        match self {
            Remote::Azure(fake) => fake.blob(name),
            Remote::S3(fake) => fake.blob(name),
            Remote::Gcs(fake) => fake.blob(name),
        }
    }

    /// The variables of the environment that reach it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Remote::Azure(_) => Vec::new(),
            Remote::S3(fake) => {
                let sizes = [("DRIVE_AGENT_S3_SIZES", S3_SIZES.to_owned())];
                fake.variables().into_iter().chain(sizes).collect()
            }
            Remote::Gcs(fake) => {
                let fan_out = [("DRIVE_AGENT_GCS_FAN_OUT", GCS_FAN_OUT.to_owned())];
                fake.variables().into_iter().chain(fan_out).collect()
            }
        }
    }

    /// Everything below a prefix, without it.
    pub fn all(&self, prefix: &str) -> Vec<Listed> {
        match self {
            Remote::Azure(fake) => fake.all(prefix),
            Remote::S3(fake) => fake.all(prefix).into_iter().map(|(name, content)| (name, content, None)).collect(),
            Remote::Gcs(fake) => fake.all(prefix).into_iter().map(|(name, content)| (name, content, None)).collect(),
        }
    }

    pub fn forget(&self, prefix: &str) {
        match self {
            Remote::Azure(fake) => fake.forget(prefix),
            Remote::S3(fake) => fake.forget(prefix),
            Remote::Gcs(fake) => drop(fake.forget(prefix)),
        }
    }

    pub fn rename(&self, from: &str, to: &str) {
        match self {
            Remote::Azure(fake) => fake.rename(from, to),
            Remote::S3(fake) => fake.rename(from, to),
            Remote::Gcs(fake) => fake.rename(from, to),
        }
    }

    pub fn settle(&self) {
        match self {
            Remote::Azure(fake) => fake.settle(),
            Remote::S3(fake) => fake.settle(),
            Remote::Gcs(fake) => fake.settle(),
        }
    }

    pub fn content(&self, name: &str) -> Option<Bytes> {
        match self {
            Remote::Azure(fake) => fake.content(name),
            Remote::S3(fake) => fake.object(name),
            Remote::Gcs(fake) => fake.object(name),
        }
    }

    pub fn flip_byte(&self, name: &str, offset: usize) {
        match self {
            Remote::Azure(fake) => fake.flip_byte(name, offset),
            Remote::S3(fake) => fake.flip_byte(name, offset),
            Remote::Gcs(fake) => fake.flip_byte(name, offset),
        }
    }

    pub fn delete(&self, name: &str) {
        match self {
            Remote::Azure(fake) => fake.delete(name),
            Remote::S3(fake) => fake.remove(name),
            Remote::Gcs(fake) => fake.remove(name),
        }
    }

    pub fn put_plain(&self, name: &str, content: Vec<u8>) {
        match self {
            Remote::Azure(fake) => fake.put_plain(name, content, &[]),
            Remote::S3(fake) => fake.put_plain(name, content),
            Remote::Gcs(fake) => fake.put_plain(name, content),
        }
    }

    /// Requests that wrote chunks, whether or not they were stored.
    pub fn writes_seen(&self) -> u64 {
        match self {
            Remote::Azure(fake) => fake.writes_seen(),
            Remote::S3(fake) => fake.seen(s3_fake::On::PutPart),
            Remote::Gcs(fake) => fake.seen(gcs_fake::On::PutChunk),
        }
    }

    pub fn work_well(&self) {
        match self {
            Remote::Azure(fake) => fake.work_well(),
            Remote::S3(fake) => fake.work_well(),
            Remote::Gcs(fake) => fake.work_well(),
        }
    }

    /// The chunks that it holds for a blob that is not complete; `chunk_bytes` is the size of each.
    pub fn held(&self, name: &str, chunk_bytes: u64) -> Vec<Sha256Digest> {
        match self {
            Remote::Azure(fake) => fake.held(name),
            Remote::S3(fake) => fake.held(name, chunk_bytes).into_iter().map(Sha256Digest).collect(),
            Remote::Gcs(fake) => fake.held(name).into_iter().map(Sha256Digest).collect(),
        }
    }

    /// How many bytes it holds for a blob that is not complete.
    pub fn uncommitted_bytes(&self, name: &str) -> u64 {
        match self {
            Remote::Azure(fake) => fake.uncommitted(name).iter().map(|(_, bytes)| bytes).sum(),
            Remote::S3(fake) => fake.uploads(name).1 + fake.object_bytes_below(&format!("{name}.")),
            Remote::Gcs(fake) => fake.bytes_below(&format!("{name}.")),
        }
    }

    /// Forgets what is held for a blob that is not complete, as a lifecycle rule does; gives how much that was.
    pub fn forget_uncommitted(&self, name: &str) -> usize {
        match self {
            Remote::Azure(fake) => {
                let there = fake.uncommitted(name).len();
                fake.forget_blocks(name);
                there
            }
            Remote::S3(fake) => fake.abort_uploads_below(name),
            Remote::Gcs(fake) => fake.forget(&format!("{name}.part/")),
        }
    }

    /// Puts something of another program beside what is sent for a blob.
    pub fn add_foreign(&self, name: &str, id: &[u8]) {
        match self {
            Remote::Azure(fake) => fake.add_foreign_block(name, id),
            Remote::S3(fake) => drop(fake.begin_foreign_upload(name)),
            Remote::Gcs(fake) => {
                let beside = format!("{name}.part/{}", String::from_utf8_lossy(id));
                fake.put_plain(&beside, b"of another program".to_vec());
            }
        }
    }

    pub fn set_fault(&self, on: On, fault: &StoreFault) {
        match (self, fault) {
            (Remote::Azure(fake), StoreFault::Next(fault)) => fake.fail(on, [fault.clone()]),
            (Remote::Azure(fake), StoreFault::Always(fault)) => fake.always_fail(on, Some(fault.clone())),
            (Remote::S3(fake), StoreFault::Next(fault)) => fake.fail(s3_request(on), [s3_fault(on, fault)]),
            (Remote::S3(fake), StoreFault::Always(fault)) => fake.always_fail(s3_request(on), Some(s3_fault(on, fault))),
            (Remote::Gcs(fake), StoreFault::Next(fault)) => fake.fail(gcs_request(on), [gcs_fault(on, fault)]),
            (Remote::Gcs(fake), StoreFault::Always(fault)) => fake.always_fail(gcs_request(on), Some(gcs_fault(on, fault))),
        }
    }
}

/// The request of S3 that stands where one of Azure does.
fn s3_request(on: On) -> s3_fake::On {
    match on {
        On::PutBlock | On::PutPage => s3_fake::On::PutPart,
        On::PutBlockList => s3_fake::On::CompleteUpload,
        On::GetBlockList | On::GetPageRanges => s3_fake::On::ListParts,
        On::PutBlob => s3_fake::On::CreateUpload,
        On::SetMetadata => s3_fake::On::CopyPart,
        On::SetProperties => s3_fake::On::Put,
        On::Get => s3_fake::On::Get,
        On::Head => s3_fake::On::Head,
        On::Delete => s3_fake::On::Delete,
        On::ListBlobs => s3_fake::On::ListObjects,
        On::ListContainers => s3_fake::On::ListUploads,
    }
}

/// The fault of S3 that stands where one of Azure does.
fn s3_fault(on: On, fault: &Fault) -> s3_fake::Fault {
    use s3_fake::Fault as S3;
    match fault {
        Fault::Answer(403, _) => S3::Answer(403, "AccessDenied"),
        Fault::Answer(status, _) => S3::Answer(*status, "InternalError"),
        Fault::Throttle(_) => S3::SlowDown,
        Fault::Reset => S3::Reset,
        Fault::LostAnswer => S3::LostAnswer,
        Fault::DoneThenAnswer(503, _) | Fault::DoneButBusy(_) => S3::DoneThenAnswer(503, "SlowDown"),
        Fault::DoneThenAnswer(status, _) => S3::DoneThenAnswer(*status, "InternalError"),
        // What S3 alone does.
        Fault::DoneTwice if on == On::PutBlockList => S3::Spent,
        Fault::DoneTwice => S3::ErrorInSuccess("InternalError"),
        Fault::Delay(time) | Fault::SlowBody(time) => S3::Delay(*time),
        Fault::CorruptBody if on != On::Get => S3::CorruptBody,
        Fault::WrongRange | Fault::WholeBlob => S3::WholeObject,
        Fault::CorruptBody | Fault::ShortBody | Fault::WrongTotal => S3::ShortAnswer,
        _ => S3::Delay(Duration::from_millis(1)),
    }
}

/// The request of Google Cloud Storage that stands where one of Azure does.
fn gcs_request(on: On) -> gcs_fake::On {
    match on {
        On::PutBlock | On::PutPage => gcs_fake::On::PutChunk,
        On::PutBlockList => gcs_fake::On::Compose,
        On::GetBlockList | On::GetPageRanges | On::ListBlobs => gcs_fake::On::List,
        On::PutBlob => gcs_fake::On::Probe,
        On::SetMetadata => gcs_fake::On::ComposePiece,
        On::SetProperties => gcs_fake::On::Put,
        On::Get => gcs_fake::On::Get,
        On::Head => gcs_fake::On::Head,
        On::Delete => gcs_fake::On::Delete,
        On::ListContainers => gcs_fake::On::ListBuckets,
    }
}

/// The fault of Google Cloud Storage that stands where one of Azure does.
fn gcs_fault(on: On, fault: &Fault) -> gcs_fake::Fault {
    use gcs_fake::Fault as Gcs;
    match fault {
        Fault::Answer(403, _) => Gcs::Answer(403, "AccessDenied"),
        Fault::Answer(status, _) => Gcs::Answer(*status, "InternalError"),
        Fault::Throttle(_) => Gcs::SlowDown,
        Fault::Reset => Gcs::Reset,
        Fault::LostAnswer => Gcs::LostAnswer,
        Fault::DoneThenAnswer(503, _) | Fault::DoneButBusy(_) => Gcs::DoneThenAnswer(503, "ServiceUnavailable"),
        Fault::DoneThenAnswer(status, _) => Gcs::DoneThenAnswer(*status, "InternalError"),
        // What a repetition meets whose first try was done.
        Fault::DoneTwice => Gcs::DoneThenAnswer(412, "PreconditionFailed"),
        Fault::Delay(time) | Fault::SlowBody(time) => Gcs::Delay(*time),
        Fault::CorruptBody if on != On::Get => Gcs::CorruptBody,
        Fault::WrongRange | Fault::WholeBlob => Gcs::WholeObject,
        Fault::CorruptBody | Fault::ShortBody | Fault::WrongTotal => Gcs::ShortAnswer,
        _ => Gcs::Delay(Duration::from_millis(1)),
    }
}
