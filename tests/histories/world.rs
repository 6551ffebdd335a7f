//! The little world of one history: drives, state directories, a store, targets; and what they look like at a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::places::{LOOP_DEVICE_BYTES, Places};
use protocol::digest::Sha256Digest;

use crate::remote::Remote;
use crate::step::{Action, DrivePlan, Plan, Run, StoreKind, Target};
use crate::support::images::random_bytes;

/// A drive: its image, and every content that it had, the latest last.
pub struct DriveFile {
    /// What commands are given: the image, or a profile that says what of it cannot be read.
    pub path: PathBuf,
    pub image: PathBuf,
    pub versions: Vec<Vec<u8>>,
    pub unreadable: Vec<(u64, u64)>,
}

/// Pieces in which a drive is left out where it cannot be read and no time is spent on it.
const SKIPPED_PIECE_BYTES: u64 = 64 << 10;

impl DriveFile {
    pub fn content(&self) -> &[u8] {
        self.versions.last().map_or(&[], Vec::as_slice)
    }

    /// Whether a range has a place in it, or near it, that cannot be read: there may be zeros in a copy.
    pub fn may_be_left_out(&self, start: u64, end: u64) -> bool {
        let piece = |offset: u64| offset / SKIPPED_PIECE_BYTES * SKIPPED_PIECE_BYTES;
        self.unreadable
            .iter()
            .any(|(offset, length)| start < piece(offset + length - 1) + SKIPPED_PIECE_BYTES && piece(*offset) < end)
    }

    /// Whether a copy is one of the versions, with zeros where the drive may have been left out.
    pub fn is_in(&self, copy: &[u8], version: &[u8]) -> bool {
        let Some(front) = copy.get(..version.len()) else { return false };
        if self.unreadable.is_empty() || front == version {
            return front == version;
        }
        let is_zero = |piece: &[u8]| piece.iter().all(|byte| *byte == 0);
        front.chunks(SECTOR_BYTES).zip(version.chunks(SECTOR_BYTES)).enumerate().all(|(index, (copied, piece))| {
            let start = (index * SECTOR_BYTES) as u64;
            copied == piece || is_zero(copied) && self.may_be_left_out(start, start + copied.len() as u64)
        })
    }
}

pub struct World<'places> {
    pub places: &'places Places,
    pub store: StoreKind,
    uses_loop_device: bool,
    pub folder: PathBuf,
    pub store_folder: PathBuf,
    pub target_folder: PathBuf,
    pub states: [PathBuf; 2],
    pub drives: [DriveFile; 2],
    /// Prefix of this history's blobs.
    pub prefix: String,
    /// Every command, as a shell takes it, and everything else that was done.
    pub log: Vec<String>,
    /// Bytes that something else changed in targets and unfinished files, by where they are: what was only probed may miss
    /// them, and says so.
    pub changed_bytes: BTreeMap<Place, Vec<u64>>,
    /// Targets that something else wrote to while a run was writing them: only reading back finds that.
    pub written_under_way: BTreeSet<Place>,
    /// Transfers whose process was stopped or killed: on a busy machine a request of theirs lands after that was waited for.
    pub may_land_late: BTreeSet<String>,
    /// Manifests in which a byte was changed, as they are then: the program's own checksums find what an independent
    /// reader may take for another manifest.
    pub damaged_manifests: Vec<Vec<u8>>,
    /// A journal was changed by something else: a transfer whose journal has no header any more is forgotten.
    pub has_damaged_journal: bool,
    /// What there is, where nothing happened since it was looked at.
    known: Option<Arc<Snapshot>>,
}

/// The unit of what cannot be read.
const SECTOR_BYTES: usize = 512;

/// Where bytes were changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Partial,
    Image,
    LoopDevice,
}

impl From<Target> for Place {
    fn from(target: Target) -> Self {
        match target {
            Target::Image => Place::Image,
            Target::LoopDevice => Place::LoopDevice,
        }
    }
}

/// Something that has a name in the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    File(Vec<u8>),
    Link(PathBuf),
    /// A page blob that is marked as not whole.
    IncompleteBlob {
        transfer_id: String,
        content: Vec<u8>,
    },
}

