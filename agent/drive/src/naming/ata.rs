//! IDENTIFY DEVICE of ATA drives, through a bridge.

use super::command::{Command, OwnName, Source, text};

/// What IDENTIFY DEVICE answers (ACS-4, IDENTIFY DEVICE).
const IDENTIFY_BYTES: usize = 512;

/// The serial number: words 10 to 19. The model number: words 27 to 46 (ibid.).
const SERIAL: std::ops::Range<usize> = 20..40;
const MODEL: std::ops::Range<usize> = 54..94;

/// The low byte of word 255 where the high one is a checksum (ibid., integrity word).
const CHECKSUM_SIGNATURE: u8 = 0xa5;

/// ATA PASS-THROUGH (16) with IDENTIFY DEVICE (SAT-4, 12.2): protocol 4, PIO data-in; data from the drive, its length
/// in blocks, in the count field, which is 1.
pub(super) const IDENTIFY: Command =
    Command { bytes: [0x85, 4 << 1, 0x0e, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xec, 0], length: IDENTIFY_BYTES, decode };

/// What the drive calls itself. `None` where the answer is none of an ATA drive, or damaged.
fn decode(answer: &[u8]) -> Option<OwnName> {
    let answer: &[u8; IDENTIFY_BYTES] = answer.try_into().ok()?;
    // Bit 15 of word 0 is zero for an ATA drive.
    if answer[1] & 0x80 != 0 {
        return None;
    }
    let sum = answer.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    if answer[510] == CHECKSUM_SIGNATURE && sum != 0 {
        return None;
    }
    let serial = text(&swapped(answer.get(SERIAL)?))?;
    Some(OwnName { serial, model: text(&swapped(answer.get(MODEL)?)), source: Source::AtaTranslator })
}

/// The first letter of each word is its high byte, and words are little-endian (ACS-4, 3, ATA string convention).
fn swapped(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks_exact(2).flat_map(|word| [word[1], word[0]]).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer with these names, as a drive gives it.
    pub(in super::super) fn answer(serial: &str, model: &str) -> Vec<u8> {
        let mut bytes = vec![0; IDENTIFY_BYTES];
        bytes[0] = 0x40;
        let mut put = |place: std::ops::Range<usize>, text: &str| {
            let padded = format!("{text:<width$}", width = place.len());
            bytes[place].copy_from_slice(&swapped(padded.as_bytes()));
        };
        put(SERIAL, serial);
        put(MODEL, model);
        bytes[510] = CHECKSUM_SIGNATURE;
        bytes[511] = bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)).wrapping_neg();
        bytes
    }

    #[test]
    fn a_drive_is_named_by_its_answer() {
        // The first words of a serial number as they stand in memory: `WD-WX` with two spaces before it.
        let good = answer("  WD-WXA1A23B4567", "WDC WD40EFRX-68N32N0");
        assert_eq!(good[20..28], *b"  DWW-AX");
        let own = decode(&good).unwrap();
        assert_eq!((own.serial.as_str(), own.model.as_deref()), ("WD-WXA1A23B4567", Some("WDC WD40EFRX-68N32N0")));
        let mut old = good.clone();
        old[510..512].fill(0);
        assert_eq!(decode(&old), Some(own), "drives before ATA-5 have no checksum");
    }

    #[test]
    fn damaged_answers_name_nothing() {
        let good = answer("WD-WXA1A23B4567", "M");
        for place in [0, 20, 39, 60, 509, 511] {
            let mut wrong = good.clone();
            wrong[place] ^= 0x01;
            assert_eq!(decode(&wrong), None, "the checksum is wrong by byte {place}");
        }
        assert_eq!(decode(&good[..511]), None, "truncated");
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0; IDENTIFY_BYTES]), None);
        assert_eq!(decode(&[0xff; IDENTIFY_BYTES]), None);
        assert_eq!(decode(&answer("", "M")), None, "no serial number");
        assert_eq!(decode(&answer("\u{1}\u{2}RUBBISH", "M")), None);
        let mut packet = good;
        (packet[1], packet[510]) = (0x85, 0);
        assert_eq!(decode(&packet), None, "a packet device");
    }
}
