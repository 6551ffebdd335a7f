//! What is logged, without secrets: libraries log what servers answer, and a server may repeat what it was sent.

use std::io::{self, Stderr, Write};

/// What stands before a secret, in small letters.
const BEFORE_SECRETS: [&str; 7] =
    ["sig=", "sig%3d", "sharedkey ", "bearer ", "accountkey=", "client_secret=", "client_assertion="];

/// What ends a secret.
const AFTER_SECRETS: &[char] = &[' ', '\t', '\r', '\n', '&', ';', '"', '\'', '`', ',', '<', '>', '{', '}'];

const REDACTED: &str = "REDACTED";

/// Standard error, for log lines. Each write is one event or more.
pub(crate) struct LogWriter(Stderr);

impl LogWriter {
    pub(crate) fn new() -> Self {
        LogWriter(io::stderr())
    }
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(redacted(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with every secret replaced that says of itself what it is.
fn redacted(text: &str) -> String {
    // Letters of ASCII alone change, so places in both are the same.
    let small = text.to_ascii_lowercase();
    let (mut shown, mut done) = (String::with_capacity(text.len()), 0);
    while let Some(begin) = next_secret(&small, done) {
        shown += &text[done..begin];
        let end = text[begin..].find(AFTER_SECRETS).map_or(text.len(), |length| begin + length);
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
}
