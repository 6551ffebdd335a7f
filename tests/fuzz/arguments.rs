//! The command line.

use crate::Target;

pub enum Task {
    /// Every input of the corpus, once.
    Replay,
    /// So many seconds for each target.
    Fuzz { seconds: u64, seed: u32 },
    /// Other tests are asked for.
    Nothing,
}

pub struct Arguments {
    pub task: Task,
    pub targets: Vec<&'static Target>,
}

impl Arguments {
    pub fn of_process() -> Result<Self, String> {
        let mut given = std::env::args().skip(1);
        let (mut seconds, mut seed, mut names) = (None, 1, Vec::new());
        let mut is_for_others = false;
        while let Some(argument) = given.next() {
            let mut number = || given.next().and_then(|text| text.parse().ok()).ok_or(format!("`{argument}` takes a number"));
            match argument.as_str() {
                "--fuzz" => seconds = Some(number()?),
                "--seed" => seed = number()?,
                "--list" => is_for_others = true,
                _ if argument.starts_with('-') => {}
                _ => names.push(argument),
            }
        }
        let Some(seconds) = seconds else {
            // A filter for tests: this is one of that name.
            let is_other = |name: &String| !"fuzz".contains(name.as_str());
            let task = if is_for_others || names.iter().any(is_other) { Task::Nothing } else { Task::Replay };
            return Ok(Arguments { task, targets: Vec::new() });
        };
        let named = |name: &String| Target::named(name).ok_or_else(|| format!("`{name}` is not a target: {}", known()));
        let targets = match names.is_empty() {
            true => Target::all().collect(),
            false => names.iter().map(named).collect::<Result<_, _>>()?,
        };
        Ok(Arguments { task: Task::Fuzz { seconds: u64::from(seconds), seed }, targets })
    }
}

fn known() -> String {
    Target::all().map(|target| target.name).collect::<Vec<_>>().join(", ")
}
