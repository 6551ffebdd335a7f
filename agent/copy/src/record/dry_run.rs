//! What a dry run looks at in place of the state directory: copies of its journals, so that nothing there is changed.

use std::fs::File;
use std::path::{Path, PathBuf};

use file::locked::{Which, is_busy, open_locked};
use protocol::result::{Direction, TransferPlan};

use crate::call::options::TransferOptions;
use crate::error::{CopyError, state_error};
use crate::record::journal::prefix_of;

/// Copies of the journals of one direction; they go when it is dropped.
pub(crate) struct PlanState {
    folder: tempfile::TempDir,
    real: PathBuf,
    /// Copies of journals that other processes have: they are not available here either.
    _busy: Vec<File>,
}

impl PlanState {
    /// Copies what there is, and lets `options` lead there.
    ///
    /// # Errors
    /// When a journal cannot be read, or there is no room for its copy.
    pub(crate) fn new(options: &mut TransferOptions, direction: Direction) -> Result<Self, CopyError> {
        let temporary = std::env::temp_dir();
        let folder = tempfile::tempdir().map_err(|source| state_error("make a folder in", &temporary, source))?;
        let real = std::mem::replace(&mut options.state_dir, folder.path().to_owned());
        let mut state = PlanState { folder, real, _busy: Vec::new() };
        let journals = state.real.join("journals");
        let entries = std::fs::read_dir(&journals).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let prefix = prefix_of(direction);
        let is_journal = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(prefix) && name.ends_with(".jsonl")
        };
        for path in entries.filter(is_journal) {
            state.copy(&path).map_err(|source| state_error("copy", &path, source))?;
        }
        Ok(state)
    }

    fn copy(&mut self, path: &Path) -> std::io::Result<()> {
        let copies = self.folder.path().join("journals");
        file::private::make_folder(&copies)?;
        let Some(copy) = path.file_name().map(|name| copies.join(name)) else { return Ok(()) };
        std::fs::copy(path, &copy)?;
        if is_busy(path) {
            self._busy.extend(open_locked(&copy, Which::Existing).ok());
        }
        Ok(())
    }

    /// A text with the real names.
    fn restated(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), &self.real.display().to_string())
    }

    /// A plan with the real names.
    pub(crate) fn restate_plan(&self, plan: TransferPlan) -> TransferPlan {
        let warnings = plan.warnings.iter().map(|warning| self.restated(warning)).collect();
        TransferPlan { manifest: self.restated(&plan.manifest), warnings, ..plan }
    }

    /// An error with the real names.
    pub(crate) fn restate(&self, error: CopyError) -> CopyError {
        match error {
            CopyError::Refused(text) => CopyError::Refused(self.restated(&text)),
            CopyError::Usage(text) => CopyError::Usage(self.restated(&text)),
            CopyError::Journal { path, error } => {
                let path = path.strip_prefix(self.folder.path()).map_or(path.clone(), |rest| self.real.join(rest));
                CopyError::Journal { path, error }
            }
            error => error,
        }
    }
}
