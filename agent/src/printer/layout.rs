//! How text is laid out: lines with a name, tables, and no control characters of terminals.

use std::borrow::Cow;

use protocol::text::is_displayed;
use serde::Serialize;

use crate::standard_output;

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

/// Least columns that words are wrapped into.
const WRAPPED_COLUMNS_MIN: usize = 24;

/// Between two columns of a table.
const GAP: &str = "  ";

/// Rows in columns as wide as their widest cell, the first row above the others; the last column is as long as it is. In a
/// terminal that is too narrow for that, its words are wrapped, or stand below; or each row is some lines of its own.
pub(crate) fn table(rows: Vec<Vec<String>>) -> String {
    table_rows(rows).concat()
}

/// The same, a text for each row.
pub(crate) fn table_rows(rows: Vec<Vec<String>>) -> Vec<String> {
    laid_out(rows, standard_output::columns())
}

fn laid_out(rows: Vec<Vec<String>>, columns: Option<usize>) -> Vec<String> {
    // The end of a line in a cell would begin a row.
    let cell_of = |cell: String| visible(&cell).replace('\n', "\\n");
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().map(cell_of).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let before_last: usize = widths.iter().rev().skip(1).map(|width| width + GAP.len()).sum();
    let whole = before_last + widths.last().copied().unwrap_or(0);
    let columns = columns.unwrap_or(whole);
    let last_words = rows.iter().filter_map(|row| row.get(count.checked_sub(1)?)).flat_map(|cell| cell.split(' '));
    let wrapped_min = last_words.map(|word| word.chars().count()).max().unwrap_or(0).max(WRAPPED_COLUMNS_MIN);
    let each = |row: &Vec<String>| match columns {
        _ if whole <= columns => in_columns(row, &widths, columns),
        _ if before_last + wrapped_min <= columns => in_columns(row, &widths, columns),
        _ if before_last <= columns + GAP.len() => last_below(row, &rows[0], &widths, columns),
        _ if std::ptr::eq(row, &rows[0]) => String::new(),
        _ => in_lines(row, &rows[0], columns),
    };
    rows.iter().map(each).collect()
}

/// A row in one line; what its last cell has too much for it, in lines below.
fn in_columns(row: &[String], widths: &[usize], columns: usize) -> String {
    let Some((last, cells)) = row.split_last() else { return "\n".to_owned() };
    let mut text: String = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}{GAP}")).collect();
    let start = text.chars().count();
    text += &wrapped(last, start, columns);
    text + "\n"
}

/// A row without its last cell, whose words stand below. Where that is a word and no sentence, it is named there.
fn last_below(row: &[String], head: &[String], widths: &[usize], columns: usize) -> String {
    let Some((last, cells)) = row.split_last() else { return "\n".to_owned() };
    let mut text = in_columns(cells, widths, columns);
    if !(std::ptr::eq(row, head) || last.is_empty() || last == "-") {
        let is_sentence = widths.last().is_some_and(|width| *width >= WRAPPED_COLUMNS_MIN);
        let name = head.last().filter(|_| !is_sentence).map_or(String::new(), |name| format!("{name}{GAP}"));
        let indent = widths.first().map_or(0, |width| width + GAP.len()).min(columns / 4);
        text += &format!("{:indent$}{name}{}\n", "", wrapped(last, indent, columns));
    }
    text
}

/// A row as lines with the names of the head: the first cell is above them, and what is empty is left out.
fn in_lines(row: &[String], head: &[String], columns: usize) -> String {
    let Some((first, cells)) = row.split_first() else { return String::new() };
    let name_width = head.iter().skip(1).map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = format!("{first}\n");
    for (cell, name) in cells.iter().zip(head.iter().skip(1)).filter(|(cell, _)| !(cell.is_empty() || *cell == "-")) {
        text += &format!("{GAP}{name:<name_width$}{GAP}{}\n", wrapped(cell, name_width + 2 * GAP.len(), columns));
    }
    text
}

/// Words in lines of `columns`, which begin at `start`. A word that is longer than a line stays whole: it may be a path.
fn wrapped(text: &str, start: usize, columns: usize) -> String {
    let mut lines = String::new();
    let mut at = start;
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if at > start && at + length > columns {
            lines.truncate(lines.trim_end_matches(' ').len());
            lines += &format!("\n{:start$}", "");
            at = start;
        }
        lines += word;
        at += word.chars().count();
    }
    lines
}

/// A line with a name; in a terminal its words are wrapped.
pub(crate) fn line(name: &str, value: impl std::fmt::Display) -> String {
    named(name, &value.to_string(), standard_output::columns())
}

fn named(name: &str, value: &str, columns: Option<usize>) -> String {
    let mut text = format!("  {name:<12} ");
    let start = text.chars().count();
    for (place, part) in value.split('\n').enumerate() {
        let indent = if place == 0 { String::new() } else { format!("\n{:start$}", "") };
        text += &indent;
        text += &columns.map_or_else(|| part.trim_start().to_owned(), |columns| wrapped(part.trim_start(), start, columns));
    }
    text + "\n"
}

/// The name that a value has in JSON, so that text and JSON use the same words.
pub(super) fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bays(columns: Option<usize>) -> String {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let rows = vec![
            row(["BAY", "DRIVE", "JOB", "NOTE"]),
            row(["bay-1", "WD-1", "default/default/demo", "checked in; the job waits for its other drives"]),
            row(["bay-2", "-", "-", ""]),
        ];
        laid_out(rows, columns).concat()
    }

    #[test]
    fn a_table_fits_into_every_terminal_and_no_word_is_cut() {
        let whole = "BAY    DRIVE  JOB                   NOTE\n\
                     bay-1  WD-1   default/default/demo  checked in; the job waits for its other drives\n\
                     bay-2  -      -                     \n";
        assert_eq!((bays(None).as_str(), bays(Some(120)).as_str()), (whole, whole));
        assert_eq!(
            bays(Some(64)),
            "BAY    DRIVE  JOB                   NOTE\n\
             bay-1  WD-1   default/default/demo  checked in; the job waits\n\
             \x20                                   for its other drives\n\
             bay-2  -      -                     \n"
        );
        assert_eq!(
            bays(Some(40)),
            "BAY    DRIVE  JOB\n\
             bay-1  WD-1   default/default/demo\n\
             \x20      checked in; the job waits for its\n\
             \x20      other drives\n\
             bay-2  -      -\n"
        );
        assert_eq!(
            bays(Some(30)),
            "bay-1\n\
             \x20 DRIVE  WD-1\n\
             \x20 JOB    default/default/demo\n\
             \x20 NOTE   checked in; the job\n\
             \x20        waits for its other\n\
             \x20        drives\n\
             bay-2\n"
        );
        assert_eq!(
            named("copy", "it was cancelled\nbefore", Some(26)),
            "  copy         it was\n               cancelled\n               before\n"
        );
        let rows = [["JOB", "CHANGED", "GROUP"], ["demo", "2026-11-28T08:11:56Z", "default"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
        assert_eq!(
            laid_out(rows, Some(30)).concat(),
            "JOB   CHANGED\n\
             demo  2026-11-28T08:11:56Z\n\
             \x20     GROUP  default\n"
        );
        for columns in 30..100 {
            assert!(bays(Some(columns)).lines().all(|line| line.trim_end().chars().count() <= columns), "{columns}");
        }
    }
}
