//! A copy that runs, as bays and drives show it.

use protocol::job::percent;
use protocol::progress::{Progress, UnreadableSoFar};
use protocol::result::LimitedBy;
use protocol::units::ByteSize;

use super::bars::{Bar, strip_map};

/// Progress and rate of a copy.
pub(super) struct CopyCard {
    pub(super) percent: i64,
    pub(super) rate: String,
    pub(super) rate_max: String,
    pub(super) left: String,
    pub(super) curve: String,
    pub(super) sent: String,
    pub(super) zero: String,
    pub(super) reused: String,
    pub(super) in_flight: String,
    pub(super) unreadable: Option<String>,
    pub(super) retries: u64,
    pub(super) limited_by: Option<&'static str>,
    pub(super) strip: Option<Bar>,
}

/// Seconds that a curve shows.
const CURVE_SECONDS: usize = 180;

impl CopyCard {
    pub(super) fn new(progress: &Progress, rates: &[f64], unreadable: &UnreadableSoFar) -> Self {
        let size = |bytes: u64| ByteSize(bytes).to_string();
        let most = rates.iter().copied().fold(1.0, f64::max);
        // One unit to the right for each sample; the highest rate is as high as the curve.
        let start = CURVE_SECONDS.saturating_sub(rates.len());
        let point = |(index, rate): (usize, &f64)| format!("{},{:.1}", start + index, 31.0 - 30.0 * rate / most);
        CopyCard {
            percent: percent(progress.bytes_done, progress.bytes_total, false),
            rate: size(progress.bytes_per_second as u64),
            rate_max: size(most as u64),
            left: progress.eta_seconds.map_or_else(String::new, time_left),
            curve: rates.iter().enumerate().map(point).collect::<Vec<_>>().join(" "),
            sent: size(progress.bytes_sent),
            zero: size(progress.bytes_zero),
            reused: size(progress.bytes_reused),
            in_flight: size(progress.bytes_in_flight),
            unreadable: (progress.bytes_unreadable > 0).then(|| size(progress.bytes_unreadable)),
            retries: progress.retries,
            limited_by: limit(progress.limited_by),
            strip: strip_map(unreadable, progress.bytes_total),
        }
    }
}

/// What limits a copy, in words.
pub(super) fn limit(limited_by: LimitedBy) -> Option<&'static str> {
    match limited_by {
        LimitedBy::Read => Some("reading"),
        LimitedBy::Hash => Some("hashing"),
        LimitedBy::Send => Some("the store"),
        LimitedBy::Write => Some("writing to the drive"),
        LimitedBy::Sync => Some("making it durable"),
        LimitedBy::Rate => Some("the rate that was set"),
        LimitedBy::Nothing => None,
    }
}

/// How long a copy still takes, in words.
pub(super) fn time_left(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil();
    match minutes {
        _ if !minutes.is_finite() || minutes > 1e6 => String::new(),
        _ if seconds < 60.0 => format!("{} s left", seconds.ceil()),
        _ if minutes < 120.0 => format!("{minutes} min left"),
        _ => format!("{:.1} h left", seconds / 3600.0),
    }
}
