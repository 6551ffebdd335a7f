//! Serial numbers that are known to be no drive's: constants of bridges that are built in, and those of an operator's file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::OnceLock;

/// Constants of bridges, docks and enclosures, with their sources.
const BUILT_IN: &str = include_str!("../bridge_serials.txt");

/// Where an operator's list is, unless the configuration names another.
const OPERATORS_LIST: &str = "/etc/drive-agent/weak-serials.txt";

/// Longest list of an operator: thousands of patterns.
const LIST_BYTES_MAX: u64 = 1 << 20;

/// Letters and digits that a pattern has at least: a shorter one would match drives of every maker.
const PATTERN_LETTERS_MIN: usize = 4;

/// Patterns of serial numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WeakSerials {
    patterns: Vec<String>,
}

/// The list of this process.
static LIST: OnceLock<WeakSerials> = OnceLock::new();

/// Takes the operator's list at `path` from now on; to be called before any drive is looked at.
///
/// # Errors
/// With one sentence, where it cannot be read or understood.
pub fn use_list(path: &Path) -> Result<(), String> {
    let list = WeakSerials::with_file(path)?;
    let taken = LIST.get_or_init(|| list.clone());
    if *taken == list { Ok(()) } else { Err(format!("`{}` comes too late: drives were looked at", path.display())) }
}

/// The list of this process: the built-in one, with the operator's at its usual place.
pub(super) fn list() -> &'static WeakSerials {
    LIST.get_or_init(|| {
        let path = Path::new(OPERATORS_LIST);
        if !path.exists() {
            return WeakSerials::built_in();
        }
        WeakSerials::with_file(path).unwrap_or_else(|error| {
            tracing::warn!("{error}: only the built-in serial numbers of bridges are known");
            WeakSerials::built_in()
        })
    })
}

impl WeakSerials {
    /// Without an operator's list.
    pub(super) fn built_in() -> Self {
        // A test reads every line of it.
        Self::parse(BUILT_IN).unwrap_or_default()
    }

    fn with_file(path: &Path) -> Result<Self, String> {
        let named = |error: String| format!("the list of weak serial numbers `{}` {error}", path.display());
        let text = read(path).map_err(|error| named(format!("cannot be read: {error}")))?;
        let own = Self::parse(&text).map_err(|(line, why)| named(format!("cannot be used: line {line}: {why}")))?;
        let mut list = Self::built_in();
        list.patterns.extend(own.patterns);
        Ok(list)
    }

    /// Understands a list; an error has the number of the line.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut patterns = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let pattern = line.split_once('#').map_or(line, |(pattern, _)| pattern);
            let pattern = plain(pattern);
            if pattern.is_empty() {
                continue;
            }
            let letters = pattern.chars().filter(|letter| letter.is_alphanumeric()).count();
            if letters < PATTERN_LETTERS_MIN {
                return Err((number + 1, format!("`{pattern}` has fewer than {PATTERN_LETTERS_MIN} letters and digits")));
            }
            patterns.push(pattern);
        }
        Ok(WeakSerials { patterns })
    }

    /// Whether a serial number is on the list.
    pub(super) fn has(&self, serial: &str) -> bool {
        let serial = plain(serial);
        self.patterns.iter().any(|pattern| matches(pattern, &serial))
    }
}

/// Capitals and blanks do not matter.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).flat_map(char::to_uppercase).collect()
}

/// `*` stands for any characters. Each part is taken at its first place, so a pattern costs no more than its length times
/// that of the serial number.
fn matches(pattern: &str, serial: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| serial.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part).or((part.is_empty()).then_some(("", rest))) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LIST_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LIST_BYTES_MAX {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {LIST_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_line_is_a_pattern_with_its_source() {
        let lines = BUILT_IN.lines().filter(|line| !line.starts_with('#'));
        for line in lines.clone() {
            assert!(line.split_once(" # ").is_some_and(|(_, source)| source.len() > 10), "{line}");
        }
        assert_eq!(WeakSerials::parse(BUILT_IN).unwrap().patterns.len(), lines.count());
    }

    #[test]
    fn constants_are_known_and_drives_are_not() {
        let list = WeakSerials::built_in();
        for constant in ["152D00539000", "DD56419883914", "dd564198838e0", "DB9876543214E", "000000123ADA", " 152d 00539000 "] {
            assert!(list.has(constant), "{constant}");
        }
        for drive in ["WD-WXA1A23B4567", "ZA1234X", "S5GXNX0R123456", "152D005390001", "X152D00539000", "PHLA9876543214E"] {
            assert!(!list.has(drive), "{drive}");
        }
    }

    #[test]
    fn patterns_match_by_their_parts() {
        for (pattern, serial, is_match) in [
            ("ABCD*", "ABCD", true),
            ("ABCD*", "ABCDEF", true),
            ("ABCD*", "XABCD", false),
            ("*ABCD", "XXABCD", true),
            ("*ABCD", "ABCDX", false),
            ("AB*CD", "ABCD", true),
            ("AB*CD", "ABXCDYCD", true),
            ("AB*BC", "ABC", false),
            ("*AB*CD*", "1AB2CD3", true),
            ("*AB*CD*", "1CD2AB3", false),
            ("AB**CD", "ABCD", true),
            ("ABCD", "ABCD", true),
            ("ABCD", "ABCDE", false),
        ] {
            assert_eq!(matches(pattern, serial), is_match, "{pattern} {serial}");
        }
    }

    #[test]
    fn an_operators_list_is_added_and_its_mistakes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weak.txt");
        std::fs::write(&path, "# ours\n\nDock-7*   # the dock at the window\n").unwrap();
        let list = WeakSerials::with_file(&path).unwrap();
        assert!(list.has("dock-7 A") && list.has("152D00539000") && !list.has("DOCK-8"));
        std::fs::write(&path, "GOOD1\nab* # too much\n").unwrap();
        assert!(WeakSerials::with_file(&path).unwrap_err().contains("line 2: `AB*` has fewer than 4"));
        std::fs::write(&path, "A".repeat(LIST_BYTES_MAX as usize + 1)).unwrap();
        assert!(WeakSerials::with_file(&path).unwrap_err().contains("longer than"));
        std::fs::write(&path, [0xff; 9]).unwrap();
        assert!(WeakSerials::with_file(&path).is_err());
        assert!(WeakSerials::with_file(&folder.path().join("none")).unwrap_err().contains("cannot be read"));
    }
}
