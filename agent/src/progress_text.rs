//! Progress as a person reads it: what fits beside a bar, and a line for a log.

use std::time::Duration;

use protocol::progress::{Phase, Progress};
use protocol::units::ByteSize;

/// Fewer cells show nothing.
const BAR_CELLS_LEAST: usize = 8;

/// In a narrower terminal words are short.
const NARROW_COLUMNS: usize = 64;

const SILENCE: &str = "no response from the drive for";

/// Longer than this is not known.
const LEFT_SECONDS_MAX: f64 = 1e8;

/// What stands before and behind the bar.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BesideBar {
    pub(crate) before: String,
    pub(crate) behind: String,
}

/// What fits beside a bar in so many columns. What matters most is left out last.
pub(crate) fn beside_bar(progress: &Progress, columns: usize) -> BesideBar {
    let before = phase_name(progress.phase).to_owned();
    // Blanks stand around the bar.
    let room = columns.saturating_sub(before.chars().count() + BAR_CELLS_LEAST + 2);
    let mut shown: Vec<(usize, String)> = vec![(0, percent(progress))];
    let mut used = shown[0].1.chars().count();
    let silence = if columns < NARROW_COLUMNS { "no answer" } else { SILENCE };
    for (place, part) in parts(progress, silence) {
        let length = part.chars().count() + 1;
        if used + length <= room {
            used += length;
            shown.push((place, part));
        }
    }
    shown.sort();
    BesideBar { before, behind: shown.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(" ") }
}

/// A line for a log.
pub(crate) fn log_line(progress: &Progress) -> String {
    let mut parts = parts(progress, SILENCE);
    parts.sort();
    let parts = parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(", ");
    format!("{} {}: {parts}", phase_name(progress.phase), percent(progress))
}

/// Everything but the share, the most important first, with the place where it is shown.
fn parts(progress: &Progress, silence: &str) -> Vec<(usize, String)> {
    let mut parts = Vec::new();
    if progress.phase == Phase::Draining {
        parts.push((2, format!("{} in flight", ByteSize(progress.bytes_in_flight))));
    }
    match progress.drive_silent_seconds.filter(|_| calls_drive(progress.phase)) {
        Some(seconds) => parts.push((1, format!("{silence} {}", duration(seconds)))),
        None if is_moving(progress.phase) => {
            let rate = ByteSize(progress.bytes_per_second.max(0.0) as u64);
            parts.push((2, format!("{rate}/s")));
            let left = progress.eta_seconds.filter(|left| left.is_finite() && *left < LEFT_SECONDS_MAX);
            parts.extend(left.map(|left| (5, format!("{} left", duration(left)))));
        }
        None => {}
    }
    if progress.bytes_total > 0 {
        parts.push((3, format!("{} of {}", ByteSize(progress.bytes_done), ByteSize(progress.bytes_total))));
    }
    parts.push((4, format!("{} elapsed", duration(progress.elapsed_seconds))));
    for (place, bytes, name) in
        [(6, progress.bytes_unreadable, "unreadable"), (7, progress.bytes_reused, "reused"), (8, progress.bytes_zero, "zero")]
    {
        if bytes > 0 {
            parts.push((place, format!("{} {name}", ByteSize(bytes))));
        }
    }
    if progress.retries > 0 {
        parts.push((9, format!("{} repeated", progress.retries)));
    }
    parts
}

/// Whether the rate says when it ends: draining ends when what is in flight has landed.
fn is_moving(phase: Phase) -> bool {
    matches!(phase, Phase::Copying | Phase::Rescuing | Phase::Clearing | Phase::Verifying)
}

/// Whether a call into the drive that does not come back holds it up.
fn calls_drive(phase: Phase) -> bool {
    matches!(phase, Phase::Copying | Phase::Rescuing | Phase::Draining)
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Preparing => "preparing",
        Phase::Copying => "copying",
        Phase::Rescuing => "rescuing",
        Phase::Draining => "draining",
        Phase::Committing => "committing",
        Phase::Clearing => "clearing",
        Phase::Verifying => "verifying",
        Phase::Done => "done",
    }
}

