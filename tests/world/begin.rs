//! The world that a seed begins with: drives, bays, blobs.

use std::collections::BTreeSet;

use protocol::job::BlobName;

use crate::blobs::{Blob, Blobs, address};
use crate::life::account;
use crate::site::{Bay, PhysicalDrive, Piece, Place, Site};
use tests::random::Random;

/// Most customers of a history.
pub const CUSTOMERS_MAX: usize = 3;

/// The stations that there may be.
pub const STATIONS: [&str; 3] = ["hall-a", "hall-b", "hall-c"];

/// In so many of a hundred histories there are some.
const STATIONS_SHARE: u64 = 40;

/// Blobs that each customer has in the store.
const UPLOADS: usize = 2;

/// Serial numbers that bridges make up: each is that of every drive behind such a bridge. Some tell none.
const BRIDGES: [&str; 3] = ["0123456789ABCDEF", "DD56419883914", ""];

/// Every seventh chunk of a drive is empty.
pub fn content_of(drive: usize, index: usize) -> Piece {
    if (drive + index).is_multiple_of(7) { Piece::Zero } else { Piece::Drive(drive, index) }
}

/// Makes the datacenter of a history.
pub fn site(random: &mut Random, customers: usize) -> Site {
    let mut drives = Vec::new();
    let has_bridges = random.percent(40);
    for customer in 0..customers {
        for _ in 0..1 + random.index(3) {
            drives.push(drive(random, drives.len(), Some(customer), has_bridges));
        }
    }
    for _ in 0..2 {
        drives.push(drive(random, drives.len(), None, has_bridges));
    }
    let count = 2 + random.index(3);
    let mut bays: Vec<Bay> = (0..count).map(|bay| Bay::new(format!("bay-{bay}"), 0, bay == 0 || random.percent(50))).collect();
    let stations = if random.percent(STATIONS_SHARE) { 1 + random.index(STATIONS.len()) } else { 0 };
    for (index, station) in STATIONS[..stations].iter().enumerate() {
        for bay in 0..1 + random.index(2) {
            bays.push(Bay::new(format!("{station}/bay-{bay}"), index + 1, random.percent(60)));
        }
    }
    // Some services have no bays of their own.
    if stations > 0 && random.percent(50) {
        bays.retain(|bay| bay.host != 0);
    }
    let mut blobs = Blobs::default();
    for customer in 0..customers {
        for number in 0..UPLOADS {
            let place = BlobName { container: "uploads".to_owned(), name: format!("blob-{number}") };
            let length = 1 + random.index(8);
            let pieces = (0..length).map(|index| Piece::Blob(customer * UPLOADS + number, index)).collect();
            blobs.blobs.insert(address(&account(customer), &place), Blob { pieces, transfer: String::new() });
        }
    }
    Site::new(drives, bays, blobs, Random::new(random.number()))
}

fn drive(random: &mut Random, number: usize, owner: Option<usize>, has_bridges: bool) -> PhysicalDrive {
    let chunks = if owner.is_some() { 2 + random.index(10) } else { 12 };
    let content = (0..chunks).map(|index| if owner.is_some() { content_of(number, index) } else { Piece::Zero });
    let mut unreadable = BTreeSet::new();
    if owner.is_some() && random.percent(12) {
        unreadable.insert(random.index(chunks));
    }
    let is_behind_bridge = random.percent(if has_bridges { 60 } else { 5 });
    PhysicalDrive {
        owner,
        serial: format!("WD-{number}{:06X}", random.below(1 << 24)),
        bridge: is_behind_bridge.then(|| random.of(&BRIDGES)),
        model: Some("Disk"),
        content: content.collect(),
        unreadable,
        is_read_only: random.percent(6),
        may_be_erased: false,
        place: if owner.is_some() { Place::Home } else { Place::Desk },
        job: None,
    }
}
