//! Loop devices: they stand for block devices.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::images::{MIB, Workbench};

/// A loop device over an image; detached when dropped.
pub struct LoopDevice {
    pub path: PathBuf,
}

impl LoopDevice {
    pub fn attach(image: &Path, sector_size: usize) -> Self {
        let output = Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector_size.to_string()])
            .arg(image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        LoopDevice { path: String::from_utf8(output.stdout).unwrap().trim().into() }
    }

    /// What confirms that it may be written.
    pub fn word(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }
}

/// An image of 16 MiB with an ext4 file system.
pub fn ext4_image(bench: &Workbench, name: &str) -> PathBuf {
    let image = bench.image(name, &vec![0; 16 * MIB]);
    assert!(Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&image).status().unwrap().success());
    image
}

/// A mounted file system; unmounted when dropped, so before the device that was attached for it.
pub struct Mounted {
    folder: PathBuf,
}

impl Mounted {
    pub fn at(folder: PathBuf, device: &Path) -> Self {
        std::fs::create_dir(&folder).unwrap();
        assert!(Command::new("mount").arg(device).arg(&folder).status().unwrap().success());
        Mounted { folder }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.folder).status();
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}
