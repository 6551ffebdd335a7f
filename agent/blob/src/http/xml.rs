//! The bodies of S3's answers and requests, as far as they matter here: a tree of elements, small enough for a page of a list.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesRef, Event};

/// Deepest element that is taken: S3's answers have four levels.
const DEPTH_MAX: usize = 16;

/// An element with what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    children: Vec<Element>,
}

/// A body that is not XML of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not the XML that was expected")]
pub(crate) struct NotUnderstood;

impl Element {
    /// The root of a document.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        let mut reader = Reader::from_reader(body);
        let mut open = vec![Element::default()];
        loop {
            match reader.read_event().map_err(|_| NotUnderstood)? {
                Event::Start(start) if open.len() <= DEPTH_MAX => open.push(Element::named(start.local_name().as_ref())),
                Event::Start(_) => return Err(NotUnderstood),
                Event::Empty(start) => {
                    open.last_mut().ok_or(NotUnderstood)?.children.push(Element::named(start.local_name().as_ref()))
                }
                Event::Text(part) => {
                    let part = part.decode().map_err(|_| NotUnderstood)?;
                    open.last_mut().ok_or(NotUnderstood)?.text.push_str(&part);
                }
                Event::CData(part) => open.last_mut().ok_or(NotUnderstood)?.text.push_str(&String::from_utf8_lossy(&part)),
                Event::GeneralRef(name) => {
                    open.last_mut().ok_or(NotUnderstood)?.text.push(reference(&name).ok_or(NotUnderstood)?)
                }
                Event::End(_) => {
                    let done = open.pop().ok_or(NotUnderstood)?;
                    open.last_mut().ok_or(NotUnderstood)?.children.push(done);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some(document), true) => document.children.into_iter().next().ok_or(NotUnderstood),
            _ => Err(NotUnderstood),
        }
    }

    fn named(name: &[u8]) -> Self {
        Element { name: String::from_utf8_lossy(name).into_owned(), ..Element::default() }
    }

    /// Everything in it of this name, in order.
    pub(crate) fn all<'element, 'name>(
        &'element self,
        name: &'name str,
    ) -> impl Iterator<Item = &'element Element> + use<'element, 'name> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first element in it of this name; `None` where there is none, or it is empty.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        let first = self.children.iter().find(|child| child.name == name);
        first.map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }

    /// The same as a number.
    pub(crate) fn number_of(&self, name: &str) -> Option<u64> {
        self.text_of(name)?.parse().ok()
    }

    /// Whether the element of this name says `true`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.text_of(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}

fn reference(name: &BytesRef<'_>) -> Option<char> {
    let text: &[u8] = name;
    match text {
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        _ => name.resolve_char_ref().ok().flatten(),
    }
}

/// An element with a text, as it is written.
pub(crate) fn written(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let body = b"<?xml version=\"1.0\"?>\n<L xmlns=\"x\"><IsTruncated>TRUE</IsTruncated><Part><N>1</N><E>&quot;a&#38;b&quot;</E></Part><Part/></L>";
        let list = Element::parse(body).unwrap();
        assert_eq!((&*list.name, list.is("IsTruncated"), list.all("Part").count()), ("L", true, 2));
        let first = list.all("Part").next().unwrap();
        assert_eq!((first.number_of("N"), first.text_of("E"), first.text_of("X")), (Some(1), Some("\"a&b\""), None));
        assert_eq!(written("E", "\"a<&"), "<E>&quot;a&lt;&amp;</E>");
    }

    #[test]
    fn what_is_no_document_is_not_understood() {
        let deep = "<a>".repeat(100);
        for bad in ["", "no XML", "<a>", "<a><b></a>", "<a>&unknown;</a>", &deep] {
            assert!(Element::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
