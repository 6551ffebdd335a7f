//! What memory this process can have at all: the machine's, or less where it runs in a control group with a limit.

use std::path::Path;

/// Memory that there is for this process, in bytes; `None` where the kernel does not say.
pub fn machine_memory_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok();
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = meminfo.as_deref().and_then(total_bytes);
    let limits = group_limits(Path::new("/sys/fs/cgroup"), &groups);
    machine.into_iter().chain(limits).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The limits of the control groups that a process is in, in bytes: each group's, and those of all groups around it.
/// `groups` is what `/proc/self/cgroup` says.
fn group_limits(root: &Path, groups: &str) -> impl Iterator<Item = u64> {
    let files = groups.lines().flat_map(move |line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let place = match controllers {
            "" => Some((root.to_owned(), "memory.max")),
            _ if controllers.split(',').any(|name| name == "memory") => Some((root.join("memory"), "memory.limit_in_bytes")),
            _ => None,
        };
        let group = Path::new(group.trim_start_matches('/')).to_owned();
        place.into_iter().flat_map(move |(top, file)| {
            let around: Vec<_> = group.ancestors().map(|group| top.join(group).join(file)).collect();
            around
        })
    });
    // "max", where there is no limit.
    files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_the_groups_around_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |group: &str, file: &str, text: &str| {
            std::fs::create_dir_all(folder.path().join(group)).unwrap();
            std::fs::write(folder.path().join(group).join(file), text).unwrap();
        };
        write("system/agent", "memory.max", "max\n");
        write("system", "memory.max", "4096\n");
        write("memory/old/agent", "memory.limit_in_bytes", "8192\n");
        let smallest = |groups: &str| group_limits(folder.path(), groups).min();
        assert_eq!(smallest("0::/system/agent\n"), Some(4096));
        assert_eq!(smallest("4:cpu:/\n3:hugetlb,memory:/old/agent\n0::/\n"), Some(8192));
        assert_eq!(smallest("0::/other\n"), None);
        assert_eq!(total_bytes("MemTotal:       24683656 kB\nMemFree: 1 kB\n"), Some(24_683_656 * 1024));
        assert!(machine_memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
