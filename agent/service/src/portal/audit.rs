//! The audit log: who did what, the newest first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::extract::{Operator, PageQuery};
use super::page::{PageError, render};
use super::time_text::time_text;
use super::viewer::Viewer;
use crate::state::ServiceState;
use crate::store::AuditFilter;

/// Entries of one page.
const PAGE_ENTRIES: u32 = 100;

/// What is looked for, and where the page begins.
#[derive(Deserialize)]
pub(super) struct AuditQuery {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    job: String,
    after: Option<i64>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    title: &'static str,
    viewer: Option<Viewer>,
    actor: String,
    action: String,
    job: String,
    entries: Vec<Line>,
    older: Option<String>,
}

struct Line {
    at: String,
    actor: String,
    action: String,
    job: String,
}

pub(super) async fn show(
    State(state): State<Arc<ServiceState>>,
    Operator(viewer): Operator,
    PageQuery(query): PageQuery<AuditQuery>,
) -> Result<Response, PageError> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let filter = AuditFilter {
        before: query.after,
        job_uid: given(&query.job),
        actor: given(&query.actor),
        action: given(&query.action),
        ..AuditFilter::default()
    };
    let page = state.store.audit_log(&filter, PAGE_ENTRIES).await?;
    let older = page.next.map(|after| {
        let mut link = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("actor", &query.actor), ("action", &query.action), ("job", &query.job)] {
            if !value.trim().is_empty() {
                link.append_pair(name, value.trim());
            }
        }
        format!("/portal/audit?{}", link.append_pair("after", &after.to_string()).finish())
    });
    let line = |entry: protocol::station::AuditEntry| Line {
        at: time_text(entry.at),
        actor: entry.actor,
        action: match entry.detail {
            Some(detail) => format!("{}: {detail}", entry.action),
            None => entry.action,
        },
        job: entry.job_uid.unwrap_or_default(),
    };
    Ok(render(&AuditPage {
        title: "Audit log",
        viewer: Some(viewer),
        actor: query.actor,
        action: query.action,
        job: query.job,
        entries: page.entries.into_iter().map(line).collect(),
        older,
    }))
}
