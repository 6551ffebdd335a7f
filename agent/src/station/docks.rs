//! The bays and what is in them. A thread looks at every watched place whenever the kernel announces a drive, and at
//! least once a second; looking touches no drive.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use copy::Stop;
use drive::OpenedAs;
use drive::discovery::{DockBell, Docked, attached_at};
use protocol::arm::drive_id_of;
use protocol::drives::Verdict;
use protocol::station::BayContent;
use protocol::station::DockedDrive;
use service::scheduler::Clock;
use service::scheduler::worker::WorkError;
use tokio::sync::Notify;

use super::config::Bay;
use super::docked_by_hand::{self, DockedByHand};
use super::look::{Looks, NotSeen};
use crate::opening;

/// A look comes at least this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Longest that opening a drive may take which cannot be docked, to find out why.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The bays of a station.
pub(crate) struct Docks {
    slots: Mutex<Vec<Slot>>,
    changed: Notify,
    clock: Clock,
    /// Folders from which files may be docked by hand; anywhere, where `None`.
    folders: Option<Vec<PathBuf>>,
    looks: Looks,
    /// Where it is kept what was docked by hand, so that a restart finds it.
    kept: PathBuf,
}

struct Slot {
    name: String,
    /// Configured: it cannot be changed by hand.
    watched: Option<PathBuf>,
    /// Docked by hand.
    by_hand: Option<PathBuf>,
    /// What jobs call the drive, where that is not its serial number.
    drive_id: Option<String>,
    docked: Option<(Docked, BayContent)>,
    /// Why what is there cannot be used: one sentence.
    unusable: Option<String>,
    /// Counts dockings.
    sequence: u64,
    /// A look has been taken: what comes from now on was docked while we watched.
    was_seen: bool,
}

impl Docks {
    /// The bays, after a first look at them.
    pub(crate) fn new(bays: &[Bay], folders: Option<Vec<PathBuf>>, clock: Clock, kept: PathBuf) -> Arc<Self> {
        let looks = Looks::default();
        let by_hand = docked_by_hand::read(&kept, &looks);
        let slot = |bay: &Bay| {
            let by_hand = by_hand.iter().find(|docked| docked.bay == bay.name && bay.drive.is_none());
            Slot {
                name: bay.name.clone(),
                watched: bay.drive.clone(),
                by_hand: by_hand.map(|docked| docked.path.clone()),
                drive_id: by_hand.map_or_else(|| bay.drive_id.clone(), |docked| docked.drive_id.clone()),
                docked: None,
                unusable: None,
                sequence: 0,
                was_seen: false,
            }
        };
        let slots = Mutex::new(bays.iter().map(slot).collect());
        let docks = Docks { slots, changed: Notify::new(), clock, folders, looks, kept };
        docks.look();
        Arc::new(docks)
    }

