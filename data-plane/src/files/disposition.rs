//! `Content-Disposition` (RFC 6266): how a browser is told to save a file and under which name. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the `attr-char`s of RFC 8187 §3.2.1.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Whether a browser may show the content or is to save it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Save it.
    Attachment,
    /// Show it.
    Inline,
}

/// The header's value: a plain name for old clients, and the real one in UTF-8 (RFC 8187).
pub(super) fn content_disposition(disposition: Disposition, name: &str) -> String {
    let kind = match disposition {
        Disposition::Attachment => "attachment",
        Disposition::Inline => "inline",
    };
    let plain: String = name
        .chars()
        // A quote, a backslash or a percent sign would be read in more than one way.
        .map(
            |letter| if letter.is_ascii_graphic() && !"\"\\%".contains(letter) || letter == ' ' { letter } else { '_' },
        )
        .collect();
    if plain == name {
        return format!("{kind}; filename=\"{plain}\"");
    }
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ENCODED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_and_nothing_breaks_out() {
        for (name, expected) in [
            ("report.pdf", "attachment; filename=\"report.pdf\""),
            ("Q3 report.pdf", "attachment; filename=\"Q3 report.pdf\""),
            ("a\"b.txt", "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
            ("Ä.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%84.txt"),
            ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ] {
            assert_eq!(content_disposition(Disposition::Attachment, name), expected);
        }
        assert!(content_disposition(Disposition::Inline, "x").starts_with("inline;"));
    }
}
