//! What was tried, and how often.

use std::collections::BTreeMap;

use crate::run::Finished;
use crate::step::{Action, Interruption, StoreKind, Surroundings, Tamper, When};

/// Counts by kind and name.
#[derive(Debug, Default, Clone)]
pub struct Counts(BTreeMap<(&'static str, String), u64>);

impl Counts {
    fn add(&mut self, kind: &'static str, name: impl Into<String>) {
        *self.0.entry((kind, name.into())).or_default() += 1;
    }

    pub fn history(&mut self, store: StoreKind) {
        self.add("histories", format!("{store:?}"));
    }

    pub fn run(&mut self, store: StoreKind, run: &Finished) {
        let action = match run.run.action {
            Action::Import { .. } => "import",
            Action::Export { target, .. } => match target {
                crate::step::Target::Image => "export to image",
                crate::step::Target::LoopDevice => "export to loop device",
            },
            Action::Verify { .. } => "verify",
        };
        self.add("commands", action);
        self.add("commands by store", format!("{store:?}"));
        let end = run.code().map_or("killed".to_owned(), |code| format!("exit {code}"));
        self.add("ends", format!("{} {end}", action.split(' ').next().unwrap_or_default()));
        match &run.run.interruption {
            Interruption::None => {}
            Interruption::Crash(point, _) if run.was_killed => self.add("crash points met", *point),
            Interruption::Crash(..) => self.add("interruptions", "crash point not met"),
            other => {
                if let Some(When::Point(point, _)) = other.when() {
                    self.add("crash points waited for", point);
                }
                let text = format!("{other:?}");
                self.add("interruptions", text.split('(').next().unwrap_or_default());
            }
        }
        for (on, fault) in &run.run.faults {
            let text = format!("{fault:?}");
            let fault = text.split(['(', ')']).nth(1).unwrap_or_default().to_owned();
            self.add("store faults", format!("{on:?} {fault}"));
        }
        if run.run.surroundings != Surroundings::Ordinary {
            let text = format!("{:?}", run.run.surroundings);
            self.add("surroundings", text.split('(').next().unwrap_or_default());
        }
    }

    pub fn race(&mut self) {
        self.add("interruptions", "Race of two");
    }

    pub fn tamper(&mut self, tamper: &Tamper) {
        let text = format!("{tamper:?}");
        self.add("changes from outside", text.split(' ').next().unwrap_or_default());
    }

    /// A last command that completed.
    pub fn finale(&mut self) {
        self.add("ends", "last command completed");
    }

    pub fn merge(&mut self, other: Counts) {
        for (key, count) in other.0 {
            *self.0.entry(key).or_default() += count;
        }
    }

    /// As text, a line for each kind.
    pub fn text(&self) -> String {
        let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((kind, name), count) in &self.0 {
            kinds.entry(kind).or_default().push(format!("{name} {count}"));
        }
        kinds.iter().map(|(kind, names)| format!("{kind}: {}\n", names.join(", "))).collect()
    }
}
