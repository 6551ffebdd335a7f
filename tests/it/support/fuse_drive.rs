//! An image that fails on demand: a FUSE file system with one file.
//!
//! It serves `drive.img` from memory; ranges can be made unreadable, and reads can be made to hang.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, Request,
};

const FILE: INodeNo = INodeNo(2);
const NAME: &str = "drive.img";
const FOREVER: Duration = Duration::from_secs(3600);

/// How the drive behaves now.
#[derive(Default)]
pub struct Behaviour {
    /// Ranges that cannot be read, as start and end.
    pub bad: Vec<(u64, u64)>,
    /// A range any read of which never comes back.
    pub hangs: Option<(u64, u64)>,
    /// The reads that hang: dropping them answers with an error.
    pub hanging: Vec<ReplyData>,
    /// Every read fails.
    pub is_dead: bool,
}

struct OneFile {
    bytes: Arc<Vec<u8>>,
    behaviour: Arc<Mutex<Behaviour>>,
}

/// The mounted drive; unmounted when dropped.
pub struct FuseDrive {
    pub behaviour: Arc<Mutex<Behaviour>>,
    folder: PathBuf,
    _session: BackgroundSession,
}

impl FuseDrive {
    /// Mounts a drive with this content on `folder`.
    pub fn mount(folder: &Path, bytes: Vec<u8>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let behaviour = Arc::new(Mutex::new(Behaviour::default()));
        let file_system = OneFile { bytes: Arc::new(bytes), behaviour: behaviour.clone() };
        let session = fuser::spawn_mount(file_system, folder, &Config::default()).unwrap();
        FuseDrive { behaviour, folder: folder.to_owned(), _session: session }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

impl OneFile {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        let size = if is_file { self.bytes.len() as u64 } else { 0 };
        FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o444 } else { 0o755 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for OneFile {
    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name == NAME {
            true => reply.entry(&FOREVER, &self.attributes(FILE), Generation(0)),
            false => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn open(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let end = (offset + u64::from(size)).min(self.bytes.len() as u64);
        let touches = |range: &(u64, u64)| range.0 < end && offset < range.1;
        let mut behaviour = self.behaviour.lock().unwrap();
        if behaviour.hangs.as_ref().is_some_and(touches) {
            behaviour.hanging.push(reply);
        } else if behaviour.is_dead || behaviour.bad.iter().any(touches) {
            reply.error(Errno::EIO);
        } else {
            reply.data(&self.bytes[offset as usize..end as usize]);
        }
    }
}
