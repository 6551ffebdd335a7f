//! How sizes, rates and durations are written in a profile, and what a mistake in one is.

use std::ops::Range;
use std::time::Duration;

use protocol::units::{ByteRate, ByteSize, parse_duration};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// A mistake in a profile: where, and what was expected.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) place: Option<Range<usize>>,
    pub(crate) expected: String,
}

impl Mistake {
    pub(super) fn at(place: Range<usize>, expected: impl Into<String>) -> Self {
        Mistake { place: Some(place), expected: expected.into() }
    }
}

/// Understands a size: a number of bytes, or a text with a unit.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Size;
    impl serde::de::Visitor<'_> for Size {
        type Value = u64;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a size, such as 4096 or \"8TB\"")
        }

        fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<u64, E> {
            Ok(bytes)
        }

        fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<u64, E> {
            u64::try_from(bytes).map_err(|_| E::custom(format!("`{bytes}`: a size is not negative")))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            text.parse().map(|ByteSize(bytes)| bytes).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Size)
}

/// A size with the place where it was written.
pub(super) fn optional_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<u64>>, D::Error> {
    #[derive(Deserialize)]
    struct Size(#[serde(deserialize_with = "size")] u64);
    let read = Spanned::<Size>::deserialize(deserializer)?;
    let place = read.span();
    Ok(Some(Spanned::new(place, read.into_inner().0)))
}

pub(super) fn optional_plain_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    size(deserializer).map(Some)
}

pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let rate: ByteRate = text.parse().map_err(serde::de::Error::custom)?;
    Ok(rate.bytes_per_second as f64)
}

pub(super) fn optional_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    rate(deserializer).map(Some)
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

pub(super) fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}
