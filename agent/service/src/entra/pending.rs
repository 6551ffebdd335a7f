//! Sign-ins under way: what has to be known when the browser comes back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most logins under way. Where there are more, the oldest has to start over.
const SIGN_INS_MAX: usize = 1000;

/// How long a person may take at the issuer.
pub(crate) const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(600);

/// Logins under way.
#[derive(Default)]
pub(super) struct PendingSignIns {
    begun: Mutex<HashMap<String, PendingSignIn>>,
}

pub(super) struct PendingSignIn {
    pub(super) at: Instant,
    pub(super) verifier: String,
    pub(super) nonce: String,
    pub(super) redirect: String,
}

impl PendingSignIns {
    pub(super) fn remember(&self, state: &str, begun: PendingSignIn) {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, begun| begun.at.elapsed() < SIGN_IN_TIMEOUT);
        if all.len() >= SIGN_INS_MAX {
            let oldest = all.iter().min_by_key(|(_, begun)| begun.at).map(|(state, _)| state.clone());
            oldest.and_then(|state| all.remove(&state));
        }
        all.insert(state.to_owned(), begun);
    }

    /// The login of this state, once only.
    pub(super) fn take(&self, state: &str) -> Option<PendingSignIn> {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(state).filter(|begun| begun.at.elapsed() < SIGN_IN_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(age: Duration) -> PendingSignIn {
        let at = Instant::now().checked_sub(age).unwrap();
        PendingSignIn { at, verifier: String::new(), nonce: String::new(), redirect: String::new() }
    }

    #[test]
    fn a_login_comes_back_once_and_in_time() {
        let all = PendingSignIns::default();
        all.remember("a", begun(Duration::ZERO));
        assert!(all.take("a").is_some() && all.take("a").is_none());
        all.remember("old", begun(SIGN_IN_TIMEOUT));
        assert!(all.take("old").is_none());
        for number in 0..SIGN_INS_MAX + 10 {
            all.remember(&number.to_string(), begun(Duration::ZERO));
        }
        assert_eq!(all.begun.lock().unwrap().len(), SIGN_INS_MAX);
    }
}
