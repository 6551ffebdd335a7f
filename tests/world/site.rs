//! The datacenter as it really is: physical drives, the bays that they are in, and what the stores hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::station::{BayContent, DockedDrive, WeakIdentity, station_and_bay};
use time::OffsetDateTime;

use crate::blobs::Blobs;
use crate::copying::Copy;
use tests::random::Random;

/// Size of a chunk: everything is counted in them.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// Where the bytes of a chunk come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    Zero,
    /// A chunk that a customer had on this physical drive.
    Drive(usize, usize),
    /// A chunk of the blob with this number that a customer had in the store.
    Blob(usize, usize),
}

/// Where a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// With its owner.
    Home,
    /// On its way to the datacenter, until then.
    Parcel(Duration),
    /// In the datacenter, in no bay.
    Desk,
    Bay(usize),
}

/// A physical drive.
#[derive(Debug, Clone)]
pub struct PhysicalDrive {
    /// The customer that it belongs to; staff's own, where `None`.
    pub owner: Option<usize>,
    /// What its label says, and it tells itself.
    pub serial: String,
    /// What the bridge that it is in tells instead; nothing where it is empty.
    pub bridge: Option<&'static str>,
    pub model: Option<&'static str>,
    pub content: Vec<Piece>,
    /// Chunks that cannot be read.
    pub unreadable: BTreeSet<usize>,
    pub is_read_only: bool,
    /// An operator said that what is on it may go.
    pub may_be_erased: bool,
    pub place: Place,
    /// The job (its number in the world) whose label is on its parcel.
    pub job: Option<usize>,
}

impl PhysicalDrive {
    /// What the bus shows of it.
    pub fn shown_serial(&self) -> Option<&str> {
        Some(self.bridge.unwrap_or(&self.serial)).filter(|serial| !serial.is_empty())
    }

    /// Whether a name is on its label, or what the bus shows.
    pub fn is_called(&self, name: &str) -> bool {
        let shown = self.shown_serial().is_some_and(|shown| shown.eq_ignore_ascii_case(name));
        shown || self.serial.eq_ignore_ascii_case(name)
    }

    fn weak_identity(&self) -> Vec<WeakIdentity> {
        match self.bridge {
            None => Vec::new(),
            Some("") => vec![WeakIdentity::Missing],
            Some(_) => vec![WeakIdentity::BridgeConstant],
        }
    }

    pub fn is_blank(&self) -> bool {
        self.content.iter().all(|piece| *piece == Piece::Zero)
    }
}

/// A bay.
#[derive(Debug, Clone)]
pub struct Bay {
    /// `STATION/BAY` where it is a station's.
    pub name: String,
    /// The host that it is at: 0 is the service's own.
    pub host: usize,
    pub is_watched: bool,
    /// The physical drive in it.
    pub drive: Option<usize>,
    /// The name that it was docked by hand with.
    pub given_name: Option<String>,
    docked_at: Option<OffsetDateTime>,
    /// Another one for each docking, whatever becomes of the service.
    attachment: u64,
    pub sequence: u64,
}

/// Everything physical.
pub struct Site {
    pub drives: Vec<PhysicalDrive>,
    pub bays: Vec<Bay>,
    pub blobs: Blobs,
    /// Copies that run, in the order of their beginning.
    pub copies: Vec<Copy>,
    /// Runs that were begun.
    pub runs: u64,
    /// Hosts that sleep: nothing of theirs goes on.
    pub asleep: BTreeSet<usize>,
    /// What happened to stations and their copies, and how often.
    pub tally: BTreeMap<&'static str, u64>,
    /// Calls of the service that wait for a slow store.
    pub waiting_calls: usize,
    /// What went wrong in the data plane: the service asked for something that must never be.
    pub violations: Vec<String>,
    /// Each run that was begun: the job's uid, its drive, the physical drive, and whether it came as a strong match.
    pub begun: Vec<Begun>,
    /// Copies of which an operator said that they may replace a blob: the job's uid, and its drive.
    pub may_be_replaced: BTreeSet<(String, String)>,
    pub random: Random,
}

/// A run that was begun with the drive that was docked then.
#[derive(Debug, Clone)]
pub struct Begun {
    pub job_uid: String,
    pub drive_id: String,
    pub drive: usize,
    pub bay: String,
}

impl Site {
    pub fn new(drives: Vec<PhysicalDrive>, bays: Vec<Bay>, blobs: Blobs, random: Random) -> Self {
        Site {
            drives,
            bays,
            blobs,
            copies: Vec::new(),
            runs: 0,
            asleep: BTreeSet::new(),
            tally: BTreeMap::new(),
            waiting_calls: 0,
            violations: Vec::new(),
            begun: Vec::new(),
            may_be_replaced: BTreeSet::new(),
            random,
        }
    }

