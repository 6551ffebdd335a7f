//! What uses a drive: mounts in any namespace, swap, and devices that the kernel built on it.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::PathBuf;

use super::roots::Roots;
use super::sysfs::{Part, SysfsDevice};

/// Mount points without which a machine does not run.
const SYSTEM_MOUNTS: [&str; 7] = ["/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/etc"];

/// Devices may be built on devices built on devices; deeper is a loop in a damaged tree.
const DEPTH_MAX: usize = 8;

/// Every mount and swap area of the machine.
pub(super) struct Uses {
    mounts: Vec<Mount>,
    swaps: HashSet<String>,
}

struct Mount {
    /// `8:17`; a made-up one for btrfs and the like.
    number: String,
    /// The name of the device node that was mounted.
    source: String,
    place: String,
    /// A process in whose namespace it is, where that is not ours.
    elsewhere: Option<String>,
}

impl Uses {
    /// Looks at the mounts of every mount namespace, and at the swap areas.
    pub(super) fn find(roots: &Roots) -> Self {
        let swaps = fs::read_to_string(roots.proc.join("swaps")).unwrap_or_default();
        let swaps = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        let swaps = swaps.map(|path| name_of(&fs::canonicalize(path).unwrap_or_else(|_| path.into()))).collect();
        let namespace = |process: &str| fs::read_link(roots.proc.join(process).join("ns/mnt")).ok();
        let own = namespace("self");
        let mut seen: HashSet<Option<PathBuf>> = HashSet::from([own]);
        let mut mounts = read_mounts(roots, "self", None);
        let mut processes: Vec<u64> = fs::read_dir(&roots.proc)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        processes.sort_unstable();
        for process in processes {
            let process = process.to_string();
            let other = namespace(&process);
            if other.is_some() && seen.insert(other) {
                mounts.extend(read_mounts(roots, &process, Some(&process)));
            }
        }
        Uses { mounts, swaps }
    }

    /// What uses a drive, and whether the machine runs from it.
    pub(super) fn of(&self, device: &SysfsDevice) -> (Vec<String>, bool) {
        let mut found = BTreeSet::new();
        let mut is_system = false;
        for part in device.parts() {
            self.look_at(&part, "", 0, &mut found, &mut is_system);
        }
        (found.into_iter().collect(), is_system)
    }

    fn look_at(&self, part: &Part, way: &str, depth: usize, found: &mut BTreeSet<String>, is_system: &mut bool) {
        let name = &part.name;
        for mount in self.mounts.iter().filter(|mount| mount.number == part.number || mount.source == *name) {
            let whose = mount.elsewhere.as_ref().map_or_else(String::new, |process| format!(" for process {process}"));
            *is_system |= SYSTEM_MOUNTS.contains(&mount.place.as_str()) && mount.elsewhere.is_none();
            found.insert(format!("{way}`{name}` is mounted on `{}`{whose}", mount.place));
        }
        if self.swaps.contains(name) {
            *is_system = true;
            found.insert(format!("{way}`{name}` is used as swap"));
        }
        for holder in fs::read_dir(part.folder.join("holders")).into_iter().flatten().flatten() {
            let built_on_it = fs::canonicalize(holder.path()).ok().and_then(|folder| Part::of(&folder));
            let holder_name = holder.file_name().to_string_lossy().into_owned();
            let what = built_on_it.as_ref().map_or(holder_name.clone(), kind_of);
            found.insert(format!("{way}`{name}` is part of {what}"));
            if let Some(part) = built_on_it.filter(|_| depth < DEPTH_MAX) {
                self.look_at(&part, &format!("{way}`{name}` is part of `{}`, and ", part.name), depth + 1, found, is_system);
            }
        }
    }
}

/// What a device that was built on others is, in words.
fn kind_of(part: &Part) -> String {
    let text = |file: &str| fs::read_to_string(part.folder.join(file)).ok().map(|text| text.trim().to_owned());
    let name = &part.name;
    match (text("dm/uuid"), text("dm/name"), text("md/level")) {
        (Some(uuid), Some(label), _) if uuid.starts_with("LVM-") => format!("the LVM volume `{label}` ({name})"),
        (Some(uuid), Some(label), _) if uuid.starts_with("CRYPT-") => format!("the encrypted volume `{label}` ({name})"),
        (_, Some(label), _) => format!("the mapped device `{label}` ({name})"),
        (_, _, Some(level)) => format!("the array `{name}` ({level})"),
        _ if name.starts_with("bcache") => format!("the cache `{name}`"),
        _ => format!("`{name}`"),
    }
}

fn name_of(path: &std::path::Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// proc(5), mountinfo: the third field is the device number, the fifth the mount point; behind ` - ` come the
/// type and the source.
fn read_mounts(roots: &Roots, process: &str, elsewhere: Option<&str>) -> Vec<Mount> {
    let text = fs::read_to_string(roots.proc.join(process).join("mountinfo")).unwrap_or_default();
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(2);
        let number = fields.next()?.to_owned();
        let place = unescape(fields.nth(1)?);
        let source = right.split(' ').nth(1)?;
        let source = match source.starts_with("/dev/") {
            true => name_of(&fs::canonicalize(source).unwrap_or_else(|_| source.into())),
            false => String::new(),
        };
        Some(Mount { number, source, place, elsewhere: elsewhere.map(str::to_owned) })
    };
    text.lines().filter_map(mount).collect()
}

/// mountinfo writes spaces and the like as octal escapes.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, letter)| text.replace(escape, letter))
}
