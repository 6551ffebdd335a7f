//! Times as pages show them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(super) fn time_text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}
