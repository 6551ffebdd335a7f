//! Text that others wrote, and that people will read: in a table, on a page, in a log.

/// Whether a letter stands for itself wherever it is shown. False for what ends a line, moves a cursor, or turns the text
/// around it: control characters (Unicode's Cc), separators of lines and paragraphs, and the marks of Unicode's
/// bidirectional algorithm (UAX #9, section 2) with the invisible letters of the same block.
pub fn is_displayed(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether the name of a subscription or token is one word that can be read aloud: 1 to 128 ASCII letters, digits and
/// signs, and none that is part of a path.
pub fn is_word(text: &str) -> bool {
    const BYTES_MAX: usize = 128;
    let is_part = |letter: char| letter.is_ascii_graphic() && !"/\\?#%".contains(letter);
    (1..=BYTES_MAX).contains(&text.len()) && text.chars().all(is_part) && !matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_every_language_are_displayed() {
        assert!("Straße 東京 عربى עברית é \u{1f4e6}".chars().all(is_displayed));
    }

    #[test]
    fn what_forges_a_row_or_turns_it_around_is_not() {
        for letter in ['\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{200f}', '\u{2028}', '\u{202e}', '\u{2066}'] {
            assert!(!is_displayed(letter), "{letter:?}");
        }
    }

    #[test]
    fn words_are_no_paths() {
        assert!(is_word("4c4b4f5e-0000-4000-8000-1b2c3d4e5f60") && is_word("jobs@acme.example") && is_word(&"a".repeat(128)));
        for text in ["", ".", "..", "a/b", "a b", "a?b", "%2e", "é", "a\nb", &"a".repeat(129)] {
            assert!(!is_word(text), "{text}");
        }
    }
}
