//! An image that fails on demand: a FUSE file system with one file.
//!
//! It serves `drive.img` from memory; ranges can be made unreadable, reads can be made slow or to hang, and all
//! of it can die. Under a loop device it is a block device that fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use super::wait::wait_until;

const FILE: INodeNo = INodeNo(2);
const NAME: &str = "drive.img";
const FOREVER: Duration = Duration::from_secs(3600);

/// How the drive behaves now.
#[derive(Default)]
pub struct Behaviour {
    /// Ranges that cannot be read, as start and end.
    pub bad: Vec<(u64, u64)>,
    /// Every read of this range hangs.
    pub hangs: Option<(u64, u64)>,
    /// Every opening of the drive hangs.
    pub open_hangs: bool,
    /// The openings that hang: dropping them answers with an error.
    pub hanging_opens: Vec<ReplyOpen>,
    /// The reads that hang: dropping them answers with an error.
    pub hanging: Vec<ReplyData>,
    /// Every read of this range takes this long.
    pub slow: Option<((u64, u64), Duration)>,
    /// Every read fails, every write says Ok and is lost, and only a sync tells.
    pub is_dead: bool,
    /// Reads that touched a bad range.
    pub failed_reads: u64,
}

struct OneFile {
    bytes: Arc<Mutex<Vec<u8>>>,
    size: u64,
    behaviour: Arc<Mutex<Behaviour>>,
}

/// The mounted drive; unmounted when dropped.
pub struct FuseDrive {
    pub behaviour: Arc<Mutex<Behaviour>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    folder: PathBuf,
    _session: BackgroundSession,
}

impl FuseDrive {
    /// Mounts a drive with this content on `folder`.
    pub fn mount(folder: &Path, bytes: Vec<u8>) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let behaviour = Arc::new(Mutex::new(Behaviour::default()));
        let size = bytes.len() as u64;
        let bytes = Arc::new(Mutex::new(bytes));
        let file_system = OneFile { bytes: bytes.clone(), size, behaviour: behaviour.clone() };
        let session = fuser::spawn_mount(file_system, folder, &Config::default()).unwrap();
        FuseDrive { behaviour, bytes, folder: folder.to_owned(), _session: session }
    }

    /// Openings hang from now on.
    pub fn hang_openings(&self) {
        self.behaviour.lock().unwrap().open_hangs = true;
    }

    /// Waits until an opening hangs.
    #[track_caller]
    pub fn wait_for_hanging_opening(&self) {
        wait_until("an opening that hangs", || !self.behaviour.lock().unwrap().hanging_opens.is_empty());
    }

    /// Waits until a read hangs.
    #[track_caller]
    pub fn wait_for_hanging_read(&self) {
        wait_until("a read that hangs", || !self.behaviour.lock().unwrap().hanging.is_empty());
    }

    /// What hangs in an opening is answered with an error, so that its process can end.
    pub fn release_openings(&self) {
        let mut behaviour = self.behaviour.lock().unwrap();
        behaviour.open_hangs = false;
        behaviour.hanging_opens.clear();
    }

    /// What is on it now.
    pub fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

impl OneFile {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        let size = if is_file { self.size } else { 0 };
        FileAttr {
            ino: inode,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o644 } else { 0o755 },
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
        let mut behaviour = self.behaviour.lock().unwrap();
        match behaviour.open_hangs {
            true => behaviour.hanging_opens.push(reply),
            false => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
        }
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
        let end = (offset + u64::from(size)).min(self.size);
        let touches = |range: &(u64, u64)| range.0 < end && offset < range.1;
        let mut behaviour = self.behaviour.lock().unwrap();
        if behaviour.hangs.as_ref().is_some_and(touches) {
            behaviour.hanging.push(reply);
        } else if behaviour.is_dead || behaviour.bad.iter().any(touches) {
            behaviour.failed_reads += 1;
            reply.error(Errno::EIO);
        } else {
            let delay = behaviour.slow.filter(|(range, _)| touches(range)).map(|(_, delay)| delay);
            drop(behaviour);
            std::thread::sleep(delay.unwrap_or_default());
            reply.data(&self.bytes.lock().unwrap()[offset as usize..end as usize]);
        }
    }

    fn write(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if !self.behaviour.lock().unwrap().is_dead {
            let mut bytes = self.bytes.lock().unwrap();
            let end = (offset as usize + data.len()).min(bytes.len());
            bytes[offset as usize..end].copy_from_slice(&data[..end - offset as usize]);
        }
        reply.written(data.len() as u32);
    }

    fn fsync(&self, _request: &Request, _inode: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        match self.behaviour.lock().unwrap().is_dead {
            true => reply.error(Errno::EIO),
            false => reply.ok(),
        }
    }
}
