//! Values of flags, and how they are read.

use std::time::Duration;

use drive::Pace;
use protocol::units::{ByteSize, parse_duration};

/// `--concurrency`: a number, or the store's preferred concurrency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Concurrency(pub(crate) Option<usize>);

pub(crate) fn parse_time_scale(text: &str) -> Result<Pace, String> {
    match text {
        "max" => Ok(Pace::Unlimited),
        _ => match text.parse() {
            Ok(factor) if factor > 0.0 && f64::is_finite(factor) => Ok(Pace::Scaled(factor)),
            _ => Err(format!("`{text}` is neither `max` nor a number above 0")),
        },
    }
}

/// A size that may be nothing.
pub(crate) fn parse_limit(text: &str) -> Result<ByteSize, String> {
    if text == "0" { Ok(ByteSize(0)) } else { text.parse().map_err(|error: protocol::units::SizeError| error.to_string()) }
}

/// A duration that something may take: none at all is a mistake.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("a time limit is longer than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn parse_concurrency(text: &str) -> Result<Concurrency, String> {
    const MAX: usize = 1024;
    match text {
        "auto" => Ok(Concurrency(None)),
        _ => match text.parse() {
            Ok(number) if (1..=MAX).contains(&number) => Ok(Concurrency(Some(number))),
            _ => Err(format!("`{text}` is neither `auto` nor a number from 1 to {MAX}")),
        },
    }
}

pub(crate) fn parse_sector_size(text: &str) -> Result<u32, String> {
    match text {
        "512" => Ok(512),
        "4096" => Ok(4096),
        _ => Err(format!("`{text}` is not a sector size: it is 512 or 4096")),
    }
}
