//! What a blob is given beside its bytes where its store has a place for that: tier, metadata, content type. Everything that
//! Azure would refuse is refused here, before the first byte.

use std::fmt;
use std::str::FromStr;

use protocol::result::PlannedProperties;

/// Most bytes of metadata that are taken, names and values together. Azure takes 8 KiB; ours have a part of them, and the
/// ranges that could not be read another.
const METADATA_BYTES_MAX: usize = 3 << 10;

/// Longest content type, in bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// How the names begin that we give metadata ourselves, in small letters.
const OWN_PREFIX: &str = "driveagent";

/// Other names that mean something: to us, and to what takes a blob for a folder.
const TAKEN_NAMES: [&str; 2] = ["unreadableranges", "hdi_isfolder"];

/// The access tier of a block blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Read often.
    Hot,
    /// Kept for a month or longer.
    Cool,
    /// Kept for three months or longer.
    Cold,
    /// Kept for half a year or longer; nothing of it can be read until it is moved to another tier.
    Archive,
}

impl Tier {
    /// All of them, and their words.
    const ALL: [(Tier, &str); 4] = [(Tier::Hot, "hot"), (Tier::Cool, "cool"), (Tier::Cold, "cold"), (Tier::Archive, "archive")];
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Tier::ALL.iter().find(|(tier, _)| tier == self).map_or("", |(_, word)| word);
        formatter.write_str(word)
    }
}

/// Why a property cannot be given to a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PropertyError(String);

impl FromStr for Tier {
    type Err = PropertyError;

    fn from_str(text: &str) -> Result<Self, PropertyError> {
        let digits = text.strip_prefix(['p', 'P']).unwrap_or_default();
        if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(PropertyError(format!(
                "`{text}` is a tier of premium page blobs, which is not set here: import it without, and set it with `az storage blob set-tier`"
            )));
        }
        let found = Tier::ALL.iter().find(|(_, word)| text.eq_ignore_ascii_case(word));
        found.map(|(tier, _)| *tier).ok_or_else(|| PropertyError(format!("`{text}` is not a tier: hot, cool, cold or archive")))
    }
}

/// A name and a value of metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadatum {
    name: String,
    value: String,
}

impl FromStr for Metadatum {
    type Err = PropertyError;

    /// As `KEY=VALUE`. Names are stored in small letters: a store takes `Owner` and `owner` for the same.
    fn from_str(text: &str) -> Result<Self, PropertyError> {
        let refused = |message: String| Err(PropertyError(message));
        let Some((name, value)) = text.split_once('=') else {
            return refused(format!("`{text}` is not metadata: write KEY=VALUE"));
        };
        let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !begins_well || !name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_') {
            return refused(format!(
                "`{name}` cannot be a name of metadata: Azure takes letters, digits and `_`, and no digit at the beginning"
            ));
        }
        let name = name.to_ascii_lowercase();
        if name.starts_with(OWN_PREFIX) || TAKEN_NAMES.contains(&name.as_str()) {
            return refused(format!("the metadata `{name}` is written by this program, or means a folder: choose another name"));
        }
        if !value.bytes().all(|letter| letter == b' ' || letter.is_ascii_graphic()) {
            return refused(format!(
                "the value of the metadata `{name}` has other letters than ASCII's, which Azure does not take"
            ));
        }
        if value.is_empty() || value.trim() != value {
            return refused(format!(
                "the value of the metadata `{name}` is empty, or begins or ends with a space, which is not kept"
            ));
        }
        Ok(Metadatum { name, value: value.to_owned() })
    }
}

/// The content type of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType(String);

impl FromStr for ContentType {
    type Err = PropertyError;

    fn from_str(text: &str) -> Result<Self, PropertyError> {
        let is_plain = |letter: u8| letter == b' ' || letter.is_ascii_graphic();
        let essence = text.split(';').next().unwrap_or_default();
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&letter))
        };
        let is_type = essence.trim_end().split_once('/').is_some_and(|(kind, subtype)| is_part(kind) && is_part(subtype));
        match is_type && text.trim() == text && text.len() <= CONTENT_TYPE_BYTES_MAX && text.bytes().all(is_plain) {
            true => Ok(ContentType(text.to_owned())),
            false => Err(PropertyError(format!(
                "`{text}` is not a content type: write TYPE/SUBTYPE, such as application/octet-stream"
            ))),
        }
    }
}

/// What a blob is given beside its bytes. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobProperties {
    pub(crate) tier: Option<Tier>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) content_type: Option<String>,
}

