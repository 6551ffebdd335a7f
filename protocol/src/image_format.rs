//! What a blob is by its first bytes, where these say that it is not the bytes of a disk: an image of a virtual machine, or
//! something compressed. A pure function of the bytes; a name says nothing for certain.

/// How many bytes at the beginning decide it.
pub const FIRST_BYTES: usize = 512;

/// A format whose bytes are not those of the disk that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageFormat {
    /// What people call it.
    pub name: &'static str,
    /// How the bytes of the disk are had from it.
    pub way_out: &'static str,
}

/// Where a format shows itself, and by which bytes.
struct Mark(usize, &'static [u8], ImageFormat);

const CONVERT: &str = "convert it first (`qemu-img convert -O raw`)";

const fn virtual_disk(name: &'static str) -> ImageFormat {
    ImageFormat { name, way_out: CONVERT }
}

const fn compressed(name: &'static str, way_out: &'static str) -> ImageFormat {
    ImageFormat { name, way_out }
}

/// A fixed VHD is not here: it is the bytes of the disk, with a footer behind them.
const MARKS: [Mark; 17] = [
    Mark(0, b"QFI\xfb", virtual_disk("a qcow2 image")),
    Mark(0, b"QED\0", virtual_disk("a QED image")),
    Mark(0, b"KDMV", virtual_disk("a VMDK image")),
    Mark(0, b"COWD", virtual_disk("a VMDK image")),
    Mark(0, b"# Disk DescriptorFile", virtual_disk("the description of a VMDK image")),
    Mark(0, b"vhdxfile", virtual_disk("a VHDX image")),
    Mark(0, b"conectix", virtual_disk("a dynamic VHD image")),
    Mark(64, &[0x7f, 0x10, 0xda, 0xbe], virtual_disk("a VDI image")),
    Mark(0, &[0xfd, b'7', b'z', b'X', b'Z', 0], compressed("compressed by xz", "decompress it first (`xz -d`)")),
    Mark(0, &[0x1f, 0x8b, 8], compressed("compressed by gzip", "decompress it first (`gzip -d`)")),
    Mark(0, &[0x28, 0xb5, 0x2f, 0xfd], compressed("compressed by zstd", "decompress it first (`zstd -d`)")),
    Mark(0, &[0x04, 0x22, 0x4d, 0x18], compressed("compressed by lz4", "decompress it first (`lz4 -d`)")),
    // Behind BZh and the level stand the digits of pi.
    Mark(4, &[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], compressed("compressed by bzip2", "decompress it first (`bzip2 -d`)")),
    Mark(0, b"PK\x03\x04", compressed("a zip archive", "unpack it first (`unzip`)")),
    Mark(0, b"PK\x05\x06", compressed("a zip archive", "unpack it first (`unzip`)")),
    Mark(0, b"PK\x07\x08", compressed("a zip archive", "unpack it first (`unzip`)")),
    Mark(0, &[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c], compressed("a 7z archive", "unpack it first (`7z x`)")),
];

impl ImageFormat {
    /// What a blob is that begins with these bytes; `None` where they may be those of a disk.
    pub fn of(first_bytes: &[u8]) -> Option<Self> {
        let has = |Mark(offset, bytes, format): &Mark| {
            let is_bzip2 = format.name.ends_with("bzip2");
            first_bytes.get(*offset..).is_some_and(|rest| rest.starts_with(bytes))
                && (!is_bzip2 || first_bytes.starts_with(b"BZh"))
        };
        MARKS.iter().find(|mark| has(mark)).map(|Mark(_, _, format)| *format)
    }

    /// What is said before a blob is written to a drive as it is.
    pub fn warning(&self, blob: &str) -> String {
        format!(
            "the blob `{blob}` is {}, and is written as it is: a drive with it cannot be used as the disk that it holds; if that disk is meant, {}",
            self.name, self.way_out
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let at = |offset: usize, bytes: &[u8]| [vec![0; offset], bytes.to_vec(), vec![0; 600]].concat();
        for (bytes, name) in [
            (at(0, b"QFI\xfb\0\0\0\x03"), "qcow2"),
            (at(0, b"KDMV\x01"), "VMDK"),
            (at(0, b"# Disk DescriptorFile\nversion=1\n"), "VMDK"),
            (at(0, b"vhdxfile"), "VHDX"),
            (at(0, b"conectix\0\0\0\x02"), "dynamic VHD"),
            ([b"<<< Oracle VM VirtualBox Disk Image >>>\n".to_vec(), vec![0; 24], vec![0x7f, 0x10, 0xda, 0xbe]].concat(), "VDI"),
            (at(0, &[0xfd, b'7', b'z', b'X', b'Z', 0]), "xz"),
            (at(0, &[0x1f, 0x8b, 8, 0]), "gzip"),
            (at(0, &[0x28, 0xb5, 0x2f, 0xfd]), "zstd"),
            (at(0, b"BZh91AY&SY"), "bzip2"),
            (at(0, &[0x04, 0x22, 0x4d, 0x18]), "lz4"),
            (at(0, b"PK\x03\x04"), "zip"),
            (at(0, &[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c]), "7z"),
        ] {
            let found = ImageFormat::of(&bytes).map(|format| format.name).unwrap_or_default();
            assert!(found.contains(name), "{name}: {found}");
        }
        // Boot sectors, file systems, ISO, a fixed VHD (its footer is at the end), zeros, and what is too short to decide.
        let fixed_vhd = [vec![0; 1024], b"conectix".to_vec()].concat();
        for bytes in [
            at(0, &[0xeb, 0x63, 0x90]),
            at(510, &[0x55, 0xaa]),
            at(0, b"LUKS\xba\xbe"),
            at(4, b"1AY&SY"),
            fixed_vhd,
            vec![0; 512],
            b"QF".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(ImageFormat::of(&bytes), None, "{:?}", &bytes[..bytes.len().min(8)]);
        }
    }
}
