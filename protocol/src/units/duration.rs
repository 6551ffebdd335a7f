//! Spans of time.

use std::time::Duration;

/// The longest span of time that can be asked for: 100 years. A deadline is a sum of several, and must not be behind the end of
/// what a clock can express.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A span of time as people write it: `500ms`, `30s`, `2m`, `1h`; a bare number is seconds.
///
/// # Errors
/// A sentence that says what is understood.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let unit_start = trimmed.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(unit_start);
    let unknown = || format!("`{text}` is not a span of time: write a number and a unit, such as 0.1ms, 500ms, 30s, 2m or 1h");
    let nanoseconds_each: u128 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(unknown()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return Err(unknown());
    }
    let whole: u64 = whole.parse().map_err(|_| unknown())?;
    let parts: u64 = fraction.parse().map_err(|_| unknown())?;
    let parts_each = fraction.bytes().fold(1, |parts_each, _| parts_each * 10);
    let nanoseconds = u128::from(whole) * nanoseconds_each + u128::from(parts) * nanoseconds_each / parts_each;
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).map_err(|_| unknown())?;
    let rest = u32::try_from(nanoseconds % 1_000_000_000).map_err(|_| unknown())?;
    let duration = Duration::new(seconds, rest);
    if duration > DURATION_MAX {
        return Err(format!("`{text}` is longer than 100 years: write a shorter span of time"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1.5s", 1_500),
            ("2.25m", 135_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-1s", "1d", "s", "99999999999999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_of_time_ends_before_the_clock_does() {
        assert_eq!(parse_duration("876000h"), Ok(Duration::from_secs(876_000 * 3600)));
        for endless in ["876001h", "18446744073709551615s"] {
            assert!(parse_duration(endless).unwrap_err().contains("100 years"), "{endless}");
        }
    }
}
