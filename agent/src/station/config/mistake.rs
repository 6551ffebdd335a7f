//! What is wrong with a configuration, as it is said.

use service::store::ADDRESS_EXAMPLE;

/// What is said of a value, without the value where a SAS or the password of a database may be in it: it may stand where
/// something else is expected.
pub(super) fn without_signature(message: &str) -> String {
    let shown = message.replace(ADDRESS_EXAMPLE, "");
    if shown.contains('@') && (shown.contains("postgres://") || shown.contains("postgresql://")) {
        return "what stands here may have a password, and is not shown: it belongs into `database`".to_owned();
    }
    if !message.contains("sig=") {
        return message.to_owned();
    }
    match message.rsplit_once("expected ").filter(|(_, expected)| !expected.contains("sig=")) {
        Some((_, expected)) => format!("what stands here has a SAS, and is not shown; expected {expected}"),
        None => "what stands here has a SAS, and is not shown: it belongs into `store` of an account".to_owned(),
    }
}

/// `line 3: `, where it is known.
pub(super) fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let before = span.and_then(|span| text.get(..span.start));
    before.map_or_else(String::new, |before| format!("line {}: ", before.matches('\n').count() + 1))
}
