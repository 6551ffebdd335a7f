//! Where device nodes live. A file that is made there is a mistake: a device was meant, and it is gone. Shared memory
//! (`/dev/shm`) is a file system of its own, and holds files like any other.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether a file at `path` lies, or would lie, among the device nodes: on a devtmpfs, or on the file system that `/dev`
/// is in a container.
pub(crate) fn is_on_devtmpfs(path: &Path) -> bool {
    let Some(folder) = path.ancestors().skip(1).map(or_here).find_map(|folder| folder.canonicalize().ok()) else {
        return false;
    };
    let Ok(number) = folder.metadata().map(|metadata| metadata.dev()) else { return false };
    let devices = Path::new("/dev");
    let is_with_devices = folder.starts_with(devices) && devices.metadata().is_ok_and(|metadata| metadata.dev() == number);
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_with_devices || is_devtmpfs(&mounts(), (rustix::fs::major(number), rustix::fs::minor(number)))
}

/// A name without a folder lies in the working directory.
fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Whether the file system of a device number is one, as `/proc/self/mountinfo` has it.
fn is_devtmpfs(mounts: &str, number: (u32, u32)) -> bool {
    let number = format!("{}:{}", number.0, number.1);
    mounts.lines().any(|line| {
        let is_it = line.split(' ').nth(2) == Some(&number);
        is_it && line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("devtmpfs "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_file_system_is_found_by_its_number() {
        let mounts =
            "3:24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw\n4:25 24 0:23 / /dev/shm rw shared:1 - tmpfs tmpfs rw\n";
        assert!(is_devtmpfs(mounts, (0, 6)));
        assert!(!is_devtmpfs(mounts, (0, 23)) && !is_devtmpfs(mounts, (0, 7)));
    }

    #[test]
    fn files_below_dev_are_told_from_devices() {
        assert!(is_on_devtmpfs(Path::new("/dev/no-such-drive-here")));
        assert!(is_on_devtmpfs(Path::new("/dev/disk/no-such-folder/no-such-drive")));
        assert!(!is_on_devtmpfs(Path::new("a.img")));
        let (devices, memory) = (Path::new("/dev"), Path::new("/dev/shm"));
        let number = |path: &Path| path.metadata().ok().map(|metadata| metadata.dev());
        if number(memory).is_some_and(|memory| Some(memory) != number(devices)) {
            assert!(!is_on_devtmpfs(Path::new("/dev/shm/a.img")));
        }
    }
}
