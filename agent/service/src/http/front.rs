//! What answers requests now: it may change while connections are open.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::Request;
use tower::ServiceExt;

/// What answers requests now.
#[derive(Clone)]
pub struct Front {
    current: Arc<RwLock<Router>>,
}

impl Front {
    /// At first this answers.
    pub fn new(router: Router) -> Self {
        Front { current: Arc::new(RwLock::new(router)) }
    }

    /// The router for [`serve`](super::server::serve): it asks for each request what answers now.
    pub fn router(&self) -> Router {
        let front = self.clone();
        Router::new().fallback(move |request: Request| {
            let current = front.current.read().unwrap_or_else(PoisonError::into_inner).clone();
            current.oneshot(request)
        })
    }

    /// From now on this answers.
    pub fn switch(&self, router: Router) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = router;
    }
}
