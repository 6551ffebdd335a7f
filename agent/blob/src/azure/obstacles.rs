//! What prevents reading or replacing a blob, decided from what the store says of it.

use azure_core::http::headers::{HeaderName, Headers};
use azure_core::time::{OffsetDateTime, parse_rfc7231, to_rfc3339};
use azure_storage_blob::models::BlobType;

use super::kind::BlobKind;
use crate::facts::Obstacles;

/// Longest name of a blob (`Naming and referencing containers, blobs, and metadata`).
pub(super) const NAME_CHARACTERS_MAX: usize = 1024;

/// Metadata of a blob that stands for a folder, as Hadoop's driver and Azure's tools leave it.
pub(crate) const FOLDER_METADATA: &str = "hdi_isfolder";

pub(super) const ARCHIVED: &str = "it is in the archive tier, where no bytes can be read: move it with `az storage blob set-tier --tier Hot`, and repeat this when that is done (hours later)";
/// Put Block and Put Block List refuse a blob in the archive tier.
const ARCHIVED_IN_THE_WAY: &str = "it is in the archive tier, where it cannot be written to: delete it, move it with `az storage blob set-tier`, or choose another name";
pub(super) const IMMUTABLE: &str =
    "a retention policy or a legal hold protects it: choose another name, or have the policy or hold removed";
pub(super) const LEASED: &str = "another program holds a lease on it: have that program release it, end it with `az storage blob lease break`, or choose another name";
pub(super) const OTHER_TYPE: &str = "a blob of another type, or a folder, has this name: delete it, or choose another name";
const BEING_COPIED: &str = "the store is still copying it here from another blob: repeat this when that is done";
const FOLDER: &str = "it marks a folder, and is not a blob: name a blob inside of it";

/// What a HEAD says that matters here.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties {
    pub(super) is_folder: bool,
    pub(super) kind: Option<BlobType>,
    pub(super) is_leased: bool,
    pub(super) has_legal_hold: bool,
    pub(super) has_retention_policy: bool,
    /// Until when the policy protects it, where that is known.
    pub(super) retained_until: Option<OffsetDateTime>,
    /// Where versions are kept, a protected one stays when the blob is replaced.
    pub(super) keeps_versions: bool,
    pub(super) is_archived: bool,
    pub(super) is_leaving_archive: bool,
    pub(super) is_being_copied: bool,
}

