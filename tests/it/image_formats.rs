//! A blob that is not the bytes of a disk is told before a drive is written with it, and written all the same.

use crate::support::azure_fake::AzureFake;
use crate::support::images::{KIB, random_bytes, same_content};
use crate::support::{Agent, Workbench};

/// A blob of 100 KiB that begins so.
fn blob_of(first: &[u8]) -> Vec<u8> {
    let mut bytes = random_bytes(100 * KIB, 1);
    bytes[..first.len()].copy_from_slice(first);
    bytes
}

#[test]
fn images_and_compressed_files_are_named_with_the_way_out() {
    let (bench, fake) = (Workbench::new(), AzureFake::start());
    for (index, (first, name, way_out)) in [
        (&b"QFI\xfb\0\0\0\x03"[..], "a qcow2 image", "qemu-img convert -O raw"),
        (b"vhdxfile", "a VHDX image", "qemu-img convert"),
        (b"\xfd7zXZ\0", "compressed by xz", "xz -d"),
        (b"BZh91AY&SY", "compressed by bzip2", "bzip2 -d"),
    ]
    .into_iter()
    .enumerate()
    {
        // The name says nothing.
        let bytes = blob_of(first);
        let file = bench.image(&format!("blob{index}.img"), &bytes);
        fake.put_plain("disk", bytes, &[]);
        for (kind, blob) in [("file", file.display().to_string()), ("azure", fake.blob("disk"))] {
            let target = bench.file(&format!("{kind}{index}.img"));
            let export = || Agent::new(bench.path(), &[&"export", &blob, &target]);
            let plan = export().with(&["--dry-run"]).run().expect(0);
            let warnings = plan["warnings"].to_string();
            assert!(warnings.contains(name) && warnings.contains(way_out), "{warnings}");
            assert!(!target.exists());
            let ended = export().run();
            ended.expect(0);
            assert!(ended.stderr.contains(name) && ended.stderr.contains(way_out), "{}", ended.stderr);
            assert!(!ended.stderr.contains("sig="), "{}", ended.stderr);
            assert!(same_content(&file, &target));
        }
    }
}

#[test]
fn the_bytes_of_a_disk_pass_without_a_word() {
    let (bench, fake) = (Workbench::new(), AzureFake::start());
    // Neither does a name, nor what stands elsewhere.
    for (name, first) in [("disk.qcow2", &[0xeb, 0x63, 0x90][..]), ("disk.img.xz", &[0; 512]), ("tiny", &[])] {
        let mut bytes = if name == "tiny" { b"QF".to_vec() } else { blob_of(first) };
        let end = bytes.len();
        if end > 512 {
            bytes[end - 512..end - 504].copy_from_slice(b"conectix");
        }
        let file = bench.image(name, &bytes);
        fake.put_plain("disk", bytes, &[]);
        for (kind, blob) in [("file", file.display().to_string()), ("azure", fake.blob("disk"))] {
            let ended = Agent::new(bench.path(), &[&"export", &blob, &format!("{kind}-{name}.img")]).run();
            ended.expect(0);
            assert!(!ended.stderr.contains("is written as it is"), "{}", ended.stderr);
        }
    }
}
