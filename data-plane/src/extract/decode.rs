//! Bytes to characters. Pure.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::Encoding;

/// How much of a file the guess of its encoding looks at.
const SAMPLE: usize = 256 * 1024;

/// Turns a text file into a string: by its byte order mark, else as UTF-8, else by a guess. A binary file is none.
pub(super) fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return Some(encoding.decode_without_bom_handling(&bytes[mark..]).0);
    }
    // No encoding without a mark that we read has NULs.
    if bytes.contains(&0) {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => return Some(Cow::Borrowed(text)),
        // Cut at the limit in the middle of a character.
        Err(error) if error.error_len().is_none() => return Some(String::from_utf8_lossy(bytes)),
        Err(_) => {}
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(&bytes[..bytes.len().min(SAMPLE)], true);
    Some(detector.guess(None, Utf8Detection::Allow).decode_without_bom_handling(bytes).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_finds_its_characters() {
        let german = "Über die Größe der Häuser in Köln läßt sich schön streiten.";
        let russian = "Дом стоит на улице, и у каждого дома своя дверь.";
        let check = |bytes: &[u8], expected: &str| assert_eq!(decode(bytes).as_deref(), Some(expected));
        check(german.as_bytes(), german);
        check(&encoding_rs::WINDOWS_1252.encode(german).0, german);
        check(&encoding_rs::WINDOWS_1251.encode(russian).0, russian);
        check(&encoding_rs::SHIFT_JIS.encode("東京都庁舎は新宿区にあります。").0, "東京都庁舎は新宿区にあります。");
        check(&[b"\xef\xbb\xbf".as_slice(), german.as_bytes()].concat(), german);
        let utf16: Vec<u8> = "\u{feff}Größe".encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(&utf16, "Größe");
        check(b"", "");
    }

    #[test]
    fn a_binary_file_has_no_text() {
        assert_eq!(decode(b"abc\0def"), None);
    }
}
