//! What was tried, and how often: a world in which nothing happens finds nothing.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Counts what an audit log tells: acts without whom and when, and the states that jobs entered by them.
    pub fn add(&mut self, audit: &[String]) {
        for line in audit {
            let mut parts = line.split_whitespace();
            let act: Vec<&str> = parts.by_ref().skip(2).collect();
            let act = act.join(" ");
            let act = act.split(": job").next().unwrap_or_default().trim_end_matches(':').to_owned();
            *self.0.entry(act).or_default() += 1;
            if let Some((_, state)) = line.split_once('→') {
                *self.0.entry(format!("→{state}")).or_default() += 1;
            }
        }
    }

    /// Adds what was counted under its own name.
    pub fn add_all(&mut self, tally: &BTreeMap<&'static str, u64>) {
        tally.iter().for_each(|(name, count)| *self.0.entry(format!("stations: {name}")).or_default() += count);
    }

    pub fn merge(&mut self, other: &Counts) {
        other.0.iter().for_each(|(name, count)| *self.0.entry(name.clone()).or_default() += count);
    }

    pub fn text(&self) -> String {
        self.0.iter().map(|(name, count)| format!("{count:>9}  {name}")).collect::<Vec<_>>().join("\n")
    }
}
