//! One copy over time, as the engine promises it: chunks are read in order, a few are in flight, and what was read lands or
//! is accounted for.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::outcome::Outcome;
use protocol::result::{Direction, TransferResult};
use protocol::station::CopyOrder;
use protocol::stop::StopReason;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::blobs::{Address, address};
use crate::journals::journal_key;
use crate::results::{Told, failed, told};
use crate::site::{Piece, Site};

/// Chunks that were read and have not landed.
pub const IN_FLIGHT_MAX: usize = 2;

/// A copy under way.
pub struct Copy {
    /// Another one for each run.
    pub number: u64,
    /// The host that it runs at: 0 is the service's own.
    pub host: usize,
    /// Counts runs.
    pub run: u64,
    pub order: CopyOrder,
    /// The transfer that it resumes, or is.
    pub transfer: String,
    /// Its grant has not ended since it began.
    pub holds: bool,
    /// The physical drive, from when it was opened.
    pub drive: Option<usize>,
    /// When it does its next step.
    pub next_event: Duration,
    pub step_takes: Duration,
    /// Why it stops, and since when.
    pub stop: Option<(StopReason, OffsetDateTime)>,
    fault: Option<(Outcome, String)>,
    pub in_flight: VecDeque<(usize, Piece)>,
    next_chunk: usize,
    pub state: Vec<Chunk>,
    pub ended: Option<oneshot::Sender<TransferResult>>,
}

/// How far a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    NotRead,
    InFlight,
    /// An earlier run did it.
    Reused,
    LandedBefore,
    LandedAfter,
    Unknown,
    Unreadable,
}

impl Chunk {
    pub fn has_landed(self) -> bool {
        matches!(self, Chunk::Reused | Chunk::LandedBefore | Chunk::LandedAfter)
    }
}

/// What the names of all transfers begin with that were made for an order's drive.
pub fn transfers_of(job_uid: &str, drive_id: &str) -> String {
    format!("{job_uid}.{drive_id}.")
}

impl Copy {
    pub fn new(
        (number, run): (u64, u64),
        host: usize,
        order: CopyOrder,
        begins: Duration,
        step_takes: Duration,
        ended: oneshot::Sender<TransferResult>,
    ) -> Self {
        Copy {
            number,
            host,
            run,
            order,
            transfer: String::new(),
            holds: true,
            drive: None,
            next_event: begins,
            step_takes,
            stop: None,
            fault: None,
            in_flight: VecDeque::new(),
            next_chunk: 0,
            state: Vec::new(),
            ended: Some(ended),
        }
    }

    pub fn chunks(&self) -> &[Chunk] {
        &self.state
    }

    pub fn address(&self) -> Address {
        address(&self.order.account, &self.order.blob)
    }

    /// Does every step that is due. True where it has ended: its result was sent.
    pub fn advance(&mut self, site: &mut Site, elapsed: Duration, now: OffsetDateTime) -> bool {
        while self.next_event <= elapsed {
            self.next_event += self.step_takes;
            let result = match self.drive {
                None => self.begin(site, elapsed, now),
                Some(drive) => self.step(site, drive, elapsed, now),
            };
            if let Some(result) = result {
                self.tell(result);
                return true;
            }
        }
        false
    }

    /// Tells its end, in a way in which it is known from that of any other run.
    pub fn tell(&mut self, result: TransferResult) {
        if let Some(ended) = self.ended.take() {
            // The receiver is gone only where the service is.
            let _ = ended.send(TransferResult { elapsed_seconds: self.run as f64, ..result });
        }
    }

    /// Opens both sides and looks at what earlier runs did.
    fn begin(&mut self, site: &mut Site, elapsed: Duration, now: OffsetDateTime) -> Option<TransferResult> {
        if self.order.account_only || self.stop.is_some() {
            let (reason, at) = self.stop.unwrap_or((StopReason::JobCancelled, now));
            return Some(self.account(site, (reason, at), now, elapsed));
        }
        let order = &self.order;
        let Some(drive) = site.docked(&order.bay, order.sequence) else {
            return Some(failed(order, Outcome::DriveFailed, "the drive is gone"));
        };
        if site.blobs.fails_until > elapsed {
            return Some(failed(order, Outcome::StoreFailed, "the store does not answer"));
        }
        if let Err(why) = self.look(site, drive, elapsed) {
            return Some(failed(&self.order, Outcome::Refused, why));
        }
        self.drive = Some(drive);
        None
    }

