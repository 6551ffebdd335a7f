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

use crate::blobs::{Address, Journal, address};
use crate::results::{Told, failed, told};
use crate::site::{Begun, Piece, Site};

/// Chunks that were read and have not landed.
pub const IN_FLIGHT_MAX: usize = 2;

/// A copy under way.
pub struct Copy {
    /// Another one for each run.
    pub number: u64,
    pub order: CopyOrder,
    /// The physical drive, from when it was opened.
    drive: Option<usize>,
    /// When it does its next step.
    pub next_event: Duration,
    step_takes: Duration,
    /// Why it stops, and since when.
    pub stop: Option<(StopReason, OffsetDateTime)>,
    fault: Option<(Outcome, String)>,
    in_flight: VecDeque<(usize, Piece)>,
    next_chunk: usize,
    state: Vec<Chunk>,
    ended: Option<oneshot::Sender<TransferResult>>,
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

/// The name of the transfer that an order belongs to.
pub fn transfer_of(order: &CopyOrder) -> String {
    format!("{}/{}", order.job_uid, order.drive_id)
}

fn journal_key(order: &CopyOrder) -> (String, String) {
    (order.job_uid.clone(), order.drive_id.clone())
}

impl Copy {
    pub fn new(
        number: u64,
        order: CopyOrder,
        begins: Duration,
        step_takes: Duration,
        ended: oneshot::Sender<TransferResult>,
    ) -> Self {
        Copy {
            number,
            order,
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

    fn address(&self) -> Address {
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
                // The receiver is gone only where the service is.
                if let Some(ended) = self.ended.take() {
                    let _ = ended.send(result);
                }
                return true;
            }
        }
        false
    }

    /// Opens both sides and looks at what earlier runs did.
    fn begin(&mut self, site: &mut Site, elapsed: Duration, now: OffsetDateTime) -> Option<TransferResult> {
        if self.order.account_only || self.stop.is_some() {
            let (reason, at) = self.stop.unwrap_or((StopReason::JobCancelled, now));
            return Some(self.account(site, reason, at, now));
        }
        let order = &self.order;
        let Some(drive) = site.docked(&order.bay, order.sequence) else {
            return Some(failed(order, Outcome::DriveFailed, "the drive is gone"));
        };
        if site.blobs.fails_until > elapsed {
            return Some(failed(order, Outcome::StoreFailed, "the store does not answer"));
        }
        if let Err(why) = self.look(site, drive) {
            return Some(failed(&self.order, Outcome::Refused, why));
        }
        self.drive = Some(drive);
        let begun = self.begun(drive);
        site.begun.push(begun);
        None
    }

    fn begun(&self, drive: usize) -> Begun {
        let CopyOrder { job_uid, drive_id, bay, .. } = self.order.clone();
        Begun { job_uid, drive_id, drive, bay }
    }

    /// What the engine checks before the first byte, and the chunks that need not move again.
    fn look(&mut self, site: &mut Site, drive: usize) -> Result<(), &'static str> {
        let (key, transfer, target) = (journal_key(&self.order), transfer_of(&self.order), self.address());
        if self.order.retry.restart {
            site.blobs.journals.remove(&key);
            site.blobs.partial.remove(&(target.clone(), transfer.clone()));
        }
        let journal = site.blobs.journals.get(&key).cloned();
        if journal.as_ref().is_some_and(|journal| journal.drive != drive) {
            return Err("another drive of this serial number was copied before");
        }
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
        self.record(site, drive);
        Ok(())
    }

