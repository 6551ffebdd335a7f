//! Who else than the service can read a file with a secret.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{getegid, geteuid, getgroups};

use crate::resume_command::quote;

/// The user and the groups of this process.
struct Reader {
    user: u32,
    groups: Vec<u32>,
}

/// Whose a file is, and what its mode lets others do.
#[derive(Clone, Copy)]
struct Access {
    owner: u32,
    group: u32,
    mode: u32,
}

const ROOT: u32 = 0;

/// The command after which this process can read the file, and others cannot; `None` where that is so already.
pub(super) fn command_that_closes(path: &Path) -> Option<String> {
    let file = std::fs::metadata(path).ok()?;
    let mut groups: Vec<u32> = getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect();
    groups.push(getegid().as_raw());
    let reader = Reader { user: geteuid().as_raw(), groups };
    closing(Access { owner: file.uid(), group: file.gid(), mode: file.mode() }, &reader, &quote(&path.to_string_lossy()))
}

fn closing(file: Access, reader: &Reader, path: &str) -> Option<String> {
    let is_own = file.owner == reader.user;
    // As the package installs the configuration: root changes it, and the service reads it by its group.
    let is_read_by_group = !is_own && file.owner == ROOT && reader.groups.contains(&file.group);
    let allowed = if is_read_by_group { 0o640 } else { 0o600 };
    if file.mode & 0o077 & !allowed == 0 {
        return None;
    }
    Some(match (is_own, is_read_by_group) {
        (true, _) => format!("chmod 600 {path}"),
        (false, true) => format!("chmod 640 {path}"),
        // Closed to all but another owner, this process could not read it.
        (false, false) => format!("chown {} {path} && chmod 600 {path}", reader.user),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_package_installs_is_closed_and_every_command_lets_the_service_read() {
        let service = Reader { user: 997, groups: vec![6, 996] };
        let command = |owner, group, mode: u32| closing(Access { owner, group, mode: 0o100_000 | mode }, &service, "f");
        assert_eq!((command(0, 996, 0o640), command(0, 996, 0o600), command(997, 996, 0o600)), (None, None, None));
        assert_eq!(command(0, 996, 0o644).as_deref(), Some("chmod 640 f"));
        assert_eq!(command(0, 996, 0o660).as_deref(), Some("chmod 640 f"));
        assert_eq!(command(997, 996, 0o640).as_deref(), Some("chmod 600 f"));
        assert_eq!(command(0, 0, 0o644).as_deref(), Some("chown 997 f && chmod 600 f"));
        let root = Reader { user: 0, groups: vec![0] };
        assert_eq!(closing(Access { owner: 0, group: 0, mode: 0o640 }, &root, "f").as_deref(), Some("chmod 600 f"));
    }

    #[test]
    fn a_file_of_ones_own_is_closed_by_its_command() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        let set = |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o644);
        assert_eq!(command_that_closes(file.path()), Some(format!("chmod 600 {}", file.path().display())));
        set(0o600);
        assert_eq!(command_that_closes(file.path()), None);
    }
}