impl Properties {
    /// From the texts of headers: a value that is not known prevents nothing, and must not make a blob unreadable.
    pub(super) fn of(headers: &Headers, kind: Option<BlobType>, is_folder: bool) -> Self {
        let text = |name: &'static str| headers.get_optional_str(&HeaderName::from_static(name));
        let is = |name, value: &str| text(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
        Properties {
            is_folder,
            kind,
            is_leased: is("x-ms-lease-state", "leased") || is("x-ms-lease-state", "breaking"),
            has_legal_hold: is("x-ms-legal-hold", "true"),
            has_retention_policy: text("x-ms-immutability-policy-mode").is_some(),
            retained_until: text("x-ms-immutability-policy-until-date").and_then(|text| parse_rfc7231(text).ok()),
            keeps_versions: text("x-ms-version-id").is_some(),
            is_archived: is("x-ms-access-tier", "Archive"),
            is_leaving_archive: text("x-ms-archive-status").is_some_and(|status| status.starts_with("rehydrate")),
            is_being_copied: is("x-ms-copy-status", "pending"),
        }
    }

    /// For reading it, and for an upload of `kind` in its place.
    pub(super) fn obstacles(&self, kind: BlobKind) -> Obstacles {
        if self.is_folder {
            return Obstacles {
                to_reading: Some(FOLDER.to_owned()),
                to_replacing: Some(FOLDER.to_owned()),
                ..Obstacles::default()
            };
        }
        Obstacles { to_reading: self.to_reading(), to_replacing: self.to_replacing(kind), ..Obstacles::default() }
    }

    fn to_reading(&self) -> Option<String> {
        let reason = match () {
            () if self.is_being_copied => BEING_COPIED,
            () if self.is_leaving_archive => {
                "it is being moved out of the archive tier: repeat this when that is done (hours later)"
            }
            () if self.is_archived => ARCHIVED,
            () => return None,
        };
        Some(reason.to_owned())
    }

    fn to_replacing(&self, kind: BlobKind) -> Option<String> {
        let (wanted, other) = match kind {
            BlobKind::Block => (BlobType::BlockBlob, "--blob-type page"),
            BlobKind::Page => (BlobType::PageBlob, "--blob-type block"),
        };
        match &self.kind {
            Some(found @ (BlobType::BlockBlob | BlobType::PageBlob)) if *found != wanted => {
                let found = if *found == BlobType::PageBlob { "page" } else { "block" };
                let message =
                    format!("it is a {found} blob, and a blob keeps its type: use `{other}`, delete it, or choose another name");
                return Some(message);
            }
            Some(found) if *found != wanted => {
                return Some("it is an append blob, and a blob keeps its type: delete it, or choose another name".to_owned());
            }
            _ => {}
        }
        if self.is_being_copied {
            return Some(BEING_COPIED.to_owned());
        }
        if self.is_leased {
            return Some(LEASED.to_owned());
        }
        if self.is_archived || self.is_leaving_archive {
            return Some(ARCHIVED_IN_THE_WAY.to_owned());
        }
        // A new version may come beside a protected one; but pages cannot be written to a version that a policy protects
        // from the moment it is there.
        let is_protected = self.has_legal_hold || self.has_retention_policy;
        let is_in_the_way = is_protected && !self.keeps_versions || self.has_retention_policy && kind == BlobKind::Page;
        is_in_the_way.then(|| self.immutable())
    }

    /// That nothing may replace it, by what is known of why.
    fn immutable(&self) -> String {
        let hold = if self.has_legal_hold { ", and a legal hold besides" } else { "" };
        match self.retained_until {
            Some(until) => {
                let until = to_rfc3339(&until);
                format!(
                    "a retention policy protects it until {until}{hold}: choose another name, or have the policy removed where that is allowed"
                )
            }
            None => IMMUTABLE.to_owned(),
        }
    }
}

/// Whether something that a store lists as a blob stands for a folder.
pub(crate) fn is_folder<'metadata>(
    length_bytes: u64,
    mut metadata: impl Iterator<Item = (&'metadata String, &'metadata String)>,
    resource_type: Option<&str>,
) -> bool {
    let is_marked =
        metadata.any(|(name, value)| name.eq_ignore_ascii_case(FOLDER_METADATA) && value.eq_ignore_ascii_case("true"));
    length_bytes == 0 && (is_marked || resource_type.is_some_and(|kind| kind.eq_ignore_ascii_case("directory")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Properties {
        Properties { kind: Some(BlobType::BlockBlob), ..Properties::default() }
    }

    #[test]
    fn what_can_be_replaced_is_decided_by_type_lease_and_protection() {
        let page = Properties { kind: Some(BlobType::PageBlob), ..Properties::default() };
        let held = Properties { has_legal_hold: true, ..block() };
        let retained = Properties { has_retention_policy: true, ..page.clone() };
        let cases = [
            (block(), BlobKind::Block, None),
            (page.clone(), BlobKind::Page, None),
            (block(), BlobKind::Page, Some("block blob")),
            (page, BlobKind::Block, Some("`--blob-type page`")),
            (Properties { kind: Some(BlobType::AppendBlob), ..block() }, BlobKind::Block, Some("append blob")),
            (Properties { is_leased: true, ..block() }, BlobKind::Block, Some("lease break")),
            (Properties { is_archived: true, ..block() }, BlobKind::Block, Some("archive tier")),
            (Properties { is_leaving_archive: true, ..block() }, BlobKind::Block, Some("archive tier")),
            (held.clone(), BlobKind::Block, Some("legal hold")),
            (Properties { keeps_versions: true, ..held }, BlobKind::Block, None),
            (Properties { keeps_versions: true, ..retained }, BlobKind::Page, Some("retention policy")),
            (Properties { is_folder: true, ..block() }, BlobKind::Block, Some("folder")),
        ];
        for (properties, kind, wanted) in cases {
            let found = properties.obstacles(kind).to_replacing;
            assert_eq!(found.is_some(), wanted.is_some(), "{properties:?}: {found:?}");
            assert!(found.unwrap_or_default().contains(wanted.unwrap_or_default()), "{properties:?}");
        }
    }

    #[test]
    fn what_can_be_read_is_decided_by_tier() {
        assert_eq!(block().obstacles(BlobKind::Block).to_reading, None);
        let archived = Properties { is_archived: true, ..block() };
        assert!(archived.obstacles(BlobKind::Block).to_reading.is_some_and(|text| text.contains("set-tier")));
        let waking = Properties { is_leaving_archive: true, ..archived };
        let copied = Properties { is_being_copied: true, ..block() };
        assert_eq!(copied.obstacles(BlobKind::Block).to_reading.as_deref(), Some(BEING_COPIED));
        assert!(waking.obstacles(BlobKind::Block).to_reading.is_some_and(|text| text.contains("being moved")));
    }

    #[test]
    fn folders_are_known_by_their_marks() {
        let mark = |value: &str| std::collections::HashMap::from([("Hdi_IsFolder".to_owned(), value.to_owned())]);
        assert!(is_folder(0, mark("true").iter(), None) && is_folder(0, mark("").iter(), Some("directory")));
        assert!(!is_folder(1, mark("true").iter(), None) && !is_folder(0, mark("false").iter(), Some("file")));
    }
}
