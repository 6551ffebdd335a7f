//! Making the maps say what is known now.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Instant;

use file::replace::{write_bytes, write_users_file};
use protocol::rescue::{ReadMap, ReadStatus, RescuePhase, mapfile};

use crate::error::{CopyError, state_error};
use crate::limits::RESCUE_SAVE_INTERVAL;
use crate::record::table::SharedTable;
use crate::rescue::state::{Rescue, State};

impl Rescue {
    /// Saves the maps now and then, and when a phase ends.
    pub(crate) fn save_sometimes(&self, table: &SharedTable) -> Result<(), CopyError> {
        let is_due = {
            let state = self.state();
            state.saved_at.elapsed() >= RESCUE_SAVE_INTERVAL || state.saved_phase != state.plan.phase()
        };
        if is_due { self.save(table) } else { Ok(()) }
    }

    /// Makes the maps say what is known now. The bytes are durable before a map speaks of them.
    pub(crate) fn save(&self, table: &SharedTable) -> Result<(), CopyError> {
        if self.has_begun() {
            self.save_own()?;
        }
        self.save_users(table)?;
        let mut state = self.state();
        state.saved_at = Instant::now();
        state.saved_phase = state.plan.phase();
        Ok(())
    }

    /// Saves what only a resume needs.
    fn save_own(&self) -> Result<(), CopyError> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let (scratch, own, image) = {
            let state = self.state();
            let (phase, position) = (state.plan.phase(), state.plan.position());
            let mut own = ReadMap::new(self.geometry.total_bytes(), ReadStatus::NonTried);
            state.copy_failed(&mut own);
            for range in state.in_scratch.ranges(ReadStatus::Finished).as_slice() {
                own.set(*range, ReadStatus::Finished);
            }
            let has_image = state.in_image.bytes(ReadStatus::Finished) > 0;
            let image = has_image.then(|| mapfile::write(&state.in_image, phase, position));
            (state.scratch.to_sync(), mapfile::write(&own, phase, position), image)
        };
        scratch.sync()?;
        let write =
            |path: &Path, text: &str| write_bytes(path, text.as_bytes()).map_err(|source| state_error("write", path, source));
        write(&self.map_path, &own)?;
        image.map_or(Ok(()), |image| write(&self.image_path, &image))
    }

    /// Saves the user's map, where one is wanted.
    pub(crate) fn save_users(&self, table: &SharedTable) -> Result<(), CopyError> {
        let Some(path) = &self.options.mapfile else { return Ok(()) };
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut users = ReadMap::new(self.geometry.total_bytes(), ReadStatus::NonTried);
        table.with(|table| {
            for entry in table.entries() {
                let (index, range, entry) = entry?;
                if entry.landed.is_some() {
                    users.set(range, ReadStatus::Finished);
                    table.unreadable_of(index).iter().for_each(|bad| users.set(*bad, ReadStatus::Bad));
                }
            }
            Ok(())
        })?;
        let text = {
            let state = self.state();
            state.copy_failed(&mut users);
            let is_tried = users.bytes(ReadStatus::NonTried) == 0;
            let phase = if is_tried { state.plan.phase() } else { RescuePhase::Copying(1) };
            mapfile::write(&users, phase, state.plan.position())
        };
        write_users_file(path, text.as_bytes()).map_err(|source| state_error("write", path, source))
    }
}

impl State {
    /// Copies what failed, and nothing else: what the plan knows, and elsewhere what was known before.
    fn copy_failed(&self, to: &mut ReadMap) {
        let is_failed = |status: &ReadStatus| ![ReadStatus::NonTried, ReadStatus::Finished].contains(status);
        for (range, status) in self.plan.map().runs().filter(|(_, status)| is_failed(status)) {
            to.set(range, status);
        }
        for (range, status) in self.known.runs().filter(|(_, status)| is_failed(status)) {
            for (part, taken) in self.taken_over.runs_in(range) {
                // What has landed meanwhile is not a failure any more.
                if taken != ReadStatus::Finished && to.runs_in(part).all(|(_, now)| now == ReadStatus::NonTried) {
                    to.set(part, status);
                }
            }
        }
    }
}
