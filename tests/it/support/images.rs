//! Images to copy, and places to copy them to.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

/// A folder that goes away with its test.
pub struct Workbench {
    folder: tempfile::TempDir,
}

impl Workbench {
    pub fn new() -> Self {
        Workbench { folder: tempfile::Builder::new().prefix("drive-agent-test").tempdir().unwrap() }
    }

    /// In memory, where the machine has a file system there: for more bytes than a disk writes within a test.
    pub fn in_memory() -> Self {
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        Workbench { folder: tempfile::Builder::new().prefix("drive-agent-test").tempdir_in(parent).unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with this content.
    pub fn image(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The unfinished files of a blob or an image.
    /// A file that its owner alone may read.
    pub fn secret(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.image(name, bytes);
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn partials(&self, name: &str) -> Vec<PathBuf> {
        partials_of(&self.file(name))
    }

    /// The only one.
    #[track_caller]
    pub fn partial(&self, name: &str) -> PathBuf {
        partial_of(&self.file(name))
    }

    /// The journals of its state directory.
    pub fn journals(&self) -> Vec<PathBuf> {
        journals_in(&self.file("state/drive-agent/journals"))
    }

    /// Removes a blob and its manifest.
    pub fn remove_blob(&self, name: &str) {
        for name in [name.to_owned(), format!("{name}.manifest.jsonl")] {
            std::fs::remove_file(self.file(&name)).unwrap();
        }
    }

    /// A profile of a simulated drive.
    pub fn profile(&self, name: &str, size: &str, zero_share: f64, run_size: &str) -> PathBuf {
        let text = format!(
            "size = \"{size}\"\nserial = \"SIM-{name}\"\nseed = 7\nzero_share = {zero_share}\nrun_size = \"{run_size}\"\n"
        );
        self.image(&format!("{name}.toml"), text.as_bytes())
    }
}

/// The journals in a folder, where there is one.
pub fn journals_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect()
}

/// Every file below a folder, in the order of their paths; none where there is no such folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

/// The unfinished files of a path: `NAME.ID.partial`.
pub fn partials_of(path: &Path) -> Vec<PathBuf> {
    let start = format!("{}.", path.file_name().unwrap().to_str().unwrap());
    let names = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let id = |name: &str| Some(name.strip_prefix(&start)?.strip_suffix(".partial")?.len());
    names.filter(|name| id(name) == Some(16)).map(|name| path.with_file_name(name)).collect()
}

/// The only one.
#[track_caller]
pub fn partial_of(path: &Path) -> PathBuf {
    let mut found = partials_of(path);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Bytes that do not repeat, the same for the same seed.
pub fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64* (Vigna 2016)
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Chunks of data, zeros and repetitions: `r` random, `z` zero, `a` always the same.
pub fn patterned(pattern: &str, chunk: usize) -> Vec<u8> {
    let repeated = random_bytes(chunk, 99);
    pattern
        .chars()
        .enumerate()
        .flat_map(|(index, kind)| match kind {
            'r' => random_bytes(chunk, index as u64 + 1),
            'z' => vec![0; chunk],
            _ => repeated.clone(),
        })
        .collect()
}

/// The root as an independent reader computes it: SHA-256 over the SHA-256 of each chunk.
pub fn root_of(bytes: &[u8], chunk: usize) -> String {
    let mut root = Sha256::new();
    for chunk in bytes.chunks(chunk) {
        root.update(Sha256::digest(chunk));
    }
    hex(&root.finalize())
}

/// What `sha256sum` prints.
pub fn sha256_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two files are equal, without having them in memory.
pub fn same_content(one: &Path, other: &Path) -> bool {
    let mut files = [File::open(one).unwrap(), File::open(other).unwrap()];
    let mut buffers = [vec![0; MIB], vec![0; MIB]];
    loop {
        let lengths = [0, 1].map(|side| read_up_to(&mut files[side], &mut buffers[side]));
        if lengths[0] != lengths[1] || buffers[0][..lengths[0]] != buffers[1][..lengths[1]] {
            return false;
        }
        if lengths[0] == 0 {
            return true;
        }
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]).unwrap() {
            0 => break,
            count => filled += count,
        }
    }
    filled
}

/// Changes one byte of a file, and nothing of its times where `quietly`.
pub fn change_byte(path: &Path, offset: u64, quietly: bool) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], offset).unwrap();
    if quietly {
        file.set_modified(modified).unwrap();
    }
}

/// Appends to a file.
pub fn append(path: &Path, bytes: &[u8]) {
    File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}