    /// What the engine checks before the first byte, and the chunks that need not move again.
    fn look(&mut self, site: &mut Site, drive: usize, elapsed: Duration) -> Result<(), &'static str> {
        let (key, target) = (journal_key(self.host, &self.order), self.address());
        match self.order.retry.restart {
            true => site.discard_journal(self.host, &self.order, &target),
            false => site.take_over_journal(self.host, &self.order),
        }
        let journal = site.blobs.journals.get(&key).cloned();
        if journal.as_ref().is_some_and(|journal| journal.drive != drive) {
            return Err("another drive of this serial number was copied before");
        }
        site.blobs.transfers += 1;
        let new = || format!("{}{}", transfers_of(&self.order.job_uid, &self.order.drive_id), site.blobs.transfers);
        self.transfer = journal.as_ref().map_or_else(new, |journal| journal.transfer.clone());
        let count = match self.order.direction {
            Direction::Import => site.drives[drive].content.len(),
            Direction::Export => {
                let blob = site.blobs.blobs.get(&target).ok_or("the blob is not there")?;
                if site.drives[drive].is_read_only {
                    return Err("the drive is read-only");
                }
                if site.drives[drive].content.len() < blob.pieces.len() {
                    return Err("the drive is too small");
                }
                blob.pieces.len()
            }
        };
        self.require_free(site)?;
        if self.order.direction == Direction::Export
            && journal.is_none()
            && !self.order.may_erase
            && !site.drives[drive].is_blank()
        {
            return Err("the drive is not empty: take it out, or say so with `--erase`");
        }
        let held = self.held(site, drive, count);
        if let (Direction::Export, Some(journal)) = (self.order.direction, &journal) {
            let is_gone = journal.landed.iter().zip(&held).any(|(landed, held)| *landed && held.is_none());
            if is_gone {
                return Err("what had landed on the drive is not there any more");
            }
        }
        let reused = |index: usize| journal.is_some() && held.get(index).is_some_and(Option::is_some);
        self.state = (0..count).map(|index| if reused(index) { Chunk::Reused } else { Chunk::NotRead }).collect();
        self.record(site, drive, elapsed);
        // Nothing is put anywhere before other hosts can learn of it.
        self.keep(site, elapsed);
        Ok(())
    }

    /// Refuses an import into a blob of another's, which may have come since the import began.
    fn require_free(&self, site: &Site) -> Result<(), &'static str> {
        let existing = site.blobs.blobs.get(&self.address());
        let is_foreign = existing.is_some_and(|blob| blob.transfer != self.transfer);
        match self.order.direction == Direction::Import && is_foreign && !self.order.retry.overwrite {
            true => Err("the blob exists already: choose another name, or replace it with `--overwrite`"),
            false => Ok(()),
        }
    }

    /// What the target holds of this transfer, chunk by chunk.
    fn held(&self, site: &Site, drive: usize, count: usize) -> Vec<Option<Piece>> {
        match self.order.direction {
            Direction::Import if self.is_committed(site) => site.blobs.finished(&self.address(), &self.transfer),
            Direction::Import => site.blobs.unfinished(&self.address(), &self.transfer),
            Direction::Export => {
                let Some(blob) = site.blobs.blobs.get(&self.address()) else { return vec![None; count] };
                let content = site.drives[drive].content.iter();
                content.zip(&blob.pieces).map(|(held, wanted)| (held == wanted).then_some(*held)).collect()
            }
        }
    }

    /// Whether the blob is there, and this transfer made it.
    fn is_committed(&self, site: &Site) -> bool {
        site.blobs.blobs.get(&self.address()).is_some_and(|blob| blob.transfer == self.transfer)
    }

    /// Lands the oldest chunk in flight, and reads the next.
    fn step(&mut self, site: &mut Site, drive: usize, elapsed: Duration, now: OffsetDateTime) -> Option<TransferResult> {
        if let Some((index, piece)) = self.in_flight.pop_front() {
            let is_import = self.order.direction == Direction::Import;
            if is_import && site.blobs.fails_until > elapsed {
                self.drop_in_flight(index);
                self.fail(Outcome::StoreFailed, StopReason::StoreFailed, "the store does not answer", now);
            } else if !is_import && !self.has_drive(site, drive) {
                self.drop_in_flight(index);
                self.fail(Outcome::DriveFailed, StopReason::DriveFailed, "the drive is gone", now);
            } else {
                self.land(site, drive, index, piece);
                self.state[index] = if self.stop.is_some() { Chunk::LandedAfter } else { Chunk::LandedBefore };
            }
            self.record(site, drive, elapsed);
        }
        while self.stop.is_none() && self.in_flight.len() < IN_FLIGHT_MAX && self.next_chunk < self.state.len() {
            self.read(site, drive, elapsed, now);
        }
        (self.in_flight.is_empty()).then(|| self.end(site, drive, elapsed, now))
    }

    /// What was read and not sent is not there any more.
    fn drop_in_flight(&mut self, first: usize) {
        self.state[first] = Chunk::NotRead;
        self.in_flight.drain(..).for_each(|(index, _)| self.state[index] = Chunk::NotRead);
    }

    /// Whether the drive is still where it was opened.
    pub fn has_drive(&self, site: &Site, drive: usize) -> bool {
        site.docked(&self.order.bay, self.order.sequence) == Some(drive)
    }

    fn read(&mut self, site: &mut Site, drive: usize, elapsed: Duration, now: OffsetDateTime) {
        if !self.has_drive(site, drive) {
            return self.fail(Outcome::DriveFailed, StopReason::DriveFailed, "the drive is gone", now);
        }
        let index = self.next_chunk;
        self.next_chunk += 1;
        if self.state[index] == Chunk::Reused {
            return;
        }
        let piece = match self.order.direction {
            Direction::Import if site.drives[drive].unreadable.contains(&index) => {
                if self.order.retry.rescue {
                    self.state[index] = Chunk::Unreadable;
                    return self.record(site, drive, elapsed);
                }
                let message = "a place of the drive cannot be read: copy it with `--on-unreadable rescue`";
                return self.fail(Outcome::DriveFailed, StopReason::DriveFailed, message, now);
            }
            Direction::Import => site.drives[drive].content[index],
            Direction::Export => {
                let blob = site.blobs.blobs.get(&self.address());
                blob.and_then(|blob| blob.pieces.get(index)).copied().unwrap_or(Piece::Zero)
            }
        };
        self.state[index] = Chunk::InFlight;
        self.in_flight.push_back((index, piece));
    }

    fn fail(&mut self, outcome: Outcome, reason: StopReason, message: &str, now: OffsetDateTime) {
        self.fault.get_or_insert((outcome, message.to_owned()));
        self.ask_to_stop(reason, now);
    }

    pub fn ask_to_stop(&mut self, reason: StopReason, now: OffsetDateTime) {
        let (before, at) = self.stop.unwrap_or((reason, now));
        self.stop = Some((before.max(reason), at));
    }

    pub fn land(&self, site: &mut Site, drive: usize, index: usize, piece: Piece) {
        match self.order.direction {
            Direction::Import => site.blobs.land(&self.address(), &self.transfer, index, self.state.len(), piece),
            Direction::Export => {
                let target = &mut site.drives[drive];
                // What its own export wrote before may be written over.
                let is_foreign = match target.content[index] {
                    Piece::Zero => false,
                    Piece::Drive(..) => true,
                    Piece::Blob(blob, _) => !matches!(piece, Piece::Blob(own, _) if own == blob),
                };
                if is_foreign && !target.may_be_erased {
                    site.violations
                        .push(format!("chunk {index} of the drive {drive} was overwritten, and no person said that it may go"));
                }
                site.drives[drive].content[index] = piece;
            }
        }
    }

    /// Nothing moves any more: makes the blob appear where everything landed, and tells what was done.
    fn end(&mut self, site: &mut Site, drive: usize, elapsed: Duration, now: OffsetDateTime) -> TransferResult {
        let is_whole = self.state.iter().all(|chunk| chunk.has_landed() || *chunk == Chunk::Unreadable);
        if is_whole && self.stop.is_none() && site.blobs.fails_until > elapsed {
            self.fail(Outcome::StoreFailed, StopReason::StoreFailed, "the store does not answer", now);
        }
        if let (true, None, Err(why)) = (is_whole, self.stop, self.require_free(site)) {
            self.fail(Outcome::Refused, StopReason::Failed, why, now);
        }
        let (outcome, message) = match (&self.fault, self.stop) {
            (Some((outcome, message)), _) => (*outcome, Some(message.clone())),
            (None, Some(_)) => (Outcome::Cancelled, None),
            (None, None) => {
                self.complete(site, drive, elapsed);
                match self.state.contains(&Chunk::Unreadable) {
                    true => (Outcome::CompleteWithUnreadable, None),
                    false => (Outcome::Complete, None),
                }
            }
        };
        self.keep(site, elapsed);
        self.told(site, drive, (outcome, message), now)
    }

    pub fn told(
        &self,
        site: &Site,
        drive: usize,
        (outcome, message): (Outcome, Option<String>),
        now: OffsetDateTime,
    ) -> TransferResult {
        let stop = self.stop.map(|(reason, at)| (reason, at, now));
        let (was_zero, transfer) = (&self.zeros(site, drive)[..], Some(self.transfer.clone()));
        told(&self.order, &Told { chunks: &self.state, outcome, stop, message, was_zero, transfer })
    }

    fn zeros(&self, site: &Site, drive: usize) -> Vec<bool> {
        let content = &site.drives[drive].content;
        (0..self.state.len()).map(|index| content[index] == Piece::Zero).collect()
    }

    fn complete(&self, site: &mut Site, drive: usize, elapsed: Duration) {
        self.keep(site, elapsed);
        match self.order.direction {
            Direction::Import if self.is_committed(site) => {}
            Direction::Import => {
                // A drive that holds nothing leaves a blob that holds nothing.
                site.blobs.partial.entry((self.address(), self.transfer.clone())).or_default();
                self.look_at_replaced(site, drive);
                site.blobs.commit(&self.address(), &self.transfer);
            }
            Direction::Export => {
                let count = self.state.len();
                site.drives[drive].content[count..].fill(Piece::Zero);
            }
        }
        self.record(site, drive, elapsed);
        self.record_complete(site);
    }

    /// A blob is replaced only where a person said so.
    fn look_at_replaced(&self, site: &mut Site, drive: usize) {
        let is_there = site.blobs.blobs.contains_key(&self.address());
        let copy = (self.order.job_uid.clone(), self.order.drive_id.clone());
        if is_there && !site.may_be_replaced.contains(&copy) {
            site.violations.push(format!("the blob of the drive {drive} replaced another one, and no person said so"));
        }
    }
}
