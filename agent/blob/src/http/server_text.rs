//! What a server wrote, as far as it can be shown: short, and without what may be a secret.

/// Longest text of a server that is repeated, in characters.
const SERVER_TEXT_CHARACTERS_MAX: usize = 200;

/// Longest code of an error, in characters: Azure's have half as many.
const CODE_CHARACTERS_MAX: usize = 80;

/// What stands beside a secret, in small letters.
const SIGNS_OF_SECRETS: [&str; 6] = ["://", "sig=", "sig%3d", "sharedkey", "accountkey", "bearer"];

/// A signature has 44 characters or more in a row, a key 88; names of requests have hyphens.
const SECRET_CHARACTERS_MIN: usize = 40;

/// The first sentence of `<Message>`: what follows repeats the request and the time.
pub(crate) fn server_text(body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    let (_, rest) = body.split_once("<Message>")?;
    let line = rest.split(['\n', '<']).next()?;
    plain(line.split(". ").next()?.trim_end_matches('.'))
}

/// A server's text that can be shown: short, without control characters, and without anything that may be a secret.
pub(crate) fn plain(text: &str) -> Option<String> {
    let displayed: String = text.trim().chars().filter(|character| protocol::text::is_displayed(*character)).collect();
    // Looked for in the whole, and in what would be shown of it: a signature that was cut off, or parted, is one all the same.
    let may_be_shown = !displayed.is_empty() && !may_have_secret(text) && !may_have_secret(&displayed);
    may_be_shown.then(|| displayed.chars().take(SERVER_TEXT_CHARACTERS_MAX).collect())
}

/// Whether a text may repeat a signature, a key or a token. A server knows the first, and a broken one repeats requests.
pub(crate) fn may_have_secret(text: &str) -> bool {
    let small = text.to_ascii_lowercase();
    let is_of_secret = |letter: char| letter.is_ascii_alphanumeric() || "+/=%_".contains(letter);
    SIGNS_OF_SECRETS.iter().any(|sign| small.contains(sign))
        || text.split(|letter| !is_of_secret(letter)).any(|run| run.len() >= SECRET_CHARACTERS_MIN)
}

/// Whether a text can be one of Azure's codes.
pub(crate) fn is_code(text: &str) -> bool {
    text.len() <= CODE_CHARACTERS_MAX && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !text.starts_with("eyJ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_shown_without_secrets() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>X</Code><Message>The lease is \x1b[31mthere. More of it.\nRequestId:1</Message></Error>";
        assert_eq!(server_text(body).as_deref(), Some("The lease is [31mthere"));
        assert_eq!(server_text(b"<Message>look at https://a.example/?sig=abc</Message>"), None);
        let signature = "Xk3vQ0b1c2d3e4f5g6h7i8j9k0l1m2n3o4p5q6r7s8t=";
        for secret in [
            "sig=abc",
            "se=2026&SIG%3Dabc",
            "not SharedKey acme:abc",
            "not Bearer abc",
            signature,
            &format!("'{signature}' is wrong"),
            &signature.replace('=', "%3D"),
            &format!("{} {signature}", "x ".repeat(200)),
        ] {
            assert_eq!(server_text(format!("<Message>{secret}</Message>").as_bytes()), None, "{secret}");
        }
        assert!(is_code("AuthenticationFailed") && is_code(""));
        for no_code in ["a b", "sig=abc", "\u{1b}[31m", "AB-1", &"x".repeat(100)] {
            assert!(!is_code(no_code), "{no_code}");
        }
        assert_eq!(server_text(b"no XML at all"), None);
        let long = format!("<Message>{}</Message>", "x ".repeat(10_000));
        assert_eq!(server_text(long.as_bytes()).map(|text| text.len()), Some(SERVER_TEXT_CHARACTERS_MAX));
    }
}
