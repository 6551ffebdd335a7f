//! What must never be shown: a marker that stands where addresses and settings have secrets.

/// The marker, as inputs of the corpus have it.
pub const MARKER: &str = "SECRET";

/// Whether each signature and key stands where they do: in a query, or in that part of a connection string. Elsewhere it is
/// the name of a file, such as `design=1.img`.
fn are_in_place(text: &str) -> bool {
    let is_one = |line: &str| {
        let line = line.trim_start().to_lowercase();
        let place = line.find('?').or_else(|| line.find("sharedaccesssignature="));
        let is_signature = line.find("sig=").is_none_or(|signature| place.is_some_and(|place| place < signature));
        is_signature && line.find("accountkey=").is_none_or(|key| key == 0)
    };
    text.split([';', '\n']).all(is_one)
}

/// Checks that what is shown of `text` has no secret of it. Only a marker in the place of one is a secret.
#[track_caller]
pub fn require_hidden(text: &str, shown: &str) {
    if !are_in_place(text) {
        return;
    }
    let places = ["sig=SECRET", "AccountKey=SECRET", "AZURE_STORAGE_KEY=SECRET", "AZURE_CLIENT_SECRET=SECRET"];
    let without = places.iter().fold(text.to_owned(), |text, place| text.replace(place, ""));
    if !without.contains(MARKER) {
        assert!(!shown.contains(MARKER), "a secret is shown: {shown:?}");
    }
}
