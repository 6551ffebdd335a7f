//! How text is laid out: lines with a name, tables, and no control characters of terminals.

use std::borrow::Cow;

use protocol::text::is_displayed;
use serde::Serialize;

/// Ranges that are listed as text; JSON has them all.
pub(super) const LISTED_RANGES_MAX: usize = 20;

/// Escapes control characters, but for ends of lines: names of files and of drives are untrusted.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |letter: char| !is_displayed(letter) && letter != '\n';
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|letter| if is_hidden(letter) { letter.escape_default().to_string() } else { letter.to_string() }).collect()
}

/// Escapes control characters in a JSON document: they are in strings alone, which mean the same.
pub(super) fn visible_json(json: &str) -> Cow<'_, str> {
    let is_hidden = |letter: char| !is_displayed(letter) && letter != '\n';
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match is_hidden(letter) {
            // All of them are in the basic plane.
            true => text += &format!("\\u{:04x}", u32::from(letter)),
            false => text.push(letter),
        }
    }
    Cow::Owned(text)
}

/// Rows in columns as wide as their widest cell; the last column is as long as it is.
pub(crate) fn table(rows: Vec<Vec<String>>) -> String {
    // The end of a line in a cell would begin a row.
    let cell_of = |cell: String| visible(&cell).replace('\n', "\\n");
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().map(cell_of).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| match column + 1 == row.len() {
            true => cell.clone(),
            false => format!("{cell:<width$}", width = widths[column]),
        });
        text += &(cells.collect::<Vec<_>>().join("  ") + "\n");
    }
    text
}

pub(crate) fn line(name: &str, value: impl std::fmt::Display) -> String {
    format!("  {name:<12} {value}\n")
}

/// The name that a value has in JSON, so that text and JSON use the same words.
pub(super) fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
