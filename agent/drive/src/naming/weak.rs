//! Serial numbers that no maker gave a drive.

/// Letters and digits that a serial number has at least.
const LETTERS_MIN: usize = 4;

/// From here on, two different characters in all are a filling and no number.
const FILLING_LETTERS_MIN: usize = 8;

/// Words in place of a number, without blanks and signs.
const WORDS: [&str; 17] = [
    "DEFAULT",
    "DEFAULTSTRING",
    "EXAMPLE",
    "INVALID",
    "NONE",
    "NOSERIAL",
    "NOTAPPLICABLE",
    "NOTAVAILABLE",
    "NOTSPECIFIED",
    "NULL",
    "SERIAL",
    "SERIALNO",
    "SERIALNUMBER",
    "SYSTEMSERIALNUMBER",
    "TEST",
    "UNDEFINED",
    "UNKNOWN",
];

/// What firmware has where the vendor filled nothing in (`To Be Filled By O.E.M.`).
const UNFILLED: &str = "TOBEFILLED";

/// Whether a serial number is too short to be a drive's.
pub(super) fn is_too_short(serial: &str) -> bool {
    letters(serial).len() < LETTERS_MIN
}

/// Whether a serial number is a filling: one character again and again, counted digits or letters, a word for none.
pub(super) fn is_placeholder(serial: &str) -> bool {
    let letters = letters(serial);
    let text: String = letters.iter().collect();
    if WORDS.contains(&text.as_str()) || text.starts_with(UNFILLED) {
        return true;
    }
    let mut kinds = letters.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let is_filling = kinds.len() == 1 || (kinds.len() == 2 && letters.len() >= FILLING_LETTERS_MIN);
    letters.len() >= LETTERS_MIN && (is_filling || is_counted(&letters))
}

/// Letters and digits, as capitals: signs and blanks are written or left out as one likes.
fn letters(serial: &str) -> Vec<char> {
    serial.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect()
}

/// Each character follows on the one before it, up or down: in decimal digits, hexadecimal digits, or the alphabet.
fn is_counted(letters: &[char]) -> bool {
    [(10, 10), (16, 16), (36, 36)].iter().any(|&(radix, modulus)| {
        let digits: Option<Vec<u32>> = letters.iter().map(|letter| letter.to_digit(radix)).collect();
        digits.is_some_and(|digits| {
            let all = |step: u32| digits.windows(2).all(|pair| (pair[0] + step) % modulus == pair[1]);
            all(1) || all(modulus - 1)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fillings_are_told_from_numbers() {
        for filling in [
            "000000000000",
            "0000",
            "FFFFFFFFFFFF",
            "xxxxxxxx",
            "0123456789",
            "0123456789ABCDEF",
            "0123456789abcdef0123456789abcdef",
            "123456789012",
            "12345678901234567890",
            "1234",
            "987654321",
            "FEDCBA9876543210",
            "ABCDEFGH",
            "000000000001",
            "0101010101",
            "none",
            "None.",
            "N-U-L-L",
            "default",
            "Default string",
            "To Be Filled By O.E.M.",
            "Serial Number",
            "Not Specified",
            "unknown",
            "00-00-00-00",
        ] {
            assert!(is_placeholder(filling), "{filling}");
        }
        for number in [
            "WD-WXA1A23B4567",
            "ZA1234X",
            "S5GXNX0R123456",
            "20322E8C1234",
            "K1GZ601D",
            "Z1F0",
            "1832E14CEB27",
            "0025385B71B0A1C2",
            "PHYG1234001234AB",
            "1124",
            "0011",
        ] {
            assert!(!is_placeholder(number) && !is_too_short(number), "{number}");
        }
    }

    #[test]
    fn a_number_has_at_least_four_letters_or_digits() {
        for short in ["", "   ", "1", "A-1", "0 0 1", "...........", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"] {
            assert!(is_too_short(short), "{short:?}");
        }
        assert!(!is_too_short("A-1-B-2"));
    }
}
