//! IDENTIFY CONTROLLER of NVMe drives behind USB bridges, by the command of the bridge's maker.
//!
//! A command of one maker means something else to the bridges of another: it is sent to known products only. JMicron's way is
//! not taken: it begins with a block that is written to the bridge, and to a SATA adapter, some of which have the same
//! product id (152d:0583), it is the order to reset the drive.

use super::command::{Command, OwnName, Source, text};

/// What IDENTIFY answers (NVM Express Base Specification 2.0, 5.17).
const IDENTIFY_BYTES: usize = 4096;

/// IDENTIFY, as an admin command, and the structure of the controller (ibid.).
const IDENTIFY: u8 = 0x06;
const CONTROLLER: u8 = 0x01;

/// The vendor id, the serial number and the model number (ibid., figure 275).
const VENDOR: std::ops::Range<usize> = 0..2;
const SERIAL: std::ops::Range<usize> = 4..24;
const MODEL: std::ops::Range<usize> = 24..64;

/// ASMedia: E6h, then the opcode; the lowest byte of command dword 10 in byte 3.
const ASMEDIA: Command =
    Command { bytes: [0xe6, IDENTIFY, 0, CONTROLLER, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], length: IDENTIFY_BYTES, decode };

/// Realtek: E4h, the length as a little-endian number, the opcode, and the lowest byte of command dword 10.
const REALTEK: Command =
    Command { bytes: [0xe4, 0x00, 0x10, IDENTIFY, CONTROLLER, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], length: IDENTIFY_BYTES, decode };

/// ASM2362, ASM2364 and ASM2464PD, also under the ids of those who built them in (smartmontools, drivedb.h).
const ASMEDIA_PRODUCTS: [(u16, u16); 14] = [
    (0x174c, 0x2362),
    (0x174c, 0x2364),
    (0x174c, 0x2463),
    (0x0411, 0x039d),
    (0x04e8, 0x4001),
    (0x04e8, 0x61fb),
    (0x04e8, 0x61fd),
    (0x0781, 0x55ae),
    (0x0781, 0x55af),
    (0x0781, 0x55bb),
    (0x0b05, 0x1932),
    (0x0bc2, 0xaa1a),
    (0x1058, 0x266e),
    (0x1e91, 0xde79),
];

/// RTL9210, RTL9211 and RTL9220, likewise. Those with a SATA drive refuse the command.
const REALTEK_PRODUCTS: [(u16, u16); 8] = [
    (0x0bda, 0x9210),
    (0x0bda, 0x9211),
    (0x0bda, 0x9220),
    (0x0dd8, 0x9210),
    (0x1de1, 0xe101),
    (0x2174, 0x7010),
    (0x21c4, 0xb083),
    (0x2eb9, 0x9211),
];

/// The command for a bridge by its USB vendor and product id, where it is known to take one.
pub(super) fn command_for(product: (u16, u16)) -> Option<Command> {
    if ASMEDIA_PRODUCTS.contains(&product) {
        Some(ASMEDIA)
    } else if REALTEK_PRODUCTS.contains(&product) {
        Some(REALTEK)
    } else {
        None
    }
}

/// What the controller calls itself. `None` where the answer is none of a controller.
pub(super) fn decode(answer: &[u8]) -> Option<OwnName> {
    let answer: &[u8; IDENTIFY_BYTES] = answer.try_into().ok()?;
    // A bridge with a SATA drive may say yes and give nothing.
    if matches!(answer.get(VENDOR)?, [0, 0] | [0xff, 0xff]) {
        return None;
    }
    Some(OwnName { serial: text(answer.get(SERIAL)?)?, model: text(answer.get(MODEL)?), source: Source::NvmeController })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn answer(serial: &str, model: &str) -> Vec<u8> {
        let mut bytes = vec![0; IDENTIFY_BYTES];
        bytes[VENDOR].copy_from_slice(&[0x4d, 0x14]);
        bytes[SERIAL].copy_from_slice(format!("{serial:<20}").as_bytes());
        bytes[MODEL].copy_from_slice(format!("{model:<40}").as_bytes());
        bytes
    }

    #[test]
    fn a_controller_is_named_by_its_answer() {
        let own = decode(&answer("S5GXNX0R123456", "Samsung SSD 980 PRO 1TB")).unwrap();
        assert_eq!((own.serial.as_str(), own.model.as_deref()), ("S5GXNX0R123456", Some("Samsung SSD 980 PRO 1TB")));
        let mut without_vendor = answer("S5GXNX0R123456", "M");
        without_vendor[VENDOR].fill(0);
        let truncated = &answer("S5GXNX0R123456", "M")[..512];
        for damaged in [&without_vendor[..], truncated, &[], &[0; IDENTIFY_BYTES], &[0xff; IDENTIFY_BYTES], &answer("", "M")] {
            assert_eq!(decode(damaged), None);
        }
    }

    #[test]
    fn commands_of_a_maker_go_to_its_bridges_only() {
        let first = |product| command_for(product).map(|command| command.bytes[..5].to_vec());
        assert_eq!(first((0x174c, 0x2362)), Some(vec![0xe6, 6, 0, 1, 0]));
        assert_eq!(first((0x0bda, 0x9210)), Some(vec![0xe4, 0, 0x10, 6, 1]));
        for other in [(0x174c, 0x55aa), (0x174c, 0x9210), (0x0bda, 0x2362), (0x152d, 0x0583), (0x152d, 0xa583), (0x0bda, 0x0306)]
        {
            assert_eq!(first(other), None, "{other:04x?}");
        }
    }
}
