//! The blob stores: which bytes of which physical drive landed in which blob.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::job::BlobName;

use crate::journals::Journal;
use crate::site::Piece;

/// A blob: account, container and name.
pub type Address = (String, String, String);

pub fn address(account: &str, blob: &BlobName) -> Address {
    (account.to_lowercase(), blob.container.clone(), blob.name.clone())
}

/// A blob that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub pieces: Vec<Piece>,
    /// The transfer that made it: `UID.DRIVE.NUMBER`; a customer did, where it is empty.
    pub transfer: String,
}

/// All accounts, and the journals of each host.
#[derive(Default)]
pub struct Blobs {
    pub blobs: BTreeMap<Address, Blob>,
    /// What unfinished transfers left, by the blob and the transfer.
    pub partial: BTreeMap<(Address, String), Vec<Option<Piece>>>,
    pub documents: BTreeMap<Address, Vec<u8>>,
    /// By the host, the job's uid and its drive.
    pub journals: BTreeMap<(usize, String, String), Journal>,
    /// Journals that are kept in accounts for other hosts, by their place and the job's uid: each as it was some time ago.
    pub kept: BTreeMap<(Address, String), Journal>,
    /// Chunks that a host landed after it slept, before it looked at its clock.
    pub late: BTreeSet<(Address, String, usize)>,
    /// Transfers that were begun.
    pub transfers: u64,
    /// Every request fails until then.
    pub fails_until: Duration,
    /// A document takes so long to be put.
    pub document_takes: Duration,
}

impl Blobs {
    /// A chunk landed.
    pub fn land(&mut self, address: &Address, transfer: &str, index: usize, count: usize, piece: Piece) {
        let partial = self.partial.entry((address.clone(), transfer.to_owned())).or_insert_with(|| vec![None; count]);
        if let Some(slot) = partial.get_mut(index) {
            *slot = Some(piece);
        }
    }

    /// What an unfinished transfer has at its target.
    pub fn unfinished(&self, address: &Address, transfer: &str) -> Vec<Option<Piece>> {
        self.partial.get(&(address.clone(), transfer.to_owned())).cloned().unwrap_or_default()
    }

    /// The same of all transfers of one copy: `UID.DRIVE.`.
    pub fn unfinished_of(&self, address: &Address, copy: &str) -> Vec<&Vec<Option<Piece>>> {
        let is_of = |(place, transfer): &(Address, String)| place == address && transfer.starts_with(copy);
        self.partial.iter().filter(|(key, _)| is_of(key)).map(|(_, pieces)| pieces).collect()
    }

    /// The blob that a transfer made, or one of a copy; nothing where another's is there.
    pub fn finished(&self, address: &Address, transfer: &str) -> Vec<Option<Piece>> {
        let own = self.blobs.get(address).filter(|blob| blob.transfer.starts_with(transfer));
        own.map(|blob| blob.pieces.iter().copied().map(Some).collect()).unwrap_or_default()
    }

    /// A host forgets what it kept to resume copies.
    pub fn forget(&mut self, host: usize, is_of: impl Fn(&str, &str) -> bool) {
        self.journals.retain(|(of, uid, drive), _| *of != host || !is_of(uid, drive));
    }

    /// Removes what a transfer left of a blob.
    pub fn discard(&mut self, address: &Address, transfer: &str) {
        self.partial.remove(&(address.clone(), transfer.to_owned()));
    }

    /// Makes the blob of a transfer appear: what could not be read is zero in it.
    pub fn commit(&mut self, address: &Address, transfer: &str) {
        let partial = self.partial.remove(&(address.clone(), transfer.to_owned())).unwrap_or_default();
        let pieces = partial.into_iter().map(|piece| piece.unwrap_or(Piece::Zero)).collect();
        self.blobs.insert(address.clone(), Blob { pieces, transfer: transfer.to_owned() });
    }
}
