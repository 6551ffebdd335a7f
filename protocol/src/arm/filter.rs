//! `$filter`: `type eq 'Import' and state eq 'Shipping' and trackingnumber eq '…'`, the clauses of the first draft
//! of the API.

use std::str::FromStr;

use crate::job::{JobKind, JobState};

/// Which jobs a list has. Clauses that are absent let everything pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Jobs of this kind.
    pub kind: Option<JobKind>,
    /// Jobs in this state.
    pub state: Option<JobState>,
    /// Jobs whose delivery has this tracking number.
    pub tracking_number: Option<String>,
}

/// A filter that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`$filter`: {0}; write `type eq 'Import'`, `state eq 'Shipping'` or `trackingnumber eq '…'`, joined by `and`")]
pub struct FilterError(String);

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut filter = Filter::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, value, after) = clause(rest)?;
            let again = || FilterError(format!("`{name}` is there twice"));
            match name.to_ascii_lowercase().as_str() {
                "type" => set(&mut filter.kind, parse(&value)?).map_err(|()| again())?,
                "state" => set(&mut filter.state, parse(&value)?).map_err(|()| again())?,
                "trackingnumber" => set(&mut filter.tracking_number, value).map_err(|()| again())?,
                _ => return Err(FilterError(format!("`{name}` is not a property to filter by"))),
            }
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            let next = rest.strip_prefix("and").filter(|next| next.starts_with(char::is_whitespace));
            rest = next.ok_or_else(|| FilterError(format!("`and` was expected before `{rest}`")))?.trim_start();
            if rest.is_empty() {
                return Err(FilterError("nothing comes after `and`".to_owned()));
            }
        }
        Ok(filter)
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), ()> {
    match slot.replace(value) {
        Some(_) => Err(()),
        None => Ok(()),
    }
}

/// A value by its name in JSON.
fn parse<T: serde::de::DeserializeOwned>(value: &str) -> Result<T, FilterError> {
    let parsed = serde_json::from_value(serde_json::Value::String(value.to_owned()));
    parsed.map_err(|_| FilterError(format!("`{value}` is not a known value")))
}

/// `name eq 'value'` at the beginning: name, value, and what is left. A quote in a value is written twice.
fn clause(text: &str) -> Result<(&str, String, &str), FilterError> {
    let expected = || FilterError(format!("`{text}` does not begin with `NAME eq 'VALUE'`"));
    let (name, rest) = text.split_once(char::is_whitespace).ok_or_else(expected)?;
    let rest = rest.trim_start().strip_prefix("eq").ok_or_else(expected)?;
    let mut rest = rest.trim_start().strip_prefix('\'').ok_or_else(expected)?;
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('\'').ok_or_else(expected)?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Ok((name, value, after)),
        }
    }
}