    /// Watches from now on, on a thread of its own.
    pub(crate) fn watch(self: &Arc<Self>) {
        let docks = Arc::downgrade(self);
        let looking = move || {
            let bell = DockBell::listen();
            while let Some(docks) = docks.upgrade() {
                docks.look();
                drop(docks);
                bell.wait(LOOK_INTERVAL);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("docks".to_owned()).spawn(looking) {
            tracing::error!(%error, "the docks cannot be watched");
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at every bay, and rings when something changed.
    fn look(&self) {
        let by_hand = |slot: &Slot| slot.watched.is_none();
        let places: Vec<(Option<PathBuf>, bool)> =
            self.slots().iter().map(|slot| (slot.place().cloned(), by_hand(slot))).collect();
        // Looking may take a while, and is not waited for.
        let look = |(place, by_hand): &(Option<PathBuf>, bool)| {
            let Some(path) = place.as_deref() else { return Ok(None) };
            let found = self.looks.at(path)?;
            Ok(found.filter(|docked| !by_hand || self.is_still_allowed(path, docked)))
        };
        let found: Vec<Result<Option<Docked>, NotSeen>> = places.iter().map(look).collect();
        let mut has_changed = false;
        for ((slot, (place, _)), found) in self.slots().iter_mut().zip(places).zip(found) {
            // A drive that was docked or taken out by hand meanwhile was not looked at.
            if slot.place() != place.as_ref() {
                continue;
            }
            let (found, unusable) = match found {
                Ok(found) => (found, None),
                Err(NotSeen::Unusable(why)) => (None, Some(why)),
                // A place that hangs keeps what was seen there last.
                Err(NotSeen::Hangs) => continue,
            };
            has_changed |= slot.unusable != unusable;
            slot.unusable = unusable;
            has_changed |= slot.see(place.zip(found), &self.clock);
        }
        if has_changed {
            self.changed.notify_one();
        }
    }

    /// Returns when something was docked or taken away.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is in each bay.
    pub(crate) fn content(&self) -> Vec<BayContent> {
        let empty = |slot: &Slot| BayContent {
            name: slot.name.clone(),
            is_watched: slot.watched.is_some(),
            drive: None,
            attachment: String::new(),
            docked_at: None,
            docked_here: None,
            sequence: slot.sequence,
            station: None,
            hall: None,
            state_id: None,
            unknown: slot.unusable.clone(),
        };
        self.slots().iter().map(|slot| slot.docked.as_ref().map_or_else(|| empty(slot), |(_, content)| content.clone())).collect()
    }

    /// Where the drive of a bay is reached, as long as it is that docking of it; and who it is.
    pub(crate) fn drive(&self, bay: &str, sequence: u64) -> Option<(PathBuf, Docked)> {
        let slots = self.slots();
        let slot = slots.iter().find(|slot| slot.name == bay && slot.sequence == sequence)?;
        Some((slot.place().cloned()?, slot.docked.as_ref()?.0.clone()))
    }

    /// The docking that a bay has now.
    pub(crate) fn sequence(&self, bay: &str) -> u64 {
        self.slots().iter().find(|slot| slot.name == bay).map_or(0, |slot| slot.sequence)
    }

    /// Docks a drive by hand.
    pub(crate) fn dock(&self, bay: &str, path: &Path, drive_id: Option<&str>) -> Result<DockedDrive, WorkError> {
        let refused = |message: String| Err(WorkError::Refused(message));
        let shown = path.display();
        let not_seen = |why: NotSeen| match why {
            NotSeen::Hangs => WorkError::Failed(format!("the drive `{shown}` does not answer: check its cable and power")),
            NotSeen::Unusable(why) => WorkError::Refused(why),
        };
        let Ok(real) = path.canonicalize() else {
            // A look says more of what is there and leads nowhere.
            self.looks.at(path).map_err(not_seen)?;
            return refused(format!("there is no drive at `{shown}`"));
        };
        // A second name may be that of a file that may not be docked.
        if real.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() > 1) {
            return refused(format!("`{shown}` has a second name (a hard link): remove one of them"));
        }
        // The name that was given may stay with the port or the drive; the one it leads to now may not.
        let Ok(path) = std::path::absolute(path) else { return refused(format!("`{shown}` is not a path")) };
        self.require_allowed(&path, &real).map_err(WorkError::Refused)?;
        // A look has a timeout; what its bridge was asked for is known behind it.
        let looked = self.looks.at(&path).map_err(not_seen)?;
        if let Some(drive) = attached_at(&real).filter(|drive| drive.verdict != Verdict::Free) {
            return refused(match drive.verdict {
                Verdict::System => format!("this machine runs from `{shown}`"),
                _ => format!("`{shown}` is in use: {}; release it first", drive.in_use_by.join("; ")),
            });
        }
        let Some(docked) = looked else {
            // Opening it says what is wrong with it.
            let owned = path.clone();
            let open = move || drive::look_at_source(&owned);
            let why = opening::in_time(&path, OPEN_TIMEOUT, &Stop::new(), || false, open).err();
            let none = || format!("`{shown}` is not a drive that can be docked");
            return refused(why.map_or_else(none, |error| error.to_string()));
        };
        if !self.is_still_allowed(&path, &docked) {
            return refused(format!("`{shown}` came to lead elsewhere while it was looked at: dock it again"));
        }
        {
            let mut slots = self.slots();
            // By what it is: one file may have two names.
            let is_here = |slot: &Slot| slot.docked.as_ref().is_some_and(|(other, _)| other.opened_as == docked.opened_as);
            if let Some(other) = slots.iter().find(|slot| slot.name != bay && is_here(slot)) {
                return refused(format!("`{shown}` is in `{}` already", other.name));
            }
            let Some(slot) = slots.iter_mut().find(|slot| slot.name == bay) else {
                return refused(format!("there is no bay `{bay}`"));
            };
            if let Some(watched) = &slot.watched {
                return refused(format!("`{bay}` is watched for what is docked at `{}`", watched.display()));
            }
            if slot.docked.is_some() {
                return refused(format!("`{bay}` is not empty: take its drive out first"));
            }
            slot.by_hand = Some(path.clone());
            slot.drive_id = drive_id.map(str::to_owned);
            slot.was_seen = true;
            slot.see(Some((path, docked)), &self.clock);
            let drive = slot.docked.as_ref().and_then(|(_, content)| content.drive.clone());
            self.keep(&slots);
            self.changed.notify_one();
            drive.ok_or_else(|| WorkError::Failed(format!("`{shown}` could not be docked")))
        }
    }

    /// Refuses what may not be docked by hand: `path` leads to `real`.
    fn require_allowed(&self, path: &Path, real: &Path) -> Result<(), String> {
        let shown = path.display();
        let is_below = |folders: &Vec<PathBuf>| {
            folders.iter().any(|folder| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder)))
        };
        // Files below /dev (/dev/shm) are files like any other.
        let is_device = real.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device());
        if !is_device && !self.folders.as_ref().is_none_or(is_below) {
            return Err(format!("`{shown}` is in none of the station's `drive_folders`"));
        }
        match self.kept.parent().and_then(|own| own.canonicalize().ok()).is_some_and(|own| real.starts_with(own)) {
            true => Err(format!("`{shown}` is the service's own: it is not a drive")),
            false => Ok(()),
        }
    }

