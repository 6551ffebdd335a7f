//! The blob stores: which bytes of which physical drive landed in which blob.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::job::BlobName;

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
    /// The transfer that made it: `UID/DRIVE`; a customer did, where it is empty.
    pub transfer: String,
}

/// What is kept to resume the copy of a drive.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The physical drive that it is bound to, by its content.
    pub drive: usize,
    /// Chunks of which it is recorded that they landed.
    pub landed: Vec<bool>,
    pub unreadable: Vec<bool>,
    pub is_complete: bool,
}

/// What the name of a transfer ends with whose journal was forgotten.
const FORGOTTEN: &str = "/forgotten";

/// All accounts, and the journals of the station.
#[derive(Default)]
pub struct Blobs {
    pub blobs: BTreeMap<Address, Blob>,
    /// What unfinished transfers left, by the blob and the transfer.
    pub partial: BTreeMap<(Address, String), Vec<Option<Piece>>>,
    pub documents: BTreeMap<Address, Vec<u8>>,
    pub journals: BTreeMap<(String, String), Journal>,
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

    /// What a transfer left at its target whose journal was forgotten.
    pub fn forgotten(&self, address: &Address, transfer: &str) -> Vec<Option<Piece>> {
        self.unfinished(address, &format!("{transfer}{FORGOTTEN}"))
    }

    /// The blob that a transfer made; nothing where another's is there.
    pub fn finished(&self, address: &Address, transfer: &str) -> Vec<Option<Piece>> {
        let own = self.blobs.get(address).filter(|blob| blob.transfer == transfer);
        own.map(|blob| blob.pieces.iter().copied().map(Some).collect()).unwrap_or_default()
    }

    /// Forgets what was kept to resume copies. What they left is of transfers that no later run resumes.
    pub fn forget(&mut self, is_of: impl Fn(&str, &str) -> bool) {
        let forgotten: Vec<_> = self.journals.keys().filter(|(uid, drive)| is_of(uid, drive)).cloned().collect();
        for key in forgotten {
            self.journals.remove(&key);
            let transfer = format!("{}/{}", key.0, key.1);
            let left: Vec<_> = self.partial.keys().filter(|(_, of)| *of == transfer).cloned().collect();
            for (address, of) in left {
                let pieces = self.partial.remove(&(address.clone(), of.clone())).unwrap_or_default();
                self.partial.insert((address, format!("{of}{FORGOTTEN}")), pieces);
            }
        }
    }

    /// Removes what a transfer left of a blob.
    pub fn discard(&mut self, address: &Address, transfer: &str) {
        self.partial.remove(&(address.clone(), transfer.to_owned()));
        self.partial.remove(&(address.clone(), format!("{transfer}{FORGOTTEN}")));
    }

    /// Makes the blob of a transfer appear: what could not be read is zero in it.
    pub fn commit(&mut self, address: &Address, transfer: &str) {
        let partial = self.partial.remove(&(address.clone(), transfer.to_owned())).unwrap_or_default();
        let pieces = partial.into_iter().map(|piece| piece.unwrap_or(Piece::Zero)).collect();
        self.blobs.insert(address.clone(), Blob { pieces, transfer: transfer.to_owned() });
    }
}
