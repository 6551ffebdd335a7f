//! Sentences, as they stand on a page.

use std::fmt::Write;

use askama::filters::{Escaper, Html, HtmlSafeOutput};

/// A sentence for a page: what stands between backquotes in a terminal is set as code.
pub(super) fn sentence(text: &str) -> HtmlSafeOutput<String> {
    let mut html = String::new();
    let parts: Vec<&str> = text.split('`').collect();
    // With an odd number of backquotes, the last one encloses nothing.
    let is_paired = parts.len() % 2 == 1;
    for (index, part) in parts.iter().enumerate() {
        let (is_code, is_last) = (index % 2 == 1, index + 1 == parts.len());
        let tags = match is_code {
            true if !is_last || is_paired => ("<code>", "</code>"),
            true => ("`", ""),
            false => ("", ""),
        };
        // Nothing fails that is written into a string.
        let _ = html.write_str(tags.0).and_then(|()| Html.write_escaped_str(&mut html, part));
        html.push_str(tags.1);
    }
    HtmlSafeOutput(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_code_and_nothing_in_a_sentence_is_a_tag() {
        for (text, html) in [
            ("", ""),
            ("the drive is done", "the drive is done"),
            ("take it out of `bay-1`, and send it back", "take it out of <code>bay-1</code>, and send it back"),
            ("`<b>` & `x`", "<code>&#60;b&#62;</code> &#38; <code>x</code>"),
            ("it's one ` alone", "it&#39;s one ` alone"),
            ("`a` and ` alone <", "<code>a</code> and ` alone &#60;"),
            ("``", "<code></code>"),
        ] {
            assert_eq!(sentence(text).0, html, "{text}");
        }
    }
}
