//! What all copies share: memory, hash threads, and a rate for each part of the week.

use protocol::station_rate::{RateCap, RateSchedule, RateWindow};
use protocol::units::{ByteRate, ByteSize};
use serde::Deserialize;
use time::Weekday;

use super::values::optional;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Budget {
    /// All buffers of all copies.
    #[serde(deserialize_with = "optional")]
    pub(crate) memory: Option<ByteSize>,
    /// Chunks hashed at once.
    pub(crate) hash_threads: Option<usize>,
    /// Bytes a second of all copies together, at times that the schedule has nothing for.
    #[serde(deserialize_with = "optional")]
    pub(crate) rate: Option<ByteRate>,
    /// Parts of the week with rates of their own, in UTC. Where several have a time, the first counts.
    pub(crate) schedule: Vec<RateTimes>,
}

/// A part of the week with a rate of its own.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RateTimes {
    /// All days, where it is absent.
    #[serde(default = "all_days")]
    pub(crate) days: Vec<Day>,
    pub(crate) from: String,
    /// Where it is earlier than `from`, it is on the day after.
    pub(crate) to: String,
    pub(crate) rate: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Weekday::Monday,
            Day::Tue => Weekday::Tuesday,
            Day::Wed => Weekday::Wednesday,
            Day::Thu => Weekday::Thursday,
            Day::Fri => Weekday::Friday,
            Day::Sat => Weekday::Saturday,
            Day::Sun => Weekday::Sunday,
        }
    }
}

fn all_days() -> Vec<Day> {
    vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun]
}

impl Budget {
    /// The rates of the week.
    ///
    /// # Errors
    /// With one sentence, where a part of it cannot be used.
    pub(crate) fn rates(&self) -> Result<RateSchedule, String> {
        let windows = self.schedule.iter().enumerate().map(|(index, times)| {
            let wrong = |why: String| format!("number {} of `budget.schedule`: {why}", index + 1);
            let (from, to) = (times.from.parse().map_err(wrong)?, times.to.parse().map_err(wrong)?);
            let days = times.days.iter().map(|day| Weekday::from(*day)).collect();
            RateWindow::new(days, from, to, times.rate.parse().map_err(wrong)?).map_err(wrong)
        });
        Ok(RateSchedule { windows: windows.collect::<Result<_, String>>()?, otherwise: RateCap(self.rate) })
    }
}
