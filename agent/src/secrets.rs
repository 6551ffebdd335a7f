//! Secrets that a text repeats, such as the signature of an address that came in the wrong place.

use std::borrow::Cow;

use blob::BlobAddress;

/// What stands before a secret, in small letters.
const BEFORE_SECRETS: [&str; 7] =
    ["sig=", "sig%3d", "sharedkey ", "bearer ", "accountkey=", "client_secret=", "client_assertion="];

/// What ends a secret, and an address.
const AFTER_SECRETS: &[char] = &[' ', '\t', '\r', '\n', '&', ';', '"', '\'', '`', ',', '<', '>', '{', '}'];

const REDACTED: &str = "REDACTED";

/// What messages show in the place of a user and a password, so that it is seen how they are written.
const PLACEHOLDER: &str = "NAME:PASSWORD";

/// What stands before the host of an address.
const BEFORE_HOST: &str = "://";

/// The text with every secret replaced that says of itself what it is.
pub(crate) fn redacted(text: &str) -> String {
    // Letters of ASCII alone change, so places in both are the same.
    let small = text.to_ascii_lowercase();
    let (mut shown, mut done) = (String::with_capacity(text.len()), 0);
    while let Some(begin) = next_secret(&small, done) {
        shown += &text[done..begin];
        let end = end_of(text, begin);
        if end > begin {
            shown += REDACTED;
        }
        done = end;
    }
    shown + &text[done..]
}

/// Where the next secret from `start` on begins.
fn next_secret(small: &str, start: usize) -> Option<usize> {
    let begins = BEFORE_SECRETS.iter().filter_map(|before| Some(start + small[start..].find(before)? + before.len()));
    begins.min()
}

fn end_of(text: &str, begin: usize) -> usize {
    text[begin..].find(AFTER_SECRETS).map_or(text.len(), |length| begin + length)
}

/// The same, and no user name and password in an address either.
pub(crate) fn without_secrets(text: &str) -> Cow<'_, str> {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(begin) = rest.find(BEFORE_HOST) {
        let (before, address) = rest.split_at(begin + BEFORE_HOST.len());
        let end = address.find(['/', '?', '#']).unwrap_or(address.len()).min(end_of(address, 0));
        let (authority, after) = address.split_at(end);
        shown += before;
        match authority.rsplit_once('@') {
            Some((user, host)) if user != PLACEHOLDER => shown += &format!("{REDACTED}@{host}"),
            _ => shown += authority,
        }
        rest = after;
    }
    shown += rest;
    let shown = redacted(&shown);
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

/// A BLOB as it may be shown: a signature is a secret.
pub(crate) fn without_query(text: &str) -> String {
    match BlobAddress::parse(text) {
        Ok(BlobAddress::Azure(address)) if address.sas.is_some() => address.url().to_string(),
        Ok(_) => text.to_owned(),
        Err(_) => text.split_once('?').map_or(text, |(before, _)| before).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_say_what_they_are_are_left_out() {
        for (text, shown) in [
            ("GET /c/n?sv=1&sig=a%2Bb%3D&se=2 HTTP/1.1\n", "GET /c/n?sv=1&sig=REDACTED&se=2 HTTP/1.1\n"),
            ("x?SIG=abc", "x?SIG=REDACTED"),
            ("to=%2Fn%3Fsig%3Dabc%253D next", "to=%2Fn%3Fsig%3DREDACTED next"),
            ("{ authorization: SharedKey acme:Zm9v= }", "{ authorization: SharedKey REDACTED }"),
            ("\"Bearer eyJ.a.b\", bearer dat_1", "\"Bearer REDACTED\", bearer REDACTED"),
            ("AccountKey=Zm9v==;sig=", "AccountKey=REDACTED;sig="),
            ("ünïcode sig=ü sig=sig=x", "ünïcode sig=REDACTED sig=REDACTED"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn passwords_in_addresses_are_left_out() {
        for (text, shown) in [
            ("`http://u:p@h:1/c@d?sig=s` is not", "`http://REDACTED@h:1/c@d?sig=REDACTED` is not"),
            ("'http://u:p@q@h' and http://v:w@i?x@y", "'http://REDACTED@h' and http://REDACTED@i?x@y"),
            ("http://h/c a@b", "http://h/c a@b"),
            ("write http://NAME:PASSWORD@HOST:PORT", "write http://NAME:PASSWORD@HOST:PORT"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }

    #[test]
    fn a_signature_is_never_shown() {
        assert_eq!(without_query("https://a.blob.core.windows.net/c/n?sig=SECRET"), "https://a.blob.core.windows.net/c/n");
        assert_eq!(without_query("/store/what?.img"), "/store/what?.img");
    }
}
