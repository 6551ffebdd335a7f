//! Pages of vital product data, as the kernel keeps them under /sys.

/// Where the content of a page begins: its code and its length stand before (SPC-5, 7.7).
const CONTENT: usize = 4;

/// The serial number in page 80h (SPC-5, 7.7, Unit Serial Number).
pub(crate) fn serial_of_page_80(page: &[u8]) -> Option<String> {
    let content = content(page)?;
    let text = String::from_utf8_lossy(content).trim_matches(|letter: char| letter == '\0' || letter.is_whitespace()).to_owned();
    (!text.is_empty()).then_some(text)
}

/// The serial number of an ATA drive in page 83h: in the T10 designator that a translator makes of what IDENTIFY DEVICE
/// told, which is `ATA`, model and serial number (SAT-4, 10, Device Identification page).
pub(super) fn ata_serial_of_page_83(page: &[u8]) -> Option<String> {
    const VENDOR: &[u8] = b"ATA     ";
    const MODEL_BYTES: usize = 40;
    const SERIAL_BYTES: usize = 20;
    let mut rest = content(page)?;
    loop {
        // SPC-5, 7.7, Device Identification: association and type in byte 1, the length in byte 3.
        let (kind, length) = (*rest.get(1)? & 0x3f, usize::from(*rest.get(3)?));
        let designator = rest.get(4..4 + length)?;
        let is_t10_of_the_drive = kind == 0x01;
        if is_t10_of_the_drive && designator.starts_with(VENDOR) && length == VENDOR.len() + MODEL_BYTES + SERIAL_BYTES {
            let serial = designator.get(VENDOR.len() + MODEL_BYTES..)?;
            let text = String::from_utf8_lossy(serial).trim().to_owned();
            return (!text.is_empty()).then_some(text);
        }
        rest = rest.get(4 + length..)?;
    }
}

fn content(page: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let rest = page.get(CONTENT..)?;
    Some(rest.get(..length).unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_number_of_page_80_is_trimmed() {
        assert_eq!(serial_of_page_80(b"\0\x80\0\x08 ZA1234X").as_deref(), Some("ZA1234X"));
        assert_eq!(serial_of_page_80(b"\0\x80\0\x04ABCDEFGH").as_deref(), Some("ABCD"), "what follows does not belong to it");
        assert_eq!(serial_of_page_80(b"\0\x80\x00\x40ABCD").as_deref(), Some("ABCD"), "truncated");
        for nothing in [&b""[..], b"\0\x80", b"\0\x80\0\0", b"\0\x80\0\x04    ", b"\0\x80\0\x04\0\0\0\0"] {
            assert_eq!(serial_of_page_80(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn only_the_designator_of_an_ata_drive_tells_its_serial_number() {
        let designator = |kind: u8, text: &str| {
            let mut bytes = vec![0x02, kind, 0, text.len() as u8];
            bytes.extend_from_slice(text.as_bytes());
            bytes
        };
        let page = |parts: &[Vec<u8>]| {
            let content = parts.concat();
            [&[0, 0x83, 0, content.len() as u8][..], &content].concat()
        };
        let ata = format!("ATA     {:<40}{:>20}", "WDC WD40EFRX", "WD-WXA1");
        let naa = designator(0x03, "12345678");
        let serial = |parts: &[Vec<u8>]| ata_serial_of_page_83(&page(parts));
        assert_eq!(serial(&[naa.clone(), designator(0x01, &ata)]).as_deref(), Some("WD-WXA1"));
        assert_eq!(serial(&[designator(0x11, &ata)]), None, "that of the port");
        assert_eq!(serial(&[designator(0x01, "SABRENT DB98765432146")]), None);
        assert_eq!(serial(&[naa]), None);
        let whole = page(&[designator(0x01, &ata)]);
        assert_eq!(ata_serial_of_page_83(&whole[..40]), None, "truncated");
        assert_eq!(ata_serial_of_page_83(&[0xff; 64]), None);
        assert_eq!(ata_serial_of_page_83(&[]), None);
    }
}
