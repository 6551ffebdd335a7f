//! Random names that no other has: of grants, of tasks of stations, and of services as stations know them.

/// A name that no other has.
pub(crate) fn random_name() -> String {
    #[cfg(feature = "simulation")]
    if let Some(number) = simulation::next() {
        return format!("{number:032x}");
    }
    format!("{:032x}", rand::random::<u128>())
}

/// Names of a history that is lived twice: what is listed by them has the same order both times.
#[cfg(feature = "simulation")]
pub mod simulation {
    use std::cell::Cell;

    thread_local! {
        static NEXT: Cell<Option<u128>> = const { Cell::new(None) };
    }

    /// From now on names of this thread are counted from here.
    pub fn count_from(first: u128) {
        NEXT.set(Some(first));
    }

    pub(super) fn next() -> Option<u128> {
        let number = NEXT.get()?;
        NEXT.set(Some(number + 1));
        Some(number)
    }
}