impl Item {
    pub fn content(&self) -> Option<&[u8]> {
        match self {
            Item::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// For messages.
    pub fn describe(&self) -> String {
        match self {
            Item::File(bytes) => format!("a file of {} bytes", bytes.len()),
            Item::Link(path) => format!("a link to {}", path.display()),
            Item::IncompleteBlob { transfer_id, .. } => format!("an incomplete page blob of the transfer {transfer_id}"),
        }
    }
}

/// Everything that has a name, by `store/NAME`, `target/NAME`, `drives/NAME`, `manifests/NAME` and `loop`.
pub type Snapshot = BTreeMap<String, Item>;

impl<'places> World<'places> {
    pub fn new(places: &'places Places, plan: &Plan, number: u64) -> Self {
        let folder = places.store_disk.path.join(format!("h{number}"));
        let state_folder = places.state_disk.path.join(format!("h{number}"));
        let (store_folder, target_folder) = (folder.join("store"), folder.join("target"));
        let states = [state_folder.join("one"), state_folder.join("two")];
        for path in [&store_folder, &target_folder, &folder.join("drives"), &folder.join("manifests"), &states[0], &states[1]] {
            std::fs::create_dir_all(path).unwrap();
        }
        std::fs::write(store_folder.join("precious"), "a file of the user\n").unwrap();
        let drives =
            [0, 1].map(|index| make_drive(&plan.drives[index], &folder.join("drives").join(["one.img", "two.img"][index])));
        let uses_loop_device = plan.uses_loop_device();
        if let Some(device) = places.loop_device.as_ref().filter(|_| uses_loop_device) {
            // What the last owner left there.
            let mut file = File::options().write(true).open(&device.path).unwrap();
            file.write_all(&random_bytes(LOOP_DEVICE_BYTES, plan.seed ^ 0x1057)).unwrap();
            file.sync_all().unwrap();
        }
        World {
            places,
            store: plan.store,
            uses_loop_device,
            prefix: format!("h{number}-"),
            folder,
            store_folder,
            target_folder,
            states,
            drives,
            log: vec![format!("# {:?}; the drives are {:?}", plan.store, plan.drives)],
            changed_bytes: BTreeMap::new(),
            written_under_way: BTreeSet::new(),
            may_land_late: BTreeSet::new(),
            damaged_manifests: Vec::new(),
            has_damaged_journal: false,
            known: None,
        }
    }

    /// Removes everything.
    pub fn end(self) {
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = self.states[0].parent().map(std::fs::remove_dir_all);
        self.remote().forget(&self.prefix);
    }

    /// A blob as the command line takes it.
    pub fn address(&self, name: &str) -> String {
        match self.store {
            StoreKind::Directory => self.store_folder.join(name).display().to_string(),
            StoreKind::BlockBlob | StoreKind::PageBlob | StoreKind::S3 | StoreKind::Gcs => {
                self.remote().blob(&self.remote_name(name))
            }
        }
    }

    /// The fake of its store.
    pub fn remote(&self) -> Remote<'places> {
        Remote::of(self.places, self.store)
    }

    pub fn remote_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn target_path(&self, target: Target) -> PathBuf {
        match (target, &self.places.loop_device) {
            (Target::LoopDevice, Some(device)) => device.path.clone(),
            _ => self.target_folder.join("image"),
        }
    }

    /// What there is now.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        if let Some(known) = &self.known {
            return known.clone();
        }
        let now = Arc::new(self.look());
        self.known = Some(now.clone());
        now
    }

    /// A blob as it is now.
    pub fn look_at_blob(&mut self, name: &str) -> Option<Item> {
        self.touch();
        self.snapshot().get(&format!("store/{name}")).cloned()
    }

    /// Something happens: what is there has to be looked at again.
    pub fn touch(&mut self) {
        self.known = None;
    }

    /// Waits for the requests of a process that ended or stopped: they are done all the same.
    pub fn settle(&mut self) {
        if self.store != StoreKind::Directory {
            self.remote().settle();
        }
        self.touch();
    }

    fn look(&self) -> Snapshot {
        let mut items = Snapshot::new();
        for kind in ["store", "target", "drives", "manifests"] {
            for path in files_in(&self.folder.join(kind)) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let item = match std::fs::read_link(&path) {
                    Ok(target) => Item::Link(target),
                    Err(_) => Item::File(std::fs::read(&path).unwrap_or_default()),
                };
                items.insert(format!("{kind}/{name}"), item);
            }
        }
        if self.store != StoreKind::Directory {
            for (name, content, transfer) in self.remote().all(&self.prefix) {
                let content = content.to_vec();
                let item = match transfer {
                    Some(transfer_id) => Item::IncompleteBlob { transfer_id, content },
                    None => Item::File(content),
                };
                items.insert(format!("store/{name}"), item);
            }
        }
        if let Some(device) = self.places.loop_device.as_ref().filter(|_| self.uses_loop_device) {
            items.insert("loop".to_owned(), Item::File(std::fs::read(&device.path).unwrap_or_default()));
        }
        items
    }

    /// The blocks that the store holds for the blob of an import.
    pub fn held(&self, run: &Run) -> Vec<Sha256Digest> {
        match (&run.action, self.store) {
            (Action::Import { name, .. }, StoreKind::BlockBlob | StoreKind::S3 | StoreKind::Gcs) => {
                let chunk_bytes = run.options.chunk_kib.unwrap_or(8 << 10) << 10;
                self.remote().held(&self.remote_name(name), chunk_bytes)
            }
            _ => Vec::new(),
        }
    }

    /// The journals of an operator.
    pub fn journals(&self, operator: usize) -> Vec<PathBuf> {
        let files = files_in(&self.states[operator].join("drive-agent/journals"));
        files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect()
    }

    /// Unfinished files of our names, here and at the targets.
    pub fn partials(&self) -> Vec<PathBuf> {
        let all = files_in(&self.store_folder).into_iter().chain(files_in(&self.target_folder));
        all.filter(|path| path.file_name().is_some_and(|name| is_partial_name(&name.to_string_lossy()))).collect()
    }
}

