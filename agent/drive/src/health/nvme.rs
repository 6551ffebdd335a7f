//! SMART and health information of NVMe controllers (NVM Express Base Specification 2.0, 5.16.1.3).

use protocol::drives::DriveHealth;

/// The page of the log, and how long it is.
pub(super) const HEALTH_PAGE: u8 = 0x02;
pub(super) const PAGE_BYTES: usize = 512;

/// Bits of the critical warning: too few spare blocks, unreliable, read-only, and no power for what it holds. (A temperature that is
/// too high is no failure.)
const FAILING: u8 = 0b0001_1101;

/// 0 °C in kelvins, of which the page has whole ones.
const ZERO_CELSIUS_KELVINS: i64 = 273;

/// What the controller tells of itself.
pub(super) fn decode(page: &[u8; PAGE_BYTES]) -> DriveHealth {
    let kelvins = i64::from(u16::from_le_bytes([page[1], page[2]]));
    let mut errors = [0; 16];
    errors.copy_from_slice(&page[160..176]);
    DriveHealth {
        is_failing: Some(page[0] & FAILING != 0),
        temperature_celsius: (kelvins != 0).then_some(kelvins - ZERO_CELSIUS_KELVINS),
        media_errors: Some(u64::try_from(u128::from_le_bytes(errors)).unwrap_or(u64::MAX)),
        ..DriveHealth::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_understood() {
        let mut page = [0; PAGE_BYTES];
        (page[1], page[2], page[160]) = (0x3f, 0x01, 7);
        let told = decode(&page);
        assert_eq!((told.is_failing, told.temperature_celsius, told.media_errors), (Some(false), Some(46), Some(7)));
        for (warning, is_failing) in [(0x01, true), (0x02, false), (0x04, true), (0x08, true), (0x10, true), (0x20, false)] {
            page[0] = warning;
            assert_eq!(decode(&page).is_failing, Some(is_failing), "{warning:#x}");
        }
        (page[1], page[2]) = (0, 0);
        assert_eq!(decode(&page).temperature_celsius, None, "it measures none");
        page[160..176].fill(0xff);
        assert_eq!(decode(&page).media_errors, Some(u64::MAX));
    }
}
