//! Lists that come in pages: every page says where the next one is, and a service that is not what it seems could continue
//! for ever, or name a place of another host.

use std::collections::HashSet;

use reqwest::Url;

use super::error::ClientError;

/// Most pages of one list: a million jobs.
const PAGES_MAX: usize = 10_000;

/// Most bytes of one list: a hundred thousand jobs of the usual length, twice.
const LIST_BYTES_MAX: usize = 1 << 30;

/// The pages of one list that were read.
pub(super) struct Pages {
    place: Url,
    links: HashSet<String>,
    bytes: usize,
}

impl Pages {
    /// Of the list at a place.
    pub(super) fn of(place: Url) -> Self {
        Pages { place, links: HashSet::new(), bytes: 0 }
    }

    /// Counts a page; gives where the next one is. Of a link only what it says of the place in the list is taken: whatever
    /// host and path it names, the token goes to where the list was asked for.
    pub(super) fn next(&mut self, page_bytes: usize, link: Option<&str>) -> Result<Option<Url>, ClientError> {
        self.bytes += page_bytes;
        let Some(link) = link else { return Ok(None) };
        let endless = || ClientError::Failed("the job service's list has no end".to_owned());
        let parsed =
            Url::parse(link).map_err(|error| ClientError::Failed(format!("the link to the next page is not a URL: {error}")))?;
        let query = parsed.query().unwrap_or_default();
        let is_new = self.links.insert(query.to_owned());
        if !is_new || self.links.len() >= PAGES_MAX || self.bytes > LIST_BYTES_MAX {
            return Err(endless());
        }
        let mut next = self.place.clone();
        next.set_query(Some(query));
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Pages {
        Pages::of(Url::parse("https://station.example/jobs?api-version=1").unwrap())
    }

    #[test]
    fn a_link_leads_to_no_other_host_and_no_other_path() {
        let next = pages().next(0, Some("http://evil.example:1/secrets?$skiptoken=7")).unwrap().unwrap();
        assert_eq!(next.as_str(), "https://station.example/jobs?$skiptoken=7");
        assert!(pages().next(0, None).unwrap().is_none());
        assert!(pages().next(0, Some("/jobs?$skiptoken=7")).is_err());
    }

    #[test]
    fn a_list_has_an_end() {
        let link = |page: usize| format!("https://station.example/jobs?$skiptoken={page}");
        let mut repeated = pages();
        for page in [1, 2, 3] {
            repeated.next(0, Some(&link(page))).unwrap();
        }
        assert!(repeated.next(0, Some(&link(2))).unwrap_err().to_string().contains("no end"));
        let mut endless = pages();
        assert_eq!((1..).take_while(|page| endless.next(0, Some(&link(*page))).is_ok()).count(), PAGES_MAX - 1);
        let mut long = pages();
        long.next(LIST_BYTES_MAX, Some(&link(1))).unwrap();
        assert!(long.next(1, Some(&link(2))).is_err());
    }
}
