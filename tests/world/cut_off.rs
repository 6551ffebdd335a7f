//! Copies whose process is killed, falls asleep or wakes: what was in flight lands, or does not.

use std::time::Duration;

use protocol::outcome::Outcome;
use protocol::result::Direction;
use protocol::stop::StopReason;
use time::OffsetDateTime;

use crate::copying::{Chunk, Copy};
use crate::site::{Piece, Site};

impl Copy {
    /// Its process was killed: what is in flight lands, or does not, and it is not written down.
    pub fn cut_off(mut self, site: &mut Site) {
        let in_flight = std::mem::take(&mut self.in_flight);
        in_flight.into_iter().for_each(|chunk| self.land_unnoticed(site, chunk));
    }

    /// Its host falls asleep: what is in flight lands, or does not, and is waited for when it wakes.
    pub fn fall_asleep(&self, site: &mut Site) {
        self.in_flight.iter().for_each(|chunk| self.land_unnoticed(site, *chunk));
    }

    fn land_unnoticed(&self, site: &mut Site, (index, piece): (usize, Piece)) {
        let is_import = self.order.direction == Direction::Import;
        if let Some(drive) = self.drive.filter(|drive| site.random.percent(50) && (is_import || self.has_drive(site, *drive))) {
            self.land(site, drive, index, piece);
        }
    }

    /// Its host wakes: before anything looks at the clock, a chunk that was in flight may land.
    pub fn wake(&mut self, site: &mut Site, elapsed: Duration) {
        self.next_event = elapsed + self.step_takes;
        let (target, is_import) = (self.address(), self.order.direction == Direction::Import);
        let is_there = site.blobs.partial.contains_key(&(target.clone(), self.transfer.clone()));
        let Some((drive, (index, piece))) = self.drive.zip(self.in_flight.front().copied()) else { return };
        let may_land = if is_import { is_there && site.blobs.fails_until <= elapsed } else { self.has_drive(site, drive) };
        if may_land && site.random.percent(50) {
            site.tally("a chunk lands when its host wakes");
            site.blobs.late.insert((target, self.transfer.clone(), index));
            self.land(site, drive, index, piece);
        }
    }

    /// Drops everything: whether what was in flight landed is not known.
    pub fn abort(mut self, site: &mut Site, now: OffsetDateTime, elapsed: Duration) {
        self.ask_to_stop(StopReason::SecondSignal, now);
        self.holds = false;
        self.in_flight.drain(..).for_each(|(index, _)| self.state[index] = Chunk::Unknown);
        let result = match self.drive {
            Some(drive) => {
                self.record(site, drive, elapsed);
                self.told(site, drive, (Outcome::Cancelled, None), now)
            }
            None => self.account(site, (StopReason::SecondSignal, now), now, elapsed),
        };
        self.tell(result);
    }
}