    /// Counts something that happened.
    pub fn tally(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// Puts a drive into a bay, and takes out what is in it.
    pub fn dock(&mut self, bay: usize, drive: usize, given_name: Option<&str>, now: OffsetDateTime) {
        self.take_out(bay);
        if let Place::Bay(other) = self.drives[drive].place {
            self.take_out(other);
        }
        self.drives[drive].place = Place::Bay(bay);
        let bay = &mut self.bays[bay];
        bay.drive = Some(drive);
        bay.given_name = given_name.map(str::to_owned);
        bay.docked_at = Some(now);
        bay.attachment += 1;
        bay.sequence += 1;
    }

    /// Takes the drive of a bay out, whatever it is doing.
    pub fn take_out(&mut self, bay: usize) {
        let bay = &mut self.bays[bay];
        if let Some(drive) = bay.drive.take() {
            self.drives[drive].place = Place::Desk;
            bay.given_name = None;
            bay.docked_at = None;
            bay.sequence += 1;
        }
    }

    /// A new process of a host looks at its bays: what is in them was there before.
    pub fn look_anew(&mut self, host: usize) {
        for bay in self.bays.iter_mut().filter(|bay| bay.host == host) {
            bay.docked_at = None;
            bay.sequence = u64::from(bay.drive.is_some());
        }
    }

    /// Whether some bays are those of stations.
    pub fn has_stations(&self) -> bool {
        self.bays.iter().any(|bay| bay.host != 0)
    }

    pub fn bay_named(&self, name: &str) -> Option<usize> {
        self.bays.iter().position(|bay| bay.name == name)
    }

    /// The drive that an order for this docking is about.
    pub fn docked(&self, bay: &str, sequence: u64) -> Option<usize> {
        self.bays.iter().find(|one| one.name == bay && one.sequence == sequence)?.drive
    }

    /// What a host sees in a bay, by its own name for it.
    pub fn content_of(&self, bay: usize) -> BayContent {
        let Bay { name, is_watched, drive, docked_at, attachment, sequence, .. } = self.bays[bay].clone();
        let name = station_and_bay(&name).map(|(_, own)| own.to_owned()).unwrap_or(name);
        let drive = drive.map(|drive| self.docked_drive(bay, drive));
        BayContent {
            attachment: attachment.to_string(),
            name,
            is_watched,
            drive,
            docked_at,
            docked_here: None,
            sequence,
            station: None,
            hall: None,
            state_id: None,
            unknown: None,
        }
    }

    /// What the service sees of a drive in a bay.
    pub fn docked_drive(&self, bay: usize, drive: usize) -> DockedDrive {
        let physical = &self.drives[drive];
        let given = self.bays[bay].given_name.clone();
        DockedDrive {
            path: path_of(drive),
            drive_id: given.or_else(|| physical.shown_serial().map(str::to_owned)),
            bridge_serial: physical.bridge.filter(|bridge| !bridge.is_empty()).map(str::to_owned),
            weak_identity: physical.weak_identity(),
            model: physical.model.map(str::to_owned),
            size_bytes: physical.content.len() as u64 * CHUNK_BYTES,
        }
    }

    /// Runs everything that runs in the station up to this time.
    pub fn advance(&mut self, elapsed: Duration, now: OffsetDateTime) {
        for drive in &mut self.drives {
            if matches!(drive.place, Place::Parcel(at) if at <= elapsed) {
                drive.place = Place::Desk;
            }
        }
        // One after another: copies share nothing but the stores, which are as they are at this moment.
        let mut copies = std::mem::take(&mut self.copies);
        copies.retain_mut(|copy| self.asleep.contains(&copy.host) || !copy.advance(self, elapsed, now));
        self.copies.extend(copies);
    }

    /// Takes the copies out that run at a host.
    pub fn take_copies_of(&mut self, host: usize) -> Vec<Copy> {
        let (own, others) = std::mem::take(&mut self.copies).into_iter().partition(|copy| copy.host == host);
        self.copies = others;
        own
    }

    /// Cuts off what runs at a host: its process was killed.
    pub fn cut_off(&mut self, host: usize) {
        for copy in self.take_copies_of(host) {
            copy.cut_off(self);
        }
        self.look_anew(host);
    }
}

impl Bay {
    pub fn new(name: String, host: usize, is_watched: bool) -> Self {
        Bay { name, host, is_watched, drive: None, given_name: None, docked_at: None, attachment: 0, sequence: 0 }
    }
}

/// How a drive is named when it is docked by hand.
pub fn path_of(drive: usize) -> String {
    format!("/drives/{drive}")
}

/// The drive of such a name.
pub fn drive_at(path: &str) -> Option<usize> {
    path.strip_prefix("/drives/")?.parse().ok()
}
