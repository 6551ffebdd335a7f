//! Parsers of the program that nothing outside of it calls: for the fuzz targets of the tests.

use protocol::arm::BlobList;

use crate::cli::values;
use crate::client::next_event;
use crate::station::config::Config;
use crate::station::select::parse_list;

/// The unknown keys of a configuration of a station.
///
/// # Errors
/// With one sentence, where it cannot be used.
pub fn station(text: &str) -> Result<Vec<String>, String> {
    Config::parse(text).map(|(_, unknown)| unknown)
}

/// A list of blobs in a blob.
///
/// # Errors
/// With one sentence, where it is not one.
pub fn blob_list(bytes: &[u8]) -> Result<BlobList, String> {
    parse_list(bytes).map_err(|error| error.to_string())
}

/// Tries a text as the value of every option that has a parser of its own.
pub fn values(text: &str) -> [bool; 5] {
    [
        values::parse_time_scale(text).is_ok(),
        values::parse_limit(text).is_ok(),
        values::parse_timeout(text).is_ok(),
        values::parse_concurrency(text).is_ok(),
        values::parse_sector_size(text).is_ok(),
    ]
}

/// The events of a stream that comes in these pieces, and how much of it is left.
pub fn events<'pieces>(pieces: impl IntoIterator<Item = &'pieces [u8]>) -> (Vec<(String, String)>, usize) {
    let (mut buffer, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(event) = next_event(&mut buffer) {
            events.push(event);
        }
    }
    (events, buffer.len())
}
