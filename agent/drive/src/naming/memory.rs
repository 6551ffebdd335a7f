//! Each bridge is asked once for each docking, and its answer is remembered: bays are looked at every second.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::ask::{Asked, ask};
use super::command::OwnName;
use crate::pass_through::PassThrough;

/// How long a bridge that did not answer is left alone: each unanswered command makes the kernel reset it, and after a reset
/// its drive may be docked again.
const SILENT_PAUSE: Duration = Duration::from_secs(15 * 60);

/// What the bridges answered.
#[derive(Default)]
pub(super) struct Memory {
    answered: Mutex<HashMap<PathBuf, Docking>>,
    silent: Mutex<HashMap<Bridge, Instant>>,
}

/// One docking of a drive, and its own name.
struct Docking {
    number: (u64, u64),
    name: Arc<OnceLock<Option<OwnName>>>,
}

/// A bridge at its port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Bridge {
    pub(super) port: PathBuf,
    pub(super) product: (u16, u16),
}

impl Memory {
    /// The own name of the drive that is the device in `folder`. `docking` is another number when it is another drive. Who
    /// comes while another asks waits for the answer.
    pub(super) fn own_name(
        &self,
        folder: &Path,
        docking: (u64, u64),
        bridge: &Bridge,
        pass_through: &dyn PassThrough,
    ) -> Option<OwnName> {
        let name = {
            let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            if answered.get(folder).is_none_or(|known| known.number != docking) {
                // Devices that are gone do not come back in the same folder.
                answered.retain(|folder, _| folder.exists());
                answered.insert(folder.to_owned(), Docking { number: docking, name: Arc::default() });
            }
            answered.get(folder).map(|known| known.name.clone()).unwrap_or_default()
        };
        name.get_or_init(|| self.ask(bridge, pass_through)).clone()
    }

    fn ask(&self, bridge: &Bridge, pass_through: &dyn PassThrough) -> Option<OwnName> {
        let is_left_alone = {
            let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
            silent.retain(|_, since| since.elapsed() < SILENT_PAUSE);
            silent.contains_key(bridge)
        };
        if is_left_alone {
            return None;
        }
        match ask(bridge.product, pass_through) {
            Asked::Told(name) => Some(name),
            Asked::Nothing => None,
            Asked::Silent => {
                let (vendor, product) = bridge.product;
                tracing::warn!(
                    port = %bridge.port.display(),
                    "the USB bridge {vendor:04x}:{product:04x} does not say which drive is behind it, and is not asked again for a while"
                );
                self.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(bridge.clone(), Instant::now());
                None
            }
        }
    }
}
