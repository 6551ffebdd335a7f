//! GNU ddrescue's mapfile: what is known of each byte of a drive, as text that people can read and
//! `ddrescuelog` can reckon with (GNU ddrescue manual, "Mapfile structure").
//!
//! ```text
//! # Mapfile. Created by drive-agent
//! # current_pos  current_status  current_pass
//! 0x00120000     ?               1
//! #      pos        size  status
//! 0x00000000  0x00117000  +
//! 0x00117000  0x00000200  -
//! ```

use std::fmt::Write;

use super::map::{ReadMap, ReadStatus};
use super::plan::RescuePhase;
use crate::units::ByteRange;

/// How maps of ours begin.
pub const HEADING: &str = "# Mapfile. Created by drive-agent";

/// A mapfile that cannot be used: where, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {expected}")]
pub struct MapfileError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub expected: String,
}

/// Writes a map. `phase` is where its rescue stands, `position` the byte that it was at.
pub fn write(map: &ReadMap, phase: RescuePhase, position: u64) -> String {
    let (letter, pass) = phase.letter_and_pass();
    let mut text = format!(
        "{HEADING}\n# current_pos  current_status  current_pass\n{position:#010x}     {letter}               {pass}\n#      pos        size  status\n"
    );
    for (range, status) in map.runs() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:#010x}  {:#010x}  {}", range.offset, range.length, status.letter());
    }
    if map.size_bytes() == 0 {
        text += "0x00000000  0x00000000  +\n";
    }
    text
}

/// Reads a map of a drive of `size_bytes`. What the file does not speak of was not tried.
///
/// # Errors
/// When it is not a mapfile, or its blocks overlap, leave gaps, or extend past the end of the drive.
pub fn read(text: &str, size_bytes: u64) -> Result<ReadMap, MapfileError> {
    let mut map = ReadMap::new(size_bytes, ReadStatus::NonTried);
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, without_comment(line).trim()));
    let mut content = lines.filter(|(_, line)| !line.is_empty());
    let error = |line, expected: String| MapfileError { line, expected };
    let Some((line, status)) = content.next() else {
        return Err(error(1, "a mapfile has a line with the current position and status".to_owned()));
    };
    check_status_line(status).map_err(|expected| error(line, expected))?;
    let mut next = None;
    for (line, block) in content {
        let (range, status) = parse_block(block).map_err(|expected| error(line, expected))?;
        if next.is_some_and(|next| next != range.offset) {
            return Err(error(line, "blocks follow each other without gap or overlap".to_owned()));
        }
        if range.end() > size_bytes {
            return Err(error(line, format!("the block ends at byte {}, and the drive has {size_bytes}", range.end())));
        }
        map.set(range, status);
        next = Some(range.end());
    }
    Ok(map)
}

/// A comment goes from a `#` to the end of its line, wherever that begins.
fn without_comment(line: &str) -> &str {
    line.split_once('#').map_or(line, |(said, _)| said)
}

fn check_status_line(line: &str) -> Result<(), String> {
    let mut fields = line.split_whitespace();
    let is_position = fields.next().and_then(number).is_some();
    let is_status = fields.next().is_some_and(|status| status.len() == 1 && "?*/-FG+".contains(status));
    let is_pass = fields.next().is_none_or(|pass| number(pass).is_some());
    match is_position && is_status && is_pass && fields.next().is_none() {
        true => Ok(()),
        false => Err("the first line is a position, a status (one of ?*/-FG+) and a pass".to_owned()),
    }
}

fn parse_block(line: &str) -> Result<(ByteRange, ReadStatus), String> {
    let expected = || "a block is a position, a size and a status (one of ?*/-+)".to_owned();
    let mut fields = line.split_whitespace();
    let (Some(position), Some(size), Some(letter), None) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
        return Err(expected());
    };
    let status = ReadStatus::ALL.into_iter().find(|status| letter.chars().eq([status.letter()]));
    match (number(position), number(size), status) {
        (Some(offset), Some(length), Some(status)) if offset.checked_add(length).is_some() => {
            Ok((ByteRange::new(offset, length), status))
        }
        _ => Err(expected()),
    }
}

/// A number in decimal, hexadecimal (0x) or octal (0), as C writes them.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u64::from_str_radix(&text[1..], 8).ok(),
        None => text.parse().ok(),
    }
}
