//! What a request says of the version that a job has to have (RFC 9110, section 13).

use super::error::StoreError;
use super::row::StoredJob;

/// Which version a job has to have. Where nothing is said, any does, and a job that is not there too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Precondition {
    /// One of these (`If-Match`); the job has to be there.
    pub(crate) matches: Option<Versions>,
    /// None of these (`If-None-Match`).
    pub(crate) matches_none: Option<Versions>,
}

/// The versions that a header names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Versions {
    /// `*`: every version, so that only the absence of the job is another.
    Any,
    /// These.
    OneOf(Vec<i64>),
}

impl Versions {
    fn has(&self, version: i64) -> bool {
        match self {
            Versions::Any => true,
            Versions::OneOf(versions) => versions.contains(&version),
        }
    }
}

impl Precondition {
    /// The job as it was read.
    pub(crate) fn is(version: i64) -> Self {
        Precondition { matches: Some(Versions::OneOf(vec![version])), matches_none: None }
    }

    /// Whether a job of this version is meant; `None` where there is none.
    pub(crate) fn holds(&self, version: Option<i64>) -> bool {
        let named = |versions: &Versions| version.is_some_and(|version| versions.has(version));
        self.matches.as_ref().is_none_or(named) && !self.matches_none.as_ref().is_some_and(named)
    }

    /// The same for a job that was read.
    ///
    /// # Errors
    /// [`StoreError::Changed`], or [`StoreError::Exists`] where it must not be there.
    pub(crate) fn require(&self, job: Option<&StoredJob>) -> Result<(), StoreError> {
        match self.holds(job.map(|job| job.version)) {
            true => Ok(()),
            false if self.matches_none == Some(Versions::Any) => Err(StoreError::Exists),
            false => Err(StoreError::Changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_the_standard_says() {
        let of = |versions: &[i64]| Some(Versions::OneOf(versions.to_vec()));
        let cases = [
            // If-Match, If-None-Match, and whether versions 1, 2 and no job at all are meant.
            (None, None, [true, true, true]),
            (of(&[1]), None, [true, false, false]),
            (of(&[2, 1]), None, [true, true, false]),
            (of(&[]), None, [false, false, false]),
            (Some(Versions::Any), None, [true, true, false]),
            (None, Some(Versions::Any), [false, false, true]),
            (None, of(&[1]), [false, true, true]),
            (of(&[1]), of(&[1]), [false, false, false]),
        ];
        for (matches, matches_none, expected) in cases {
            let precondition = Precondition { matches, matches_none };
            let found = [Some(1), Some(2), None].map(|version| precondition.holds(version));
            assert_eq!(found, expected, "{precondition:?}");
        }
    }
}
