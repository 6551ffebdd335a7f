//! Which files a profile may name. On the command line a person chose the profile, and it may name what that person may
//! read. A station docks profiles for others, and reads with rights of its own: there none may be used unless the
//! configuration says so, and those name files in the station's folders for drives alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;

use crate::error::DriveError;
use crate::opened_as::OpenedAs;

/// Which profiles this process takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileRule {
    /// None.
    None,
    /// Those that name files in these folders, and no devices; in any folder, where there is no list.
    Within(Option<Vec<PathBuf>>),
    /// All.
    All,
}

static RULE: OnceLock<ProfileRule> = OnceLock::new();

/// Takes profiles by this rule from now on; to be called before any drive is looked at, and once.
///
/// # Errors
/// With one sentence, where another rule holds already.
pub fn limit_profiles(rule: ProfileRule) -> Result<(), String> {
    let taken = RULE.get_or_init(|| rule.clone());
    if *taken == rule { Ok(()) } else { Err("the rule for profiles comes too late: drives were looked at".to_owned()) }
}

impl ProfileRule {
    /// The rule of this process.
    pub(super) fn of_process() -> &'static Self {
        RULE.get_or_init(|| ProfileRule::All)
    }

    /// Refuses the profile at `path` where none is taken.
    pub(super) fn require_profiles(&self, path: &Path) -> Result<(), DriveError> {
        match self {
            ProfileRule::None => Err(DriveError::Refused(format!(
                "`{}` is a profile of a simulated drive, and this station takes none: say `profiles = true` in its configuration",
                path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses an open file that lies outside of the folders.
    pub(super) fn require_inside(&self, file: &File) -> io::Result<()> {
        let ProfileRule::Within(Some(folders)) = self else { return Ok(()) };
        // Where it really is: a link, or a folder on the way, may have been changed since its path was looked at.
        self.require_below(folders, &std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
    }

    /// Refuses a file that is not there yet, and would be made outside of the folders.
    pub(super) fn require_place(&self, folder: &Path) -> io::Result<()> {
        let ProfileRule::Within(Some(folders)) = self else { return Ok(()) };
        self.require_below(folders, &folder.canonicalize()?)
    }

    fn require_below(&self, folders: &[PathBuf], real: &Path) -> io::Result<()> {
        let is_below = folders.iter().any(|folder| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder)));
        match is_below {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is in none of the station's `drive_folders`")),
        }
    }

    /// The drive that a profile names, by the path to open it with, and what has to be found there.
    pub(super) fn drive(&self, path: &Path) -> io::Result<(PathBuf, Option<OpenedAs>)> {
        if !matches!(self, ProfileRule::Within(_)) {
            return Ok((path.to_owned(), None));
        }
        let looked = OpenOptions::new().read(true).custom_flags(OFlags::PATH.bits() as i32).open(path)?;
        self.require_inside(&looked)?;
        let metadata = looked.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a profile of a station names files, and no devices"));
        }
        let real = std::fs::read_link(format!("/proc/self/fd/{}", looked.as_raw_fd()))?;
        Ok((real, Some(OpenedAs::of(&metadata))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_profile_names_is_looked_for_where_it_really_is() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("drives"), folder.path().join("secrets"));
        for one in [&inside, &outside] {
            std::fs::create_dir(one).unwrap();
            std::fs::write(one.join("file"), "x").unwrap();
        }
        std::os::unix::fs::symlink(outside.join("file"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("folder")).unwrap();
        let rule = ProfileRule::Within(Some(vec![inside.clone()]));
        let is_inside = |path: PathBuf| rule.require_inside(&File::open(path).unwrap()).is_ok();
        assert!(is_inside(inside.join("file")) && !is_inside(outside.join("file")));
        assert!(!is_inside(inside.join("link")) && !is_inside(inside.join("folder/file")));
        assert!(rule.require_place(&inside).is_ok() && rule.require_place(&inside.join("folder")).is_err());
        assert!(rule.drive(&inside.join("file")).is_ok() && rule.drive(&inside.join("link")).is_err());
        assert!(rule.drive(Path::new("/dev/null")).is_err());
        assert!(ProfileRule::None.require_profiles(Path::new("x")).is_err());
        assert!(ProfileRule::All.require_inside(&File::open(outside.join("file")).unwrap()).is_ok());
    }
}
