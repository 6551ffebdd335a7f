//! How many bytes a second the copies of a station may move together: an operator's word, else a weekly schedule, else what
//! the configuration says for all other times. A pure function of the three and the time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, Weekday};
use utoipa::ToSchema;

use crate::units::ByteRate;

/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// The word for no limit.
const UNLIMITED: &str = "unlimited";

/// The word that gives the schedule its say again.
const SCHEDULE: &str = "schedule";

/// A rate, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateCap(pub Option<ByteRate>);

impl FromStr for RateCap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            UNLIMITED => Ok(RateCap(None)),
            text => text.parse().map(|rate| RateCap(Some(rate))).map_err(|error: crate::units::SizeError| error.to_string()),
        }
    }
}

impl fmt::Display for RateCap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) => write!(formatter, "{rate}"),
            None => formatter.write_str(UNLIMITED),
        }
    }
}

/// A time of day, in minutes since midnight; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time of day: write HH:MM, from 00:00 to 24:00");
        let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
        let number = |digits: &str| match digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit()) {
            true => digits.parse::<u16>().map_err(|_| wrong()),
            false => Err(wrong()),
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let all = hours * 60 + minutes;
        if minutes < 60 && all <= DAY_MINUTES { Ok(TimeOfDay(all)) } else { Err(wrong()) }
    }
}

/// A part of the week with a rate of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateWindow {
    days: Vec<Weekday>,
    from: TimeOfDay,
    to: TimeOfDay,
    cap: RateCap,
}

impl RateWindow {
    /// On these days, from one time to another. Where the second is earlier, it is one of the day after.
    ///
    /// # Errors
    /// When there is no day, or no time between the two.
    pub fn new(days: Vec<Weekday>, from: TimeOfDay, to: TimeOfDay, cap: RateCap) -> Result<Self, String> {
        if days.is_empty() {
            return Err("it has no days: leave `days` out for all of them".to_owned());
        }
        if from == to || from.0 == DAY_MINUTES {
            return Err("there is no time between `from` and `to`: a whole day is from 00:00 to 24:00".to_owned());
        }
        Ok(RateWindow { days, from, to, cap })
    }

    fn has(&self, day: Weekday, minute: u16) -> bool {
        let begins_on = |day| self.days.contains(&day);
        match self.from < self.to {
            true => begins_on(day) && (self.from.0..self.to.0).contains(&minute),
            // Over midnight: the night belongs to the day on which it begins.
            false => begins_on(day) && minute >= self.from.0 || begins_on(day.previous()) && minute < self.to.0,
        }
    }
}

/// The rates of a week, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateSchedule {
    /// Where several have a time, the first counts.
    pub windows: Vec<RateWindow>,
    /// The rate of all other times.
    pub otherwise: RateCap,
}

/// Who says what the rate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RateAuthority {
    /// An operator, until that is taken back.
    Operator,
    /// The schedule of the configuration.
    Schedule,
    /// The configuration, for times that the schedule has nothing for.
    Configuration,
}

impl RateSchedule {
    /// The rate at a time.
    pub fn at(&self, operator: Option<RateCap>, now: OffsetDateTime) -> (RateCap, RateAuthority) {
        if let Some(cap) = operator {
            return (cap, RateAuthority::Operator);
        }
        let now = now.to_offset(time::UtcOffset::UTC);
        let minute = u16::from(now.hour()) * 60 + u16::from(now.minute());
        match self.windows.iter().find(|window| window.has(now.weekday(), minute)) {
            Some(window) => (window.cap, RateAuthority::Schedule),
            None => (self.otherwise, RateAuthority::Configuration),
        }
    }
}

/// What an operator orders: a rate, `unlimited`, or `schedule`, which takes back what was ordered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateOrder {
    /// This, until another order.
    Cap(RateCap),
    /// What the schedule and the configuration say.
    Schedule,
}

impl FromStr for RateOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            SCHEDULE => Ok(RateOrder::Schedule),
            text => text.parse().map(RateOrder::Cap).map_err(|why: String| {
                format!("{why}; write a rate such as 50MB/s, `{UNLIMITED}`, or `{SCHEDULE}` for what the configuration says")
            }),
        }
    }
}

impl fmt::Display for RateOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RateOrder::Cap(cap) => write!(formatter, "{cap}"),
            RateOrder::Schedule => formatter.write_str(SCHEDULE),
        }
    }
}

/// The order of an operator, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetRate {
    /// A rate such as `50MB/s`, `unlimited`, or `schedule`.
    pub rate: String,
}

/// The rate of a station's copies together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StationRate {
    /// Bytes a second; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Who says so.
    pub set_by: RateAuthority,
}

impl StationRate {
    /// As a station answers.
    pub fn new((cap, set_by): (RateCap, RateAuthority)) -> Self {
        StationRate { bytes_per_second: cap.0.map(|rate| rate.bytes_per_second), set_by }
    }

