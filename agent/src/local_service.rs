//! The service of this machine, as its clients find it: by its state directory, and through the socket in it.
//!
//! A port says nothing of who listens on it: while the service is stopped, any user may. A socket in a folder that only
//! its owner may write to is the owner's, and it answers only while the service runs. Everything is looked up below one
//! open folder, so that address, token and socket are of the same service.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::socket_peercred;

use crate::resume_command::quote;

/// The socket of a service, in its state directory.
pub(crate) const SOCKET_FILE: &str = "service.sock";

/// Where a service says how it is reached.
pub(crate) const URL_FILE: &str = "service.url";

/// Where a service keeps its first operator's token.
pub(crate) const TOKEN_FILE: &str = "operator.token";

/// Rights of a folder that let others than its owner make files in it.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why the service of a state directory is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalServiceError {
    /// Nothing answers.
    #[error("no service runs on the state directory `{}`: start it with `drive-agent serve --state-dir {}`", .0.display(), quote(&.0.display().to_string()))]
    NotRunning(PathBuf),
    /// What is in the folder may be another user's.
    #[error("the state directory `{}` may be written to by other users: take the right away with `chmod 700 {}`", .0.display(), quote(&.0.display().to_string()))]
    WritableByOthers(PathBuf),
    /// The other side of the socket is not the service's user.
    #[error("the service on the state directory `{}` runs as the user with number {peer}, and the directory is of {owner}: nothing was sent to it", .state_dir.display())]
    OtherUser {
        /// The state directory.
        state_dir: PathBuf,
        /// The user who listens.
        peer: u32,
        /// Whose the directory is.
        owner: u32,
    },
    /// What the kernel said.
    #[error("the service on the state directory `{}` cannot be reached: {source}", .state_dir.display())]
    Io {
        /// The state directory.
        state_dir: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// The state directory of a service, opened.
pub(crate) struct LocalService {
    folder: File,
    shown: PathBuf,
}

impl LocalService {
    /// Opens a state directory; `None` where it is not there, or is another user's.
    pub(crate) fn open(state_dir: &Path) -> Option<Self> {
        let folder = File::open(state_dir).ok()?;
        let is_folder = folder.metadata().is_ok_and(|metadata| metadata.is_dir());
        is_folder.then(|| LocalService { folder, shown: state_dir.to_owned() })
    }

    /// A path in the folder. It is short, as those of sockets must be, and stays the same folder's whatever is renamed.
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd())).join(name)
    }

    /// The line that a file of the folder has.
    pub(crate) fn kept(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The socket of the service, which runs now and is the folder's owner's.
    ///
    /// # Errors
    /// When no service runs, or others could have made the socket.
    pub(crate) fn socket(&self) -> Result<PathBuf, LocalServiceError> {
        let failed = |error: io::Error| LocalServiceError::Io { state_dir: self.shown.clone(), source: error };
        let folder = self.folder.metadata().map_err(failed)?;
        if folder.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(LocalServiceError::WritableByOthers(self.shown.clone()));
        }
        let path = self.path(SOCKET_FILE);
        let stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => LocalServiceError::NotRunning(self.shown.clone()),
            _ => failed(error),
        })?;
        let peer = socket_peercred(&stream).map_err(|error| failed(error.into()))?.uid.as_raw();
        match is_of_owner(peer, folder.uid()) {
            true => Ok(path),
            false => Err(LocalServiceError::OtherUser { state_dir: self.shown.clone(), peer, owner: folder.uid() }),
        }
    }
}

/// Whether the user who listens may be trusted with what is in a folder of `owner`: the administrator reads it anyway.
fn is_of_owner(peer: u32, owner: u32) -> bool {
    peer == owner || peer == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_counts_only_while_its_owner_listens() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than the address of a socket may be.
        let state_dir = folder.path().join("x".repeat(120));
        std::fs::create_dir(&state_dir).unwrap();
        std::fs::set_permissions(&state_dir, PermissionsExt::from_mode(0o700)).unwrap();
        let local = LocalService::open(&state_dir).unwrap();
        assert!(matches!(local.socket(), Err(LocalServiceError::NotRunning(_))), "there is no socket");
        let listener = UnixListener::bind(local.path(SOCKET_FILE)).unwrap();
        let path = local.socket().unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        for mode in [0o770, 0o707, 0o777, 0o1777] {
            std::fs::set_permissions(&state_dir, PermissionsExt::from_mode(mode)).unwrap();
            assert!(matches!(local.socket(), Err(LocalServiceError::WritableByOthers(_))), "{mode:o}");
        }
        std::fs::set_permissions(&state_dir, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(local.socket().is_ok());
        drop(listener);
        assert!(matches!(local.socket(), Err(LocalServiceError::NotRunning(_))), "the socket was left behind by a kill");
        assert!(LocalService::open(&state_dir.join("none")).is_none());
    }

    #[test]
    fn the_listener_is_the_owner_or_the_administrator() {
        assert!(is_of_owner(990, 990) && is_of_owner(0, 990) && is_of_owner(0, 0));
        assert!(!is_of_owner(1000, 990) && !is_of_owner(1000, 0));
    }
}
