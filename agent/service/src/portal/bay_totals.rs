//! What all bays do together.

use protocol::progress::Progress;
use protocol::station::{Bay, BayState};
use protocol::units::ByteSize;

use super::copy_card::time_left;

const STATES: [BayState; 8] = [
    BayState::Held,
    BayState::Paused,
    BayState::Copying,
    BayState::Rescuing,
    BayState::Draining,
    BayState::Docked,
    BayState::Done,
    BayState::Empty,
];

/// How many bays are in each state, how fast they copy together, and which is done next.
pub(super) fn totals(bays: &[Bay]) -> Vec<(&'static str, String)> {
    let mut totals = vec![("bays", bays.len().to_string())];
    let count = |state: BayState| bays.iter().filter(|bay| bay.state == state).count();
    totals.extend(STATES.into_iter().map(|state| (state.name(), count(state))).filter(|(_, count)| *count > 0).map(text));
    let running: Vec<(&str, &Progress)> =
        bays.iter().filter_map(|bay| Some((bay.name.as_str(), bay.work.as_ref()?.progress.as_ref()?))).collect();
    if running.is_empty() {
        return totals;
    }
    let rate: f64 = running.iter().map(|(_, progress)| progress.bytes_per_second).sum();
    let left: u64 = running.iter().map(|(_, progress)| progress.bytes_total.saturating_sub(progress.bytes_done)).sum();
    totals.push(("together", format!("{}/s", ByteSize(rate as u64))));
    totals.push(("still to copy", ByteSize(left).to_string()));
    let timed = running.iter().filter_map(|(bay, progress)| Some((progress.eta_seconds?, *bay)));
    let next = timed.min_by(|one, other| one.0.total_cmp(&other.0));
    totals.extend(next.map(|(seconds, bay)| ("done next", format!("{bay}, {}", time_left(seconds)))));
    totals
}

fn text((name, count): (&'static str, usize)) -> (&'static str, String) {
    (name, count.to_string())
}

#[cfg(test)]
mod tests {
    use protocol::progress::Phase;
    use protocol::result::Direction;
    use protocol::station::BayWork;

    use super::*;

    fn bay(name: &str, state: BayState, progress: Option<Progress>) -> Bay {
        let work = progress.map(|progress| BayWork {
            job: String::new(),
            drive_id: String::new(),
            direction: Direction::Import,
            blob: None,
            progress: Some(progress),
        });
        Bay { name: name.to_owned(), hall: None, state, is_watched: true, drive: None, work, note: None }
    }

    fn copying(name: &str, rate: f64, eta_seconds: Option<f64>) -> Bay {
        let progress = Progress {
            bytes_total: 3 << 30,
            bytes_done: 1 << 30,
            bytes_per_second: rate,
            eta_seconds,
            ..Progress::of_nothing(Phase::Copying)
        };
        bay(name, BayState::Copying, Some(progress))
    }

    #[test]
    fn bays_are_counted_and_rates_added_up() {
        let bays = [
            copying("a", 1024.0, Some(600.0)),
            bay("b", BayState::Empty, None),
            copying("c", 1024.0, Some(60.0)),
            copying("d", 0.0, None),
            bay("e", BayState::Held, None),
        ];
        let totals: Vec<String> = totals(&bays).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        let expected =
            ["bays 5", "held 1", "copying 3", "empty 1", "together 2 KiB/s", "still to copy 6 GiB", "done next c, 1 min left"];
        assert_eq!(totals, expected);
        assert_eq!(super::totals(&[bay("a", BayState::Empty, None)]).len(), 2, "no rate where nothing is copied");
    }
}