    /// Refuses an import into a blob of another's, which may have come since the import began.
    fn require_free(&self, site: &Site) -> Result<(), &'static str> {
        let is_begun = site.blobs.journals.contains_key(&journal_key(&self.order));
        let existing = site.blobs.blobs.get(&self.address());
        let is_foreign = existing.is_some_and(|blob| blob.transfer != transfer_of(&self.order) || !is_begun);
        match self.order.direction == Direction::Import && is_foreign && !self.order.retry.overwrite {
            true => Err("the blob exists already: choose another name, or replace it with `--overwrite`"),
            false => Ok(()),
        }
    }

    /// What the target holds of this transfer, chunk by chunk.
    fn held(&self, site: &Site, drive: usize, count: usize) -> Vec<Option<Piece>> {
        let is_complete = site.blobs.journals.get(&journal_key(&self.order)).is_some_and(|journal| journal.is_complete);
        match self.order.direction {
            // What an earlier transfer of the same name made was forgotten, where this one started over.
            Direction::Import if is_complete => site.blobs.finished(&self.address(), &transfer_of(&self.order)),
            Direction::Import => site.blobs.unfinished(&self.address(), &transfer_of(&self.order)),
            Direction::Export => {
                let Some(blob) = site.blobs.blobs.get(&self.address()) else { return vec![None; count] };
                let content = site.drives[drive].content.iter();
                content.zip(&blob.pieces).map(|(held, wanted)| (held == wanted).then_some(*held)).collect()
            }
        }
    }

    /// Writes the journal.
    fn record(&self, site: &mut Site, drive: usize) {
        let landed = self.state.iter().map(|chunk| chunk.has_landed()).collect();
        let unreadable = self.state.iter().map(|chunk| *chunk == Chunk::Unreadable).collect();
        let before = site.blobs.journals.get(&journal_key(&self.order));
        let is_complete = before.is_some_and(|journal| journal.is_complete);
        let journal = Journal { drive, landed, unreadable, is_complete };
        site.blobs.journals.insert(journal_key(&self.order), journal);
    }

    /// Lands the oldest chunk in flight, and reads the next.
    fn step(&mut self, site: &mut Site, drive: usize, elapsed: Duration, now: OffsetDateTime) -> Option<TransferResult> {
        if let Some((index, piece)) = self.in_flight.pop_front() {
            if site.blobs.fails_until > elapsed && self.order.direction == Direction::Import {
                self.state[index] = Chunk::NotRead;
                self.in_flight.drain(..).for_each(|(index, _)| self.state[index] = Chunk::NotRead);
                self.fail(Outcome::StoreFailed, StopReason::StoreFailed, "the store does not answer", now);
            } else {
                self.land(site, drive, index, piece);
                self.state[index] = if self.stop.is_some() { Chunk::LandedAfter } else { Chunk::LandedBefore };
            }
            self.record(site, drive);
        }
        while self.stop.is_none() && self.in_flight.len() < IN_FLIGHT_MAX && self.next_chunk < self.state.len() {
            self.read(site, drive, now);
        }
        (self.in_flight.is_empty()).then(|| self.end(site, drive, elapsed, now))
    }

    fn read(&mut self, site: &mut Site, drive: usize, now: OffsetDateTime) {
        if site.docked(&self.order.bay, self.order.sequence) != Some(drive) {
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
                    return self.record(site, drive);
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

    fn land(&self, site: &mut Site, drive: usize, index: usize, piece: Piece) {
        match self.order.direction {
            Direction::Import => site.blobs.land(&self.address(), &transfer_of(&self.order), index, self.state.len(), piece),
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
                self.complete(site, drive);
                match self.state.contains(&Chunk::Unreadable) {
                    true => (Outcome::CompleteWithUnreadable, None),
                    false => (Outcome::Complete, None),
                }
            }
        };
        let stop = self.stop.map(|(reason, at)| (reason, at, now));
        told(&self.order, &Told { chunks: &self.state, outcome, stop, message, was_zero: &self.zeros(site, drive) })
    }

    fn zeros(&self, site: &Site, drive: usize) -> Vec<bool> {
        let content = &site.drives[drive].content;
        (0..self.state.len()).map(|index| content[index] == Piece::Zero).collect()
    }

    fn complete(&self, site: &mut Site, drive: usize) {
        let is_done = site.blobs.journals.get(&journal_key(&self.order)).is_some_and(|journal| journal.is_complete);
        match self.order.direction {
            Direction::Import if is_done => {}
            Direction::Import => {
                // A drive that holds nothing leaves a blob that holds nothing.
                site.blobs.partial.entry((self.address(), transfer_of(&self.order))).or_default();
                self.look_at_replaced(site, drive);
                site.blobs.commit(&self.address(), &transfer_of(&self.order));
            }
            Direction::Export => {
                let count = self.state.len();
                site.drives[drive].content[count..].fill(Piece::Zero);
            }
        }
        self.record(site, drive);
        if let Some(journal) = site.blobs.journals.get_mut(&journal_key(&self.order)) {
            journal.is_complete = true;
        }
    }

    /// A blob is replaced only where a person said so.
    fn look_at_replaced(&self, site: &mut Site, drive: usize) {
        let is_there = site.blobs.blobs.contains_key(&self.address());
        if is_there && !site.may_be_replaced.contains(&journal_key(&self.order)) {
            site.violations.push(format!("the blob of the drive {drive} replaced another one, and no person said so"));
        }
    }

    /// What the journal says of a copy that does not go on.
    fn account(&self, site: &Site, reason: StopReason, requested_at: OffsetDateTime, now: OffsetDateTime) -> TransferResult {
        let stop = Some((reason, requested_at, now));
        let Some(journal) = site.blobs.journals.get(&journal_key(&self.order)) else {
            let drive = site.docked(&self.order.bay, self.order.sequence);
            let count = drive.map_or(0, |drive| site.drives[drive].content.len());
            let chunks = vec![Chunk::NotRead; count];
            return told(&self.order, &Told { chunks: &chunks, outcome: Outcome::Cancelled, stop, message: None, was_zero: &[] });
        };
        let last = journal.landed.iter().rposition(|landed| *landed).map_or(0, |last| last + 1);
        let chunk = |(index, landed): (usize, &bool)| match landed {
            true => Chunk::Reused,
            false if journal.unreadable[index] => Chunk::Unreadable,
            false if self.order.was_cut_off && index < last + 2 * IN_FLIGHT_MAX => Chunk::Unknown,
            false => Chunk::NotRead,
        };
        let chunks: Vec<Chunk> = journal.landed.iter().enumerate().map(chunk).collect();
        told(&self.order, &Told { chunks: &chunks, outcome: Outcome::Cancelled, stop, message: None, was_zero: &[] })
    }

    /// The service was killed: what is in flight lands, or does not, and it is not written down.
    pub fn cut_off(mut self, site: &mut Site) {
        let Some(drive) = self.drive else { return };
        for (index, piece) in std::mem::take(&mut self.in_flight) {
            if site.random.percent(50) {
                self.land(site, drive, index, piece);
            }
        }
    }

    /// The physical drive that it copies, where it was opened.
    pub fn drive(&self) -> Option<usize> {
        self.drive
    }
}
