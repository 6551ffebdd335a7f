//! Values of keys, and how they are read.

use std::str::FromStr;
use std::time::Duration;

use blob::http::TrustedHost;
use drive::Pace;
use protocol::units::parse_duration;
use serde::{Deserialize, Deserializer};

use crate::cli::parse_time_scale;

fn parsed<T: FromStr<Err: std::fmt::Display>, E: serde::de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(E::custom)
}

pub(super) fn optional<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    parsed(&String::deserialize(deserializer)?).map(Some)
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

pub(super) fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TrustedHost>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.iter().map(|text| parsed(text)).collect()
}

pub(super) fn time_scale<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pace>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scale {
        Text(String),
        Number(f64),
    }
    let text = match Scale::deserialize(deserializer)? {
        Scale::Text(text) => text,
        Scale::Number(number) => number.to_string(),
    };
    parse_time_scale(&text).map(Some).map_err(serde::de::Error::custom)
}
