//! All paths of the service.
//!
//! | path | folder | for |
//! |---|---|---|
//! | `/subscriptions/…`, `/providers/…` | `api` | customers: the REST API of Microsoft.ImportExport, with receipts and events added |
//! | `/operator/v1/…` | `api` | operators' programs |
//! | `/healthz`, `/livez`, `/readyz`, `/metrics`, `/openapi.json` | `api` | monitoring and tools |
//! | `/portal/…` | `portal` | people |

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, map_request};

use crate::http::{count, understand};
use crate::state::ServiceState;
use crate::{api, portal};

/// The service as a router.
pub fn router(state: Arc<ServiceState>) -> Router {
    let vault = state.store.vault().clone();
    let router = api::router().merge(portal::router(&state)).layer(from_fn(count));
    router.layer(map_request(move |request: Request| ready(understand(request, &vault)))).with_state(state)
}