/// Whether a name is `NAME.<16 hexadecimal digits>.partial`.
pub fn is_partial_name(name: &str) -> bool {
    partial_id(name).is_some()
}

/// The digits in the name of an unfinished file.
pub fn partial_id(name: &str) -> Option<&str> {
    let (before, id) = name.strip_suffix(".partial")?.rsplit_once('.')?;
    let is_id = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (is_id && !before.is_empty()).then_some(id)
}

/// Plain files and links of a folder, sorted.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir())).map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// A profile of a drive that has the image's content where that can be read.
fn write_profile(image: &Path, unreadable: &[(u64, u64)]) -> PathBuf {
    let mut text = format!("drive = \"{}\"\nserial = \"FAILING\"\n", image.display());
    for (offset, length) in unreadable {
        text += &format!("[[fault]]\nkind = \"unreadable\"\noffset = {offset}\nlength = {length}\n");
    }
    let path = image.with_extension("toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn make_drive(plan: &DrivePlan, path: &Path) -> DriveFile {
    let mut file = File::create(path).unwrap();
    let mut content = Vec::new();
    let same = random_bytes(plan.piece_bytes, 99);
    for (index, letter) in plan.pieces.chars().enumerate() {
        let piece = match letter {
            'r' => random_bytes(plan.piece_bytes, plan.seed.wrapping_add(index as u64)),
            's' => same.clone(),
            _ => vec![0; plan.piece_bytes],
        };
        match letter {
            'h' => {
                file.seek(SeekFrom::Current(plan.piece_bytes as i64)).unwrap();
            }
            _ => file.write_all(&piece).unwrap(),
        }
        content.extend(piece);
    }
    let tail = random_bytes(plan.tail_bytes, plan.seed ^ 1);
    file.write_all(&tail).unwrap();
    content.extend(tail);
    file.set_len(content.len() as u64).unwrap();
    let (image, unreadable) = (path.to_owned(), plan.unreadable.clone());
    let path = if unreadable.is_empty() { image.clone() } else { write_profile(&image, &unreadable) };
    DriveFile { path, image, versions: vec![content], unreadable }
}