    /// In words.
    pub fn text(&self) -> String {
        let rate = self.bytes_per_second.map(|bytes_per_second| ByteRate { bytes_per_second });
        let rate = rate.map_or_else(|| "no limit".to_owned(), |rate| format!("at most {rate}"));
        let by = match self.set_by {
            RateAuthority::Operator => "by an operator, until `schedule` is set",
            RateAuthority::Schedule => "by the schedule",
            RateAuthority::Configuration => "by the configuration",
        };
        format!("{rate} for all copies of a host together, {by}")
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn window(days: &[Weekday], from: &str, to: &str, cap: &str) -> RateWindow {
        RateWindow::new(days.to_vec(), from.parse().unwrap(), to.parse().unwrap(), cap.parse().unwrap()).unwrap()
    }

    fn cap(text: &str) -> RateCap {
        text.parse().unwrap()
    }

    #[test]
    fn the_week_has_a_rate_at_every_minute() {
        use Weekday::*;
        let schedule = RateSchedule {
            windows: vec![
                window(&[Wednesday], "12:00", "13:00", "unlimited"),
                window(&[Monday, Tuesday, Wednesday, Thursday, Friday], "08:00", "18:00", "50MB/s"),
                window(&[Friday, Sunday], "22:00", "06:00", "10MB/s"),
                window(&[Saturday], "20:00", "24:00", "7MB/s"),
            ],
            otherwise: cap("200MB/s"),
        };
        use RateAuthority::{Configuration, Schedule};
        // The 5th of January 2026 is a Monday.
        for (now, rate, by) in [
            (datetime!(2026-01-05 07:59:59 UTC), "200MB/s", Configuration),
            (datetime!(2026-01-05 08:00 UTC), "50MB/s", Schedule),
            (datetime!(2026-01-05 17:59:59 UTC), "50MB/s", Schedule),
            (datetime!(2026-01-05 18:00 UTC), "200MB/s", Configuration),
            // The first that fits counts.
            (datetime!(2026-01-07 12:30 UTC), "unlimited", Schedule),
            (datetime!(2026-01-07 13:00 UTC), "50MB/s", Schedule),
            // Over midnight, and over the end of the week.
            (datetime!(2026-01-09 21:59 UTC), "200MB/s", Configuration),
            (datetime!(2026-01-09 22:00 UTC), "10MB/s", Schedule),
            (datetime!(2026-01-10 00:00 UTC), "10MB/s", Schedule),
            (datetime!(2026-01-10 05:59 UTC), "10MB/s", Schedule),
            (datetime!(2026-01-10 06:00 UTC), "200MB/s", Configuration),
            (datetime!(2026-01-11 05:00 UTC), "200MB/s", Configuration),
            (datetime!(2026-01-11 23:00 UTC), "10MB/s", Schedule),
            (datetime!(2026-01-12 03:00 UTC), "10MB/s", Schedule),
            (datetime!(2026-01-13 03:00 UTC), "200MB/s", Configuration),
            // Up to the end of a day, and no further.
            (datetime!(2026-01-10 23:59 UTC), "7MB/s", Schedule),
            (datetime!(2026-01-11 00:00 UTC), "200MB/s", Configuration),
            // Whatever offset the time is given with.
            (datetime!(2026-01-05 09:00 +02:00), "200MB/s", Configuration),
            (datetime!(2026-01-05 10:00 +02:00), "50MB/s", Schedule),
        ] {
            assert_eq!(schedule.at(None, now), (cap(rate), by), "{now}");
            assert_eq!(schedule.at(Some(cap("1MB/s")), now), (cap("1MB/s"), RateAuthority::Operator), "{now}");
        }
    }

    #[test]
    fn words_are_understood_and_others_say_what_is() {
        for text in ["00:00", "24:00", "09:30"] {
            assert!(text.parse::<TimeOfDay>().is_ok(), "{text}");
        }
        for text in ["", "9:30", "24:01", "25:00", "10:60", "10", "10:00:00", "+1:00", "1a:00"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
        let times = |from: &str, to: &str| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            RateWindow::new(vec![Weekday::Monday], from, to, RateCap(None)).is_ok()
        };
        assert!(times("00:00", "24:00") && times("22:00", "00:00") && times("22:00", "06:00"));
        assert!(!times("08:00", "08:00") && !times("24:00", "06:00"));
        assert_eq!("schedule".parse(), Ok(RateOrder::Schedule));
        for text in ["unlimited", "50MB/s"] {
            assert_eq!(text.parse::<RateOrder>().unwrap().to_string().parse(), text.parse::<RateOrder>(), "{text}");
        }
        for text in ["", "0", "-1", "fast"] {
            let error = text.parse::<RateOrder>().unwrap_err();
            assert!(error.contains("`unlimited`") && error.contains("`schedule`"), "{error}");
        }
    }
}