impl BlobProperties {
    /// Puts them together.
    ///
    /// # Errors
    /// When a name comes twice, or all of it is too long.
    pub fn new(tier: Option<Tier>, metadata: &[Metadatum], content_type: Option<&ContentType>) -> Result<Self, PropertyError> {
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = metadata.iter().find(|one| !seen.insert(&one.name)) {
            return Err(PropertyError(format!("the metadata `{}` is given twice: leave out one", twice.name)));
        }
        let bytes: usize = metadata.iter().map(|one| one.name.len() + one.value.len()).sum();
        if bytes > METADATA_BYTES_MAX {
            return Err(PropertyError(format!(
                "the metadata has {bytes} bytes, names and values together, and {METADATA_BYTES_MAX} are taken: shorten it"
            )));
        }
        let metadata = metadata.iter().map(|one| (one.name.clone(), one.value.clone())).collect();
        Ok(BlobProperties { tier, metadata, content_type: content_type.map(|one| one.0.clone()) })
    }

    /// Whether a blob is given nothing.
    pub fn is_empty(&self) -> bool {
        *self == BlobProperties::default()
    }

    /// What a plan tells of them; nothing where a blob is given nothing.
    pub fn planned(&self) -> Option<PlannedProperties> {
        let planned = PlannedProperties {
            tier: self.tier.map(|tier| tier.to_string()),
            content_type: self.content_type.clone(),
            metadata: self.metadata.iter().cloned().collect(),
        };
        (!self.is_empty()).then_some(planned)
    }

    /// The tier.
    pub fn tier(&self) -> Option<Tier> {
        self.tier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: FromStr<Err = PropertyError>>(text: &str) -> String {
        text.parse::<T>().err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn tiers_are_words_and_those_of_page_blobs_are_refused() {
        assert_eq!("Archive".parse(), Ok(Tier::Archive));
        assert_eq!(Tier::Cold.to_string().parse(), Ok(Tier::Cold));
        assert!(refusal::<Tier>("P30").contains("premium page blobs") && refusal::<Tier>("premium").contains("hot, cool"));
        assert!(refusal::<Tier>("").contains("hot, cool") && refusal::<Tier>("p").contains("hot, cool"));
    }

    #[test]
    fn metadata_is_checked_as_azure_does() {
        assert_eq!("Owner=a b=c".parse(), Ok(Metadatum { name: "owner".to_owned(), value: "a b=c".to_owned() }));
        assert!("_x1=y".parse::<Metadatum>().is_ok());
        for (text, words) in [
            ("owner", "KEY=VALUE"),
            ("=x", "letters, digits"),
            ("1a=x", "no digit at the beginning"),
            ("a-b=x", "letters, digits"),
            ("ö=x", "letters, digits"),
            ("a=ö", "ASCII"),
            ("a=x\ny", "ASCII"),
            ("a=", "is empty"),
            ("a= x", "space"),
            ("driveAgentRoot=x", "written by this program"),
            ("UnreadableRanges=x", "written by this program"),
            ("hdi_isfolder=true", "means a folder"),
        ] {
            assert!(refusal::<Metadatum>(text).contains(words), "{text}: {}", refusal::<Metadatum>(text));
        }
        let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Metadatum>>();
        let twice = BlobProperties::new(None, &parsed(&["Owner=x", "owner=y"]), None).unwrap_err();
        assert!(twice.to_string().contains("`owner` is given twice"));
        let long = format!("a={}", "x".repeat(METADATA_BYTES_MAX));
        assert!(BlobProperties::new(None, &parsed(&[&long]), None).is_err());
        let just = format!("a={}", "x".repeat(METADATA_BYTES_MAX - 1));
        assert!(BlobProperties::new(None, &parsed(&[&just]), None).is_ok());
    }

    #[test]
    fn a_content_type_has_two_parts() {
        for good in ["application/octet-stream", "application/x-qemu-disk", "text/plain; charset=utf-8"] {
            assert!(good.parse::<ContentType>().is_ok(), "{good}");
        }
        for bad in ["", "text", "text/", "/plain", "text/plain\n", " text/plain", "te xt/plain", "tëxt/plain", "a/b/c"] {
            assert!(bad.parse::<ContentType>().is_err(), "{bad}");
        }
        assert!(format!("a/{}", "x".repeat(CONTENT_TYPE_BYTES_MAX)).parse::<ContentType>().is_err());
    }
}
