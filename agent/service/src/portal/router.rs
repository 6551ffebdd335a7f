//! Paths of the portal, and its assets.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};

use super::{
    about, actions, attention, audit, bays, check_in, confirm, correct, docking, drive, edit, files, job, jobs, live, login,
    missing, new, page, protect, rate, receive, retry, ship, slip, tokens,
};
use crate::state::ServiceState;

/// All paths of the portal.
pub(crate) fn router(state: &Arc<ServiceState>) -> Router<Arc<ServiceState>> {
    let without_login = Router::new()
        .route("/", get(async || Redirect::to("/portal/")))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/portal/login", get(login::show).post(login::log_in))
        .route("/portal/login/entra", get(login::begin_sign_in))
        .route(login::SIGN_IN_RETURN, get(login::complete_sign_in))
        .route("/portal/assets/{file}", get(asset))
        .route_layer(from_fn_with_state(state.clone(), protect::limit_anonymous));
    without_login
        .route("/portal/", get(login::home))
        .route("/portal/logout", post(login::log_out))
        .route("/portal/bays", get(bays::show))
        .route("/portal/attention", get(attention::show))
        .route("/portal/jobs", get(jobs::show))
        .route("/portal/receive", get(receive::show))
        .route("/portal/about", get(about::show))
        .route("/portal/audit", get(audit::show))
        .route("/portal/tokens", get(tokens::show))
        .route("/portal/tokens/new", get(tokens::show_new).post(tokens::make))
        .route("/portal/tokens/{name}/revoke", get(tokens::ask).post(tokens::revoke))
        .route("/portal/new", get(new::show).post(new::create))
        .route("/portal/job/{subscription}/{group}/{name}", get(job::show))
        .route("/portal/job/{subscription}/{group}/{name}/slip", get(slip::show))
        .route("/portal/job/{subscription}/{group}/{name}/edit", get(edit::show))
        .route("/portal/job/{subscription}/{group}/{name}/cancel", get(confirm::cancel))
        .route("/portal/job/{subscription}/{group}/{name}/ship", get(ship::show))
        .route("/portal/job/{subscription}/{group}/{name}/shipBack", get(ship::show_back))
        .route("/portal/job/{subscription}/{group}/{name}/delete", get(confirm::delete))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}", get(drive::show))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}/correct", get(correct::show))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}/retry", get(retry::show))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}/give-up", get(confirm::give_up))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}/wrong-drive", get(confirm::wrong_drive))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}/never-received", get(missing::drive))
        .route("/portal/job/{subscription}/{group}/{name}/never-received", get(missing::any_drive))
        .route("/portal/job/{subscription}/{group}/{name}/drive/{drive}/file/{file}", get(files::drive_file))
        .route("/portal/job/{subscription}/{group}/{name}/receipts.json", get(files::receipts))
        .route("/portal/job/{subscription}/{group}/{name}/do/{action}", post(actions::carry_out))
        .route("/portal/rate", get(rate::show).post(rate::set))
        .route("/portal/dock", get(docking::show).post(docking::dock))
        .route("/portal/bay/{bay}/take-out", post(docking::take_out))
        .route("/portal/check-in", get(check_in::show).post(check_in::check_in))
        .route("/portal/events/bays", get(live::bays))
        .route("/portal/events/jobs", get(live::jobs))
        .route("/portal/events/job/{subscription}/{group}/{name}", get(live::job))
        .route("/portal/events/job/{subscription}/{group}/{name}/drive/{drive}", get(live::drive))
        .route("/portal/{*rest}", any(page::unknown))
        .layer(from_fn_with_state(state.clone(), protect::protect))
}

async fn asset(Path(file): Path<String>) -> Response {
    let (kind, text) = match file.as_str() {
        "portal.css" => ("text/css; charset=utf-8", include_str!("../../assets/portal.css")),
        "portal.js" => ("text/javascript; charset=utf-8", include_str!("../../assets/portal.js")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([("content-type", kind), ("cache-control", "no-cache")], text).into_response()
}
