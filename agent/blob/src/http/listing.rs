//! A page of a list, as S3 and servers that are compatible with it write it.

use percent_encoding::percent_decode_str;

use super::xml::Element;

/// An object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size_bytes: u64,
}

/// A page of a list, and where it continues.
pub(crate) struct Page<T, N> {
    pub(crate) items: Vec<T>,
    /// What comes before a delimiter, each once.
    pub(crate) prefixes: Vec<String>,
    pub(crate) next: Option<N>,
}

/// How names are written in a list: percent-encoded, where it says so.
pub(crate) fn decoder(list: &Element) -> impl Fn(&str) -> Option<String> + use<> {
    let is_encoded = list.text_of("EncodingType").is_some_and(|kind| kind.eq_ignore_ascii_case("url"));
    move |text| match is_encoded {
        // As a form writes it: a space may be a plus.
        true => percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned()),
        false => Some(text.to_owned()),
    }
}

/// A page of a list of objects (ListObjectsV2); `None` where it is none.
pub(crate) fn objects_of_page(list: &Element) -> Option<Page<Listed, String>> {
    let decode = decoder(list);
    let listed = |item: &Element| Some(Listed { key: decode(item.text_of("Key")?)?, size_bytes: item.number_of("Size")? });
    let items: Option<Vec<Listed>> = list.all("Contents").map(listed).collect();
    let prefixes: Option<Vec<String>> = list.all("CommonPrefixes").map(|item| decode(item.text_of("Prefix")?)).collect();
    let next = list.text_of("NextContinuationToken").filter(|_| list.is("IsTruncated"));
    Some(Page { items: items?, prefixes: prefixes?, next: next.map(str::to_owned) })
}
