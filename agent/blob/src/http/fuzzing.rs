//! What fuzz targets try of lists, whichever store they are of.

use super::listing;
use super::xml::Element;

/// Key and size of an object.
type Object = (String, u64);

/// The objects of a page of a list, and where it continues; `None` where it is not one.
pub fn objects_of_page(xml: &[u8]) -> Option<(Vec<Object>, Option<String>)> {
    let page = listing::objects_of_page(&Element::parse(xml).ok()?)?;
    Some((page.items.into_iter().map(|object| (object.key, object.size_bytes)).collect(), page.next))
}
