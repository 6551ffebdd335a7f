//! The name of a station's state directory: `JOURNALS.HOST`, two words without a dot.
//!
//! The first one stays with the journals in it, and says who knows what a copy moved, also after the machine was started again. The
//! second one is the directory on this machine since its last start: one process at a time has it. A copy of a directory has
//! the first one too, and never the second. Earlier versions tell the second one alone.

/// Makes the name.
pub fn state_id(journals: &str, host: &str) -> String {
    format!("{journals}.{host}")
}

fn parts(id: &str) -> (Option<&str>, &str) {
    id.split_once('.').map_or((None, id), |(journals, host)| (Some(journals), host))
}

/// Whether two names are of one directory on one machine that was not started again: a process that has its lock is the only one.
pub fn is_same_host(one: &str, other: &str) -> bool {
    parts(one).1 == parts(other).1
}

/// Whether the same journals are in both directories.
pub fn has_same_journals(one: &str, other: &str) -> bool {
    match (parts(one), parts(other)) {
        ((Some(one), _), (Some(other), _)) => one == other,
        _ => is_same_host(one, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_stay_when_the_machine_is_started_again_and_hosts_do_not() {
        let (before, after) = (state_id("j", "boot-1"), state_id("j", "boot-2"));
        assert!(has_same_journals(&before, &after) && !is_same_host(&before, &after));
        assert!(!has_same_journals(&before, &state_id("k", "boot-1")));
        for (earlier, is_same) in [("boot-1", true), ("boot-2", false)] {
            assert_eq!(is_same_host(earlier, &before), is_same, "{earlier}");
            assert_eq!(has_same_journals(&before, earlier), is_same, "{earlier}");
        }
    }
}