/// The share, in steps that are seen to move on a large drive too.
fn percent(progress: &Progress) -> String {
    let share = 100.0 * progress.bytes_done.min(progress.bytes_total) as f64 / progress.bytes_total.max(1) as f64;
    let decimals: usize = match progress.bytes_total {
        0..0x02_8000_0000 => 0,
        0x02_8000_0000..0x0100_0000_0000 => 1,
        _ => 2,
    };
    // 100 % is said of the whole alone.
    let step = 10f64.powi(decimals as i32);
    let floor = (share * step).floor() / step;
    format!("{floor:.decimals$}%")
}

/// A time in its two largest units.
fn duration(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, LEFT_SECONDS_MAX)).as_secs();
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..172_800 => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{:02}h", whole / 86400, whole % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(phase: Phase) -> Progress {
        Progress {
            bytes_total: 8 << 40,
            bytes_done: 1 << 40,
            bytes_reused: 1 << 30,
            elapsed_seconds: 4000.0,
            bytes_per_second: 200e6,
            eta_seconds: Some(38_482.0),
            retries: 3,
            ..Progress::of_nothing(phase)
        }
    }

    #[test]
    fn it_fits_into_every_terminal_and_the_most_important_stays() {
        for columns in 30..200 {
            let BesideBar { before, behind } = beside_bar(&progress(Phase::Copying), columns);
            let used = before.chars().count() + behind.chars().count() + 2 + BAR_CELLS_LEAST;
            assert!(used <= columns, "{columns}: {before} … {behind}");
            assert!(behind.starts_with("12.50%"), "{behind}");
        }
        let at = |columns| beside_bar(&progress(Phase::Copying), columns).behind;
        assert_eq!(at(40), "12.50% 190.7 MiB/s");
        assert_eq!(at(80), "12.50% 190.7 MiB/s 1 TiB of 8 TiB 1h06m elapsed 10h41m left");
        assert_eq!(at(120), "12.50% 190.7 MiB/s 1 TiB of 8 TiB 1h06m elapsed 10h41m left 1 GiB reused 3 repeated");
    }

    #[test]
    fn a_drive_that_does_not_answer_has_no_rate() {
        let silent = Progress { drive_silent_seconds: Some(14.3), ..progress(Phase::Copying) };
        assert!(beside_bar(&silent, 40).behind.ends_with("no answer 14s"));
        let for_long = Progress { drive_silent_seconds: Some(3599.0), ..silent.clone() };
        assert!(beside_bar(&for_long, 40).behind.ends_with("no answer 59m59s"));
        let line = log_line(&silent);
        assert!(line.contains("no response from the drive for 14s"), "{line}");
        assert!(!line.contains("left") && !line.contains("/s"), "{line}");
    }

    #[test]
    fn who_drains_is_told_what_is_awaited() {
        let draining = Progress { bytes_in_flight: 64 << 20, ..progress(Phase::Draining) };
        assert_eq!(
            log_line(&draining),
            "draining 12.50%: 64 MiB in flight, 1 TiB of 8 TiB, 1h06m elapsed, 1 GiB reused, 3 repeated"
        );
    }

    #[test]
    fn the_whole_alone_is_100_percent() {
        let nearly = Progress { bytes_total: 1 << 30, bytes_done: (1 << 30) - 1, ..Progress::of_nothing(Phase::Copying) };
        assert_eq!(percent(&nearly), "99%");
        assert_eq!(percent(&Progress { bytes_done: 1 << 30, ..nearly }), "100%");
    }

    #[test]
    fn times_have_two_units() {
        let all = [0.4, 59.9, 61.0, 3599.0, 3600.0, 172_799.0, 1e6].map(duration);
        assert_eq!(all, ["0s", "59s", "1m01s", "59m59s", "1h00m", "47h59m", "11d13h"]);
    }
}
