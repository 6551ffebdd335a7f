//! What a command printed against what a page says that it prints: every line, in order, and every figure except those that
//! differ from run to run. A line `...` in a page stands for lines that the page leaves out.

use regex::Regex;
use snapbox::assert::Assert;
use snapbox::{IntoData, Redactions};

/// What differs from run to run, on both sides: where there is a group `redacted` only that, else the whole match.
const VARYING: &[(&str, &str)] = &[
    ("[TIME]", r"(?m)^  time +(?<redacted>[\d.]+ s, [\d.]+ [KMGT]?i?B/s moved, limited by \w+)$"),
    ("[TIME]", r#""elapsed_seconds": (?<redacted>[\d.]+)"#),
    ("[TIME]", r"drained in (?<redacted>[\d.]+) s"),
    ("[TIME]", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    ("[ID]", r"\.(?<redacted>[0-9a-f]{16})\.partial"),
    ("[ID]", r"/journals/import-(?<redacted>[0-9a-f]{24})\."),
    ("[ACCOUNT]", r"https://ACCOUNT\.blob\.core\.windows\.net|http://127\.0\.0\.1:\d+/devstoreaccount1"),
    ("[BUILD]", r"(?m)^  commit +(?<redacted>.+)$"),
    ("[BUILD]", r"(?m)^  target +(?<redacted>.+)$"),
    // The drives of this machine.
    ("[DRIVES]", r"(?s)DRIVE +SIZE +SECTOR +BUS +KIND +MODEL +SERIAL +CONTENT +VERDICT\n.*"),
];

/// What depends on the moment at which a copy was looked at or interrupted. Tables are wider where their figures are.
const OF_THE_MOMENT: &[(&str, &str)] = &[
    ("[MOVED]", r"(?m)^  moved +(?<redacted>\d+ [KMGT]?i?B sent, \d+ [KMGT]?i?B (?:zero|reused))"),
    ("[LANDED]", r"(?<redacted>\d+) of 32 chunks had landed"),
    ("[LANDED]", r": (?<redacted>\d+ bytes landed before the request, \d+ after it), "),
    ("[REST]", r" unknown, (?<redacted>\d+) never sent"),
    ("[RANGES]", r"(?m)^  (?:before|after|never sent) +(?<redacted>\d.* in \d+ ranges?(?:, the first at \d+)?)"),
    ("[BYTES]", r"(?m)^  left behind .*?(?<redacted>(?:[\d.]+ [KMGT]?i?B \()?\d+) bytes"),
    ("[DONE]", r"(?m)^  done +(?<redacted>\d+%)$"),
    ("[DONE]", r"(?m)^SAMPLE-TINY-1 +\w+ +(?<redacted>\d+% +[\d.]+ [KMGT]?i?B +)"),
    ("[DONE]", r"256 MiB  (?<redacted>\d+%.*?)default/"),
    ("[COLUMNS]", r"DRIVE +STATE +DONE +BYTES +COPY"),
    ("[COLUMNS]", r"BAY +STATE +DRIVE +SIZE +PROGRESS +JOB +NOTE"),
    ("[EMPTY]", r"bay-2  empty +- +- +- +-"),
];

/// Words of a transcript that shows a copy at some moment.
const MOMENTS: [&str; 4] = ["cancelled", "Cancelled", " reused", "copying"];

fn rules(expected: &str) -> Redactions {
    let of_the_moment = if MOMENTS.iter().any(|word| expected.contains(word)) { OF_THE_MOMENT } else { &[] };
    let mut rules = Redactions::new();
    for (placeholder, pattern) in VARYING.iter().chain(of_the_moment) {
        rules.insert(placeholder, Regex::new(pattern).unwrap()).unwrap();
    }
    rules
}

/// The lines without spaces at their end, and without the progress that a terminal shows as a bar.
fn lines(text: &str) -> String {
    const PROGRESS: [&str; 3] = ["drive-agent: preparing ", "drive-agent: copying ", "drive-agent: verifying "];
    let lines = text.lines().filter(|line| !PROGRESS.iter().any(|begin| line.starts_with(begin)));
    lines.flat_map(|line| [line.trim_end(), "\n"]).collect()
}

fn compare(command: &str, printed: &str, expected: &str) -> Result<(), String> {
    let rules = rules(expected);
    // The printed side is redacted by the comparison.
    let expected = rules.redact(&lines(expected));
    let assert = Assert::new().normalize_paths(false).redact_with(rules);
    assert.try_eq(Some(&command), lines(printed).into_data(), expected.into_data()).map_err(|error| error.to_string())
}

/// Fails with the differences where a command did not print what its page says.
pub fn require_same(command: &str, printed: &str, expected: &str) {
    if let Err(differences) = compare(command, printed, expected) {
        panic!("`{command}` did not print what its page says:\n{differences}");
    }
}

#[test]
fn figures_that_vary_are_masked_and_all_others_are_compared() {
    let page = "import complete: a -> b\n  size         256 MiB (268435456 bytes) in 32 chunks of 8 MiB\n  time         0.3 s, 554.0 MiB/s moved, limited by hash\n";
    let same = |printed: &str| compare("import", printed, page).is_ok();
    assert!(same(page) && same(&page.replace("0.3 s, 554.0 MiB/s", "12.0 s, 1.5 GiB/s")));
    assert!(!same(&page.replace("32 chunks", "33 chunks")) && !same(&page.replace("268435456", "268435457")));
    assert!(!same(&page.replace("0.3 s", "soon")) && !same(&format!("{page}one more\n")));
    let cancelled =
        "import cancelled\n  moved        88 MiB sent, 24 MiB zero, never moved\n  unknown      0 B (0 bytes) in 0 ranges\n";
    assert!(compare("import", &cancelled.replace("88 MiB", "72 MiB"), cancelled).is_ok());
    assert!(compare("import", &cancelled.replace("0 B (0 bytes)", "1 B (1 bytes)"), cancelled).is_err());
    assert!(compare("import", &page.replace("import", "one more\nimport"), &format!("...\n{page}")).is_ok());
}
