//! Journals: what a host notes of its copies, what of that is in the accounts for other hosts, and what is told from both.

use std::time::Duration;

use protocol::outcome::Outcome;
use protocol::result::TransferResult;
use protocol::station::CopyOrder;
use protocol::stop::StopReason;
use service::scheduler::worker::unknown_result;
use time::OffsetDateTime;

use crate::blobs::{Address, address};
use crate::copying::{Chunk, Copy, IN_FLIGHT_MAX};
use crate::results::{Told, told};
use crate::site::Site;

/// What is kept to resume the copy of a drive.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The physical drive that it is bound to, by its content.
    pub drive: usize,
    /// The transfer that it is of.
    pub transfer: String,
    /// The lines that were written, each with a number of its own: one that continues another begins with its lines.
    lines: Vec<u64>,
    /// Chunks of which it is recorded that they landed.
    pub landed: Vec<bool>,
    pub unreadable: Vec<bool>,
    pub is_complete: bool,
}

/// Under which a host has the journal of an order.
pub fn journal_key(host: usize, order: &CopyOrder) -> (usize, String, String) {
    (host, order.job_uid.clone(), order.drive_id.clone())
}

/// Where the journal of an order is kept for other hosts.
fn kept_key(order: &CopyOrder) -> Option<(Address, String)> {
    Some((address(&order.account, &order.journal.as_ref()?.place), order.job_uid.clone()))
}

impl Site {
    /// A host takes over what another host wrote, where it has none or did not continue it.
    pub fn take_over_journal(&mut self, host: usize, order: &CopyOrder) {
        let Some(kept) = kept_key(order).and_then(|key| self.blobs.kept.get(&key)).cloned() else { return };
        let key = journal_key(host, order);
        let continues = self.blobs.journals.get(&key).is_some_and(|own| own.lines.starts_with(&kept.lines));
        if !continues {
            self.tally("the journal of another host is taken over");
            self.blobs.journals.insert(key, kept);
        }
    }

    /// Forgets what was done of a copy that is started over.
    pub fn discard_journal(&mut self, host: usize, order: &CopyOrder, target: &Address) {
        let own = self.blobs.journals.remove(&journal_key(host, order));
        let kept = kept_key(order).and_then(|key| self.blobs.kept.remove(&key));
        for journal in own.into_iter().chain(kept) {
            self.blobs.discard(target, &journal.transfer);
        }
    }

    /// What is known of a copy whose host does not tell; `None` where its account has no journal.
    pub fn account_without_host(&self, order: &CopyOrder, now: OffsetDateTime) -> Option<TransferResult> {
        let journal = self.blobs.kept.get(&kept_key(order)?)?;
        // It may be behind: what it does not know of may have landed.
        let chunk = |landed: &bool| if *landed { Chunk::Reused } else { Chunk::Unknown };
        let chunks: Vec<Chunk> = journal.landed.iter().map(chunk).collect();
        let stop = Some((StopReason::JobCancelled, now, now));
        let transfer = Some(journal.transfer.clone());
        Some(told(order, &Told { chunks: &chunks, outcome: Outcome::Cancelled, stop, message: None, was_zero: &[], transfer }))
    }
}

impl Copy {
    /// Writes the journal, and perhaps what was added to the account.
    pub fn record(&self, site: &mut Site, drive: usize, elapsed: Duration) {
        let key = journal_key(self.host, &self.order);
        let before = site.blobs.journals.remove(&key);
        let (mut lines, is_complete) = before.map_or_else(|| (Vec::new(), false), |before| (before.lines, before.is_complete));
        lines.push(site.random.number());
        let landed = self.chunks().iter().map(|chunk| chunk.has_landed()).collect();
        let unreadable = self.chunks().iter().map(|chunk| *chunk == Chunk::Unreadable).collect();
        let journal = Journal { drive, transfer: self.transfer.clone(), lines, landed, unreadable, is_complete };
        site.blobs.journals.insert(key, journal);
        if site.random.percent(75) {
            self.keep(site, elapsed);
        }
    }

    /// Notes that everything landed.
    pub fn record_complete(&self, site: &mut Site) {
        if let Some(journal) = site.blobs.journals.get_mut(&journal_key(self.host, &self.order)) {
            journal.is_complete = true;
        }
    }

    /// Writes what was added to the account: as long as its grant holds, and the store answers.
    pub fn keep(&self, site: &mut Site, elapsed: Duration) {
        let Some(key) = kept_key(&self.order).filter(|_| self.holds && site.blobs.fails_until <= elapsed) else { return };
        if let Some(journal) = site.blobs.journals.get(&journal_key(self.host, &self.order)).cloned() {
            site.blobs.kept.insert(key, journal);
        }
    }

    /// What the journals say of a copy that does not go on.
    pub fn account(
        &self,
        site: &Site,
        (reason, requested_at): (StopReason, OffsetDateTime),
        now: OffsetDateTime,
        elapsed: Duration,
    ) -> TransferResult {
        let (order, stop) = (&self.order, Some((reason, requested_at, now)));
        let tell = |chunks: &[Chunk], transfer: Option<String>| {
            let outcome = Outcome::Cancelled;
            told(order, &Told { chunks, outcome, stop, message: None, was_zero: &[], transfer })
        };
        let Some(journal) = site.blobs.journals.get(&journal_key(self.host, order)) else {
            if order.journal.is_some() && site.blobs.fails_until > elapsed {
                return unknown_result(order);
            }
            let drive = site.docked(&order.bay, order.sequence);
            let count = drive.map_or(0, |drive| site.drives[drive].content.len());
            let of_nothing = || tell(&vec![Chunk::NotRead; count], None);
            return site.account_without_host(order, now).unwrap_or_else(of_nothing);
        };
        let last = journal.landed.iter().rposition(|landed| *landed).map_or(0, |last| last + 1);
        let chunk = |(index, landed): (usize, &bool)| match landed {
            true => Chunk::Reused,
            false if journal.unreadable[index] => Chunk::Unreadable,
            false if order.was_cut_off && index < last + 2 * IN_FLIGHT_MAX => Chunk::Unknown,
            false => Chunk::NotRead,
        };
        let chunks: Vec<Chunk> = journal.landed.iter().enumerate().map(chunk).collect();
        tell(&chunks, Some(journal.transfer.clone()))
    }
}
