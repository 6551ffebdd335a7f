//! SMART of ATA drives: values, limits, and what they mean together (ACS-2, 7.53; the tables of attributes are those that vendors
//! agree on, as smartmontools knows them).

use protocol::drives::DriveHealth;

/// What both commands answer.
pub(super) const SECTOR_BYTES: usize = 512;

/// ATA PASS-THROUGH (16) with SMART READ DATA (SAT-4, 12.2): protocol 4, PIO data-in, one block; C24Fh in the address is SMART's
/// signature.
pub(super) const VALUES: [u8; 16] = smart(0xd0);

/// The same with SMART READ ATTRIBUTE THRESHOLDS, which ACS-2 calls obsolete and drives answer.
pub(super) const LIMITS: [u8; 16] = smart(0xd1);

const fn smart(feature: u8) -> [u8; 16] {
    [0x85, 4 << 1, 0x0e, 0, feature, 0, 1, 0, 0, 0, 0x4f, 0, 0xc2, 0, 0xb0, 0]
}

/// Thirty entries of twelve bytes, behind a revision.
const ENTRIES: std::ops::Range<usize> = 2..362;
const ENTRY_BYTES: usize = 12;

/// Attributes that most vendors have.
const REALLOCATED: u8 = 5;
const AIRFLOW_TEMPERATURE: u8 = 190;
const TEMPERATURE: u8 = 194;
const PENDING: u8 = 197;

/// The attribute foretells a failure, and not mere age, in the first byte of its flags.
const FORETELLS: u8 = 0x01;

/// What a drive tells of itself. `None` where the answer is damaged, or none of a drive with SMART.
pub(super) fn decode(values: &[u8], limits: Option<&[u8]>) -> Option<DriveHealth> {
    let values = entries(values)?;
    let limits = limits.and_then(entries);
    let is_failing = limits.map(|limits| values.iter().any(|value| is_exceeded(value, &limits)));
    let raw = |id: u8| values.iter().find(|value| value[0] == id).map(|value| &value[5..11]);
    let count = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let temperature = raw(TEMPERATURE).or_else(|| raw(AIRFLOW_TEMPERATURE));
    Some(DriveHealth {
        is_failing,
        // The lowest and the highest ones stand behind it.
        temperature_celsius: temperature.map(|raw| i64::from(raw[0] as i8)).filter(|degrees| *degrees != 0),
        // Some vendors count something else in the higher bytes.
        reallocated_sectors: raw(REALLOCATED).map(|raw| count(&raw[..2])),
        pending_sectors: raw(PENDING).map(|raw| count(&raw[..4])),
        ..DriveHealth::default()
    })
}

/// Whether a value came down to its limit. 0 and FFh are limits that say nothing, and values of 0, FEh and FFh are none.
fn is_exceeded(value: &[u8], limits: &[Vec<u8>]) -> bool {
    let limit = limits.iter().find(|limit| limit[0] == value[0]).map_or(0, |limit| limit[1]);
    let current = value[3];
    value[1] & FORETELLS != 0 && !matches!(limit, 0 | 0xff) && (1..=0xfd).contains(&current) && current <= limit
}

/// The entries that are used, whose id is neither of those that bridges fill answers with; `None` where the sector is damaged: all its bytes make zero.
fn entries(sector: &[u8]) -> Option<Vec<Vec<u8>>> {
    let sector: &[u8; SECTOR_BYTES] = sector.try_into().ok()?;
    let sum = sector.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    let used: Vec<Vec<u8>> = sector
        .get(ENTRIES)?
        .chunks_exact(ENTRY_BYTES)
        .filter(|entry| !matches!(entry[0], 0 | 0xff))
        .map(<[u8]>::to_vec)
        .collect();
    (sum == 0 && !used.is_empty()).then_some(used)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn sector(entries: &[[u8; ENTRY_BYTES]]) -> Vec<u8> {
        let mut sector = vec![0; SECTOR_BYTES];
        sector[0] = 0x10;
        for (place, entry) in entries.iter().enumerate() {
            sector[2 + place * ENTRY_BYTES..][..ENTRY_BYTES].copy_from_slice(entry);
        }
        sector[511] = sector.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)).wrapping_neg();
        sector
    }

    /// An answer with these attributes: id, whether it foretells a failure, value, raw value.
    pub(in super::super) fn values(attributes: &[(u8, bool, u8, u64)]) -> Vec<u8> {
        let entry = |(id, foretells, current, raw): &(u8, bool, u8, u64)| {
            let raw = raw.to_le_bytes();
            [*id, u8::from(*foretells), 0, *current, *current, raw[0], raw[1], raw[2], raw[3], raw[4], raw[5], 0]
        };
        sector(&attributes.iter().map(entry).collect::<Vec<_>>())
    }

    fn limits(attributes: &[(u8, u8)]) -> Vec<u8> {
        sector(&attributes.iter().map(|(id, limit)| [*id, *limit, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).collect::<Vec<_>>())
    }

    #[test]
    fn a_drive_fails_where_a_value_that_foretells_it_came_down_to_its_limit() {
        let judged = |foretells: bool, value: u8, limit: u8| {
            decode(&values(&[(5, foretells, value, 0)]), Some(&limits(&[(1, 99), (5, limit)]))).unwrap().is_failing
        };
        assert_eq!(judged(true, 100, 36), Some(false));
        assert_eq!(judged(true, 36, 36), Some(true));
        assert_eq!(judged(true, 1, 36), Some(true));
        assert_eq!(judged(false, 1, 36), Some(false), "it is old, and does not fail for that");
        assert_eq!([judged(true, 1, 0), judged(true, 1, 0xff), judged(true, 0, 36)], [Some(false); 3]);
    }

    #[test]
    fn what_was_lost_and_how_warm_it_is_are_told() {
        // 41 degrees now, 20 at least and 55 at most; 2 sectors, and something else of the vendor's in the higher bytes.
        let told =
            decode(&values(&[(194, false, 100, 0x0037_0014_0029), (5, true, 100, 0x7_0000_0002), (197, false, 100, 8)]), None);
        let told = told.unwrap();
        assert_eq!((told.temperature_celsius, told.reallocated_sectors, told.pending_sectors), (Some(41), Some(2), Some(8)));
        assert_eq!(told.is_failing, None);
        let other = decode(&values(&[(190, false, 64, 36)]), None).unwrap();
        assert_eq!(other.temperature_celsius, Some(36));
    }

    #[test]
    fn damaged_answers_tell_nothing() {
        let good = values(&[(5, true, 1, 0)]);
        let mut wrong = good.clone();
        wrong[6] ^= 1;
        for damaged in [&wrong[..], &good[..511], &[], &[0; 512], &[0xff; 512]] {
            assert_eq!(decode(damaged, None), None);
        }
        let told = decode(&good, Some(&wrong)).unwrap();
        assert_eq!(told.is_failing, None, "limits that cannot be read judge nothing");
    }
}
