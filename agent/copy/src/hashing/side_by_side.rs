//! SHA-256 of several messages side by side on one core.
//!
//! The SHA instructions of x86-64 are bound by latency: one stream leaves half of the unit idle. On a core of Zen 5 two
//! streams hash 1.5 times as much as one, four 1.85 times, six 1.9 times (`drive-agent bench` measures it where it runs).

use protocol::digest::Sha256Digest;

#[cfg(target_arch = "x86_64")]
use crate::hashing::{extension, lane};

/// How many messages are hashed side by side: as many as measured fastest for the code that each number needs.
pub const LANES: usize = 4;

/// How many messages gain from each other's company here: one, on a processor that cannot.
pub(crate) fn lanes() -> usize {
    #[cfg(target_arch = "x86_64")]
    if extension::Extension::detect().is_some() {
        return LANES;
    }
    1
}

/// Up to [`LANES`] messages that are hashed side by side on this core, where the processor can. A message joins those
/// under way at any step, so that none has to wait for company.
pub struct SideBySide<M> {
    #[cfg(target_arch = "x86_64")]
    extension: Option<extension::Extension>,
    #[cfg(target_arch = "x86_64")]
    lanes: Vec<lane::Lane<M>>,
    /// Those of a processor that cannot.
    waiting: Vec<M>,
}

impl<M: AsRef<[u8]>> Default for SideBySide<M> {
    fn default() -> Self {
        SideBySide {
            #[cfg(target_arch = "x86_64")]
            extension: extension::Extension::detect(),
            #[cfg(target_arch = "x86_64")]
            lanes: Vec::with_capacity(LANES),
            waiting: Vec::new(),
        }
    }
}

impl<M: AsRef<[u8]>> SideBySide<M> {
    /// As on a processor that cannot.
    #[cfg(test)]
    pub(super) fn without_extension() -> Self {
        SideBySide { extension: None, ..Self::default() }
    }

    #[cfg(target_arch = "x86_64")]
    fn count(&self) -> usize {
        self.lanes.len() + self.waiting.len()
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no message is under way.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether one more message may join.
    pub fn has_room(&self) -> bool {
        self.count() < LANES
    }

    /// Lets a message join. Its bytes must not change until it is done.
    pub fn add(&mut self, message: M) {
        #[cfg(target_arch = "x86_64")]
        if self.extension.is_some() {
            self.lanes.push(lane::Lane::new(message));
            return;
        }
        self.waiting.push(message);
    }

    /// Hashes a part of every message, and tells of each that is done.
    pub fn step(&mut self, mut done: impl FnMut(M, Sha256Digest)) {
        #[cfg(target_arch = "x86_64")]
        if let Some(extension) = self.extension {
            lane::advance(extension, &mut self.lanes);
            while let Some(index) = self.lanes.iter().position(lane::Lane::is_done) {
                let (message, digest) = self.lanes.remove(index).finish();
                done(message, digest);
            }
            return;
        }
        // One after the other, in the order of coming.
        if !self.waiting.is_empty() {
            let message = self.waiting.remove(0);
            let digest = Sha256Digest::of(message.as_ref());
            done(message, digest);
        }
    }
}
