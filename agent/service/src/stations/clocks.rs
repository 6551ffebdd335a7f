//! When drives were docked at a station, by the clock of the service: the two need not agree.

use protocol::station::BayContent;
use time::{Duration, OffsetDateTime};

/// Clocks that differ by less are taken for one: a report takes some time on its way.
const AGREE: Duration = Duration::seconds(5);

/// How far a station's clock is ahead, where it told `there` by its own and it was heard at `here`. What was measured before stays
/// where that may be it still: times must not change from call to call.
pub(super) fn ahead(there: Option<OffsetDateTime>, here: OffsetDateTime, before: Option<Duration>) -> Duration {
    let now = there.map_or(Duration::ZERO, |there| there - here);
    let before = before.unwrap_or(Duration::ZERO);
    if (now - before).abs() < AGREE { before } else { now }
}

/// Bays as they were told by a clock that is so far ahead. A docking that is known keeps its time, and none is later than it was
/// heard of.
pub(super) fn by_this_clock(
    bays: Vec<BayContent>,
    ahead: Duration,
    heard_at: OffsetDateTime,
    known: &[BayContent],
) -> Vec<BayContent> {
    let is_same = |one: &BayContent, other: &BayContent| {
        (&one.name, one.sequence, &one.attachment) == (&other.name, other.sequence, &other.attachment)
    };
    let docked_here = |bay: &BayContent| match known.iter().find(|other| is_same(other, bay)) {
        Some(known) if bay.docked_at.is_some() => known.docked_here,
        _ => bay.docked_at.map(|docked_at| docked_at.checked_sub(ahead).map_or(heard_at, |docked_at| docked_at.min(heard_at))),
    };
    bays.into_iter().map(|bay| BayContent { docked_here: docked_here(&bay), ..bay }).collect()
}

#[cfg(test)]
mod tests {
    use protocol::job::DockedTime;

    use super::*;

    fn bay(sequence: u64, docked_at: Option<i64>) -> BayContent {
        let bay = serde_json::json!({ "name": "bay-1", "isWatched": true, "attachment": "1", "sequence": sequence });
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        BayContent { docked_at: docked_at.map(at), ..serde_json::from_value(bay).unwrap() }
    }

    /// A service that takes over computes another time, and knows the docking all the same.
    #[test]
    fn a_docking_is_known_again_by_another_service_whatever_their_clocks_say() {
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        for skew in [-60, -3, 0, 3, 60] {
            let told = vec![bay(1, Some(9_999 + skew))];
            let first = by_this_clock(told.clone(), ahead(Some(at(10_000 + skew)), at(10_000), None), at(10_000), &[]);
            let noted = first[0].docked().unwrap();
            for other in [-60, 0, 60] {
                let heard = at(20_000 + other);
                let later = by_this_clock(told.clone(), ahead(Some(at(20_000 + skew)), heard, None), heard, &[]);
                assert!(DockedTime::was_there(later[0].docked(), Some(noted.told), at(10_000)), "{skew} {other}");
                let again = by_this_clock(vec![bay(2, Some(10_000 + skew))], Duration::ZERO, heard, &later);
                assert!(!DockedTime::was_there(again[0].docked(), Some(noted.told), at(10_000)), "{skew} {other}");
            }
        }
    }

    #[test]
    fn a_docking_is_told_by_the_clock_of_the_service_and_keeps_its_time() {
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        for skew in [-1200, -2, 0, 3, 1200] {
            let first = ahead(Some(at(10_000 + skew)), at(10_000), None);
            let bays = by_this_clock(vec![bay(1, Some(9_900 + skew))], first, at(10_000), &[]);
            let expected = if skew.abs() < 5 { 9_900 + skew } else { 9_900 };
            assert_eq!(bays[0].docked_here, Some(at(expected)), "{skew}");
            // The next call took longer on its way.
            let next = ahead(Some(at(10_009 + skew)), at(10_010), Some(first));
            assert_eq!(by_this_clock(vec![bay(1, Some(9_900 + skew))], next, at(10_010), &bays), bays, "{skew}");
            // Its clock was set right: another docking has a right time too.
            let set = ahead(Some(at(10_020)), at(10_020), Some(next));
            let later = by_this_clock(vec![bay(2, Some(10_015))], set, at(10_020), &bays);
            assert!((later[0].docked_here.unwrap() - at(10_015)).abs() < AGREE, "{skew}");
        }
        assert_eq!(by_this_clock(vec![bay(1, Some(10_001))], Duration::ZERO, at(10_000), &[])[0].docked_here, Some(at(10_000)));
        assert_eq!(by_this_clock(vec![bay(1, None)], Duration::ZERO, at(10_000), &[bay(1, Some(9_000))])[0].docked_here, None);
        assert_eq!(ahead(None, at(1), None), Duration::ZERO, "a station of an earlier version");
    }
}