    /// Whether what was seen at a path is what may be docked by hand there: a path may lead elsewhere by now.
    fn is_still_allowed(&self, path: &Path, docked: &Docked) -> bool {
        let Ok(real) = path.canonicalize() else { return false };
        let is_it = real.symlink_metadata().is_ok_and(|metadata| OpenedAs::of(&metadata) == docked.opened_as);
        is_it && self.require_allowed(path, &real).is_ok()
    }

    /// Keeps what is docked by hand. Without it a restart only finds empty bays.
    fn keep(&self, slots: &[Slot]) {
        let docked = |slot: &Slot| {
            let path = slot.by_hand.clone()?;
            let (docked, _) = slot.docked.as_ref()?;
            Some(DockedByHand {
                bay: slot.name.clone(),
                path,
                drive_id: slot.drive_id.clone(),
                serial: docked.serial.clone(),
                model: docked.model.clone(),
                size_bytes: docked.size_bytes,
            })
        };
        let docked: Vec<DockedByHand> = slots.iter().filter_map(docked).collect();
        if let Err(error) = docked_by_hand::write(&self.kept, &docked) {
            tracing::warn!(%error, "what is docked by hand cannot be kept: a restart will not find it");
        }
    }

    /// Takes a drive out by hand.
    pub(crate) fn undock(&self, bay: &str) -> Result<(), WorkError> {
        let refused = |message: String| Err(WorkError::Refused(message));
        let mut slots = self.slots();
        let Some(slot) = slots.iter_mut().find(|slot| slot.name == bay) else {
            return refused(format!("there is no bay `{bay}`"));
        };
        if slot.watched.is_some() {
            return refused(format!("`{bay}` is watched: pull the drive, and it is empty"));
        }
        if slot.by_hand.take().is_none() {
            return refused(format!("`{bay}` is empty"));
        }
        slot.drive_id = None;
        slot.unusable = None;
        slot.see(None, &self.clock);
        self.keep(&slots);
        self.changed.notify_one();
        Ok(())
    }
}

impl Slot {
    fn place(&self) -> Option<&PathBuf> {
        self.watched.as_ref().or(self.by_hand.as_ref())
    }

