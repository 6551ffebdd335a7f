//! The person who looks at a page, and the cookies of their browser.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use crate::store::{Actor, Role, Session};

/// The cookie of a session. `__Host-` would need TLS, which loopback has not.
pub(super) const COOKIE_NAME: &str = "drive-agent-session";

/// A person who is logged in.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub(super) actor: Actor,
    pub(super) name: String,
    pub(super) is_operator: bool,
    /// The secret that their forms must carry.
    pub(super) csrf: String,
}

impl From<Session> for Viewer {
    fn from(session: Session) -> Self {
        Viewer {
            name: session.actor.name.clone(),
            is_operator: session.actor.role == Role::Operator,
            csrf: session.csrf,
            actor: session.actor,
        }
    }
}

/// The secret of the session's cookie.
pub(super) fn secret_of(headers: &HeaderMap) -> Option<&str> {
    cookie_of(headers, COOKIE_NAME)
}

/// The value of a cookie.
pub(super) fn cookie_of<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    cookies.filter_map(|cookie| cookie.trim().split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value)
}
