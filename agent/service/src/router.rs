//! All paths of the service.
//!
//! | path | folder | for |
//! |---|---|---|
//! | `/subscriptions/…`, `/providers/…` | `api` | customers: the REST API of Microsoft.ImportExport, with receipts and events added |
//! | `/operator/v1/…` | `api` | operators' programs |
//! | `/healthz`, `/livez`, `/readyz`, `/metrics`, `/openapi.json` | `api` | monitoring and tools |
//! | `/portal/…` | `portal` | people |

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;

use crate::http::count;
use crate::state::ServiceState;
use crate::{api, portal};

/// The service as a router.
pub fn router(state: Arc<ServiceState>) -> Router {
    api::router().merge(portal::router(&state)).layer(from_fn(count)).with_state(state)
}
