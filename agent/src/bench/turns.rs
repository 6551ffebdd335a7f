//! In which order things are measured.

/// The order of so many runs in a repetition. What a run leaves behind is the next one's gain or loss, so each time
/// another one is first, and every second time they go backwards: none always follows the same one.
pub(super) fn order(count: usize, repetition: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if repetition % 2 == 1 {
        order.reverse();
    }
    order.rotate_left(repetition / 2 % count.max(1));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_repetition_has_all_and_none_always_follows_the_same_one() {
        assert_eq!((order(0, 3), order(1, 3)), (vec![], vec![0]));
        for count in 3..14 {
            let repetitions: Vec<Vec<usize>> = (0..5).map(|repetition| order(count, repetition)).collect();
            let first: BTreeSet<usize> = repetitions.iter().map(|order| order[0]).collect();
            assert!(first.len() >= 3, "{repetitions:?}");
            for own in 0..count {
                let before = repetitions.iter().map(|order| {
                    let place = order.iter().position(|other| *other == own).unwrap();
                    place.checked_sub(1).map(|place| order[place])
                });
                assert!(before.collect::<BTreeSet<_>>().len() >= 2, "{own} in {repetitions:?}");
            }
        }
    }
}
