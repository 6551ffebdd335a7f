//! From an error to what caused it.

use std::error::Error;
use std::io;

/// An error, and its causes down to the first of them. An error of input or output hides the one that it was made of: that
/// one is among them.
pub(crate) fn causes<'error>(error: &'error (dyn Error + 'static)) -> impl Iterator<Item = &'error (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'error (dyn Error + 'static)| {
        let error: &'error (dyn Error + 'static) = *error;
        let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        hidden.map(|hidden| hidden as &'error (dyn Error + 'static)).or_else(|| error.source())
    })
}

/// The first cause of that type.
pub(crate) fn find<'error, T: Error + 'static>(error: &'error (dyn Error + 'static)) -> Option<&'error T> {
    causes(error).find_map(|cause| cause.downcast_ref::<T>())
}

/// The text of the last cause, which names what happened ("connection refused").
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("refused")]
    struct Refused;

    #[derive(Debug, thiserror::Error)]
    #[error("the tunnel failed")]
    struct Tunnel(#[source] Refused);

    #[test]
    fn what_an_error_of_input_or_output_hides_is_a_cause() {
        let error = io::Error::other(io::Error::other(Tunnel(Refused)));
        assert!(find::<Tunnel>(&error).is_some());
        assert!(find::<Refused>(&error).is_some());
        assert!(find::<std::fmt::Error>(&error).is_none());
        assert_eq!(innermost(&error), "refused");
        assert_eq!(innermost(&Refused), "refused");
    }
}