    /// Notes which drive is there now; returns whether that is another one.
    fn see(&mut self, now: Option<(PathBuf, Docked)>, clock: &Clock) -> bool {
        let is_first = !std::mem::replace(&mut self.was_seen, true);
        let before = self.docked.as_ref().map(|(docked, _)| docked);
        if before == now.as_ref().map(|(_, docked)| docked) {
            return false;
        }
        let is_other = |before: &Docked, now: &Docked| (&before.serial, &before.model) != (&now.serial, &now.model);
        if self.by_hand.is_some() && before.zip(now.as_ref()).is_some_and(|(before, (_, now))| is_other(before, now)) {
            // The name was given to another drive.
            self.drive_id = None;
        }
        self.sequence += 1;
        let sequence = self.sequence;
        self.docked = now.map(|(path, docked)| {
            let drive = DockedDrive {
                path: path.display().to_string(),
                drive_id: self.drive_id.clone().or_else(|| docked.serial.as_deref().and_then(drive_id_of)),
                bridge_serial: docked.bridge_serial.clone(),
                // A person who names a drive says which it is.
                weak_identity: if self.drive_id.is_some() { Vec::new() } else { docked.weak_identity.clone() },
                model: docked.model.clone(),
                size_bytes: docked.size_bytes,
            };
            let docked_at = (!is_first).then(|| clock());
            let content = BayContent {
                name: self.name.clone(),
                is_watched: self.watched.is_some(),
                drive: Some(drive),
                attachment: attachment_of(&docked),
                docked_at,
                docked_here: None,
                sequence,
                station: None,
                hall: None,
                state_id: None,
                unknown: None,
            };
            (docked, content)
        });
        true
    }
}

/// The same as long as a drive is not taken out: the kernel counts attachments from its start, and a file has its number.
fn attachment_of(docked: &Docked) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{}/{}", if docked.is_device() { boot.trim() } else { "file" }, docked.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;

    fn bay(name: &str, drive: Option<PathBuf>) -> Bay {
        Bay { name: name.to_owned(), drive, drive_id: None }
    }

    #[test]
    fn drives_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let path = folder.path().join("WD 42.img");
        let docks = Docks::new(
            &[bay("watched", Some(path.clone())), bay("free", None)],
            Some(vec![folder.path().to_owned()]),
            Arc::new(|| OffsetDateTime::UNIX_EPOCH),
            folder.path().join("state/docked.json"),
        );
        let content = |index: usize| docks.content()[index].clone();
        assert!(content(0).drive.is_none());
        std::fs::write(&path, [0; 512]).unwrap();
        docks.look();
        assert_eq!(content(0).drive.unwrap().drive_id.as_deref(), Some("WD42"), "spaces are not part of a serial number");
        assert!(content(0).docked_at.is_some(), "it came while we watched");
        let other = folder.path().join("other.img");
        std::fs::write(&other, [0; 512]).unwrap();
        let refused = |docked: Result<DockedDrive, WorkError>| match docked {
            Err(WorkError::Refused(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(refused(docks.dock("watched", &other, None)).contains("watched"));
        assert!(refused(docks.dock("free", &path, None)).contains("in `watched` already"));
        assert!(refused(docks.dock("free", Path::new("/etc/hostname"), None)).contains("drive_folders"));
        assert!(refused(docks.dock("free", &folder.path().join("none"), None)).contains("no drive"));
        let circle = folder.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(refused(docks.dock("free", &circle, None)).contains("a symbolic link that leads back to itself, not a drive"));
        assert_eq!(docks.dock("free", &other, Some("MINE")).unwrap().drive_id.as_deref(), Some("MINE"));
        assert!(refused(docks.dock("free", &other, None)).contains("not empty"));
        let restarted = Docks::new(
            &[bay("free", None)],
            None,
            Arc::new(|| OffsetDateTime::UNIX_EPOCH),
            folder.path().join("state/docked.json"),
        );
        let found = restarted.content()[0].drive.clone().unwrap();
        assert_eq!(found.drive_id.as_deref(), Some("MINE"), "a restart finds what was docked by hand");
        let profile = folder.path().join("profile.toml");
        std::fs::write(&profile, "size = \"1MiB\"\nserial = 7\n").unwrap();
        let watching = Docks::new(
            &[bay("watched", Some(profile.clone()))],
            None,
            Arc::new(|| OffsetDateTime::UNIX_EPOCH),
            folder.path().join("state/other.json"),
        );
        let content_of_profile = || watching.content()[0].clone();
        assert!(content_of_profile().drive.is_none());
        assert!(content_of_profile().unknown.unwrap().contains("cannot be used"), "and why");
        std::fs::write(&profile, "size = \"1MiB\"\nserial = \"S7\"\n").unwrap();
        watching.look();
        assert!(content_of_profile().drive.is_some() && content_of_profile().unknown.is_none());
        docks.undock("free").unwrap();
        assert!(docks.undock("free").is_err() && content(1).drive.is_none());
        std::fs::remove_file(&path).unwrap();
        docks.look();
        assert!(content(0).drive.is_none());
    }
}
