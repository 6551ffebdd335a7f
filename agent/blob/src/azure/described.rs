//! What a blob has beside its bytes, held against what an upload was asked to give it.

use std::collections::HashMap;

use azure_core::http::headers::{HeaderName, Headers};

use crate::properties::BlobProperties;

/// What Azure calls a blob's content where nothing was said.
pub(super) const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// What a HEAD says of a blob beside its bytes.
#[derive(Debug, Default)]
pub(super) struct Described {
    tier: Option<String>,
    metadata: HashMap<String, String>,
    pub(super) content_type: Option<String>,
}

impl Described {
    pub(super) fn of(headers: &Headers, metadata: &HashMap<String, String>) -> Self {
        let text = |name: &'static str| headers.get_optional_str(&HeaderName::from_static(name)).map(str::to_owned);
        let metadata = metadata.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        Described { tier: text("x-ms-access-tier"), metadata, content_type: text("content-type") }
    }

    /// What was asked for and is not so, with the way out; `None` where all of it is.
    pub(super) fn unlike(&self, wanted: &BlobProperties) -> Option<String> {
        let tier = wanted.tier.filter(|tier| !self.tier.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(&tier.to_string())));
        let metadata = wanted.metadata.iter().find(|(name, value)| self.metadata.get(name) != Some(value));
        let content_type =
            wanted.content_type.as_ref().filter(|wanted| !is_same_type(self.content_type.as_deref(), Some(wanted)));
        let missing = [
            tier.map(|tier| format!("the tier `{tier}` (set it with `az storage blob set-tier`)")),
            metadata.map(|(name, _)| format!("the metadata `{name}` (`az storage blob metadata update`)")),
            content_type.map(|wanted| format!("the content type `{wanted}` (`az storage blob update`)")),
        ];
        let missing: Vec<String> = missing.into_iter().flatten().collect();
        (!missing.is_empty()).then(|| format!("it is complete already, and is not given {}", missing.join(", ")))
    }
}

/// Whether two content types are the same. Without one a blob has the default.
pub(super) fn is_same_type(found: Option<&str>, wanted: Option<&str>) -> bool {
    found.unwrap_or(DEFAULT_CONTENT_TYPE).eq_ignore_ascii_case(wanted.unwrap_or(DEFAULT_CONTENT_TYPE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::Tier;

    #[test]
    fn only_what_was_asked_for_is_missed() {
        let metadata = HashMap::from([("owner".to_owned(), "me".to_owned()), ("other".to_owned(), "x".to_owned())]);
        let found = Described { tier: Some("Cool".to_owned()), metadata, content_type: None };
        let wanted = |tier, metadata: &[(&str, &str)], content_type: Option<&str>| BlobProperties {
            tier,
            metadata: metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            content_type: content_type.map(str::to_owned),
        };
        for (wanted, words) in [
            (wanted(None, &[], None), None),
            (wanted(Some(Tier::Cool), &[("owner", "me")], Some(DEFAULT_CONTENT_TYPE)), None),
            (wanted(Some(Tier::Hot), &[], None), Some("the tier `hot`")),
            (wanted(None, &[("owner", "you")], None), Some("`owner`")),
            (wanted(None, &[("new", "x")], None), Some("`new`")),
            (wanted(None, &[], Some("text/plain")), Some("`text/plain`")),
        ] {
            let unlike = found.unlike(&wanted);
            assert_eq!(unlike.is_some(), words.is_some(), "{wanted:?}");
            assert!(unlike.unwrap_or_default().contains(words.unwrap_or_default()), "{wanted:?}");
        }
    }
}
