//! Media types: what a file really is, judged by its bytes first, its name second and its sender last. Pure.

use std::fmt;

/// Best guess where nothing is known.
const BINARY: &str = "application/octet-stream";

/// A media type without parameters, in lower case, such as `text/markdown`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaType(String);

/// How a media type's text is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The content is text already.
    Plain,
    /// Markdown.
    Markdown,
    /// HTML and XHTML.
    Html,
    /// PDF.
    Pdf,
}

impl MediaType {
    /// Reads `type/subtype`, dropping parameters; anything else is none.
    pub fn parse(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        let is_token = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        (essence.len() <= 127 && is_token(kind) && is_token(subtype)).then_some(Self(essence))
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How to get at the text of such a file; none where we can't.
    pub fn format(&self) -> Option<Format> {
        match self.as_str() {
            "text/markdown" => Some(Format::Markdown),
            "text/html" | "application/xhtml+xml" => Some(Format::Html),
            "application/pdf" => Some(Format::Pdf),
            other if is_textual(other) => Some(Format::Plain),
            _ => None,
        }
    }

    /// Whether a browser may run code from such a file.
    pub fn is_active(&self) -> bool {
        let essence = self.as_str();
        matches!(essence, "text/html" | "text/xml" | "application/xml" | "text/xsl" | "application/x-shockwave-flash")
            || essence.ends_with("+xml")
            || essence.contains("javascript")
            || essence.contains("ecmascript")
    }

    /// Whether a browser may show such a file instead of saving it.
    pub fn may_be_shown(&self) -> bool {
        matches!(
            self.as_str(),
            "image/png" | "image/jpeg" | "image/gif" | "image/webp" | "application/pdf" | "text/plain"
        )
    }

    fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether the text of a content of this media type can be got at.
pub fn is_readable(mime_type: &str) -> bool {
    MediaType::parse(mime_type).is_some_and(|media_type| media_type.format().is_some())
}

/// Judges a file by its first bytes (a few KiB suffice), its name and what its sender says it is.
///
/// Bytes win over names, names over senders. A sender is believed only where the bytes don't contradict and the type
/// is harmless: nobody makes a file active by calling it so.
pub fn media_type(name: &str, declared: Option<&str>, first_bytes: &[u8]) -> MediaType {
    let by_name = mime_guess::from_path(name).first_raw().and_then(MediaType::parse);
    if let Some(sniffed) = infer::get(first_bytes).and_then(|kind| MediaType::parse(kind.mime_type())) {
        return refine(sniffed, by_name);
    }
    if looks_like_text(first_bytes) {
        // Names of types with a signature (a text called `a.png`) and of others (`a.ts`, which is also a video) don't count.
        let textual = |media_type: &MediaType| is_textual(media_type.as_str());
        return by_name
            .filter(textual)
            .or_else(|| declared.and_then(MediaType::parse).filter(|kind| textual(kind) && !kind.is_active()))
            .unwrap_or_else(|| MediaType::of("text/plain"));
    }
    // Binary, and of no signature that we know: only types that we could not have recognised are left.
    let unrecognised = |media_type: &MediaType| !is_textual(media_type.as_str()) && !has_signature(media_type.as_str());
    by_name
        .filter(unrecognised)
        .or_else(|| declared.and_then(MediaType::parse).filter(|kind| unrecognised(kind) && !kind.is_active()))
        .unwrap_or_else(|| MediaType::of(BINARY))
}

/// A container's signature says less than its name: a `.docx` is a ZIP file, an `.svg` XML, a script text.
fn refine(sniffed: MediaType, by_name: Option<MediaType>) -> MediaType {
    let Some(by_name) = by_name else {
        return sniffed;
    };
    let named = by_name.as_str();
    let inside = match sniffed.as_str() {
        "application/zip" => {
            named.starts_with("application/vnd.")
                || named.ends_with("+zip")
                || matches!(named, "application/java-archive" | "application/x-java-archive")
        }
        "text/xml" | "application/xml" => named.ends_with("xml") || named == "text/html",
        "text/html" => named == "application/xhtml+xml",
        "text/x-shellscript" => is_textual(named) && !by_name.is_active(),
        _ => false,
    };
    if inside { by_name } else { sniffed }
}

/// Types whose files begin with bytes that `infer` would have known.
fn has_signature(essence: &str) -> bool {
    ["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "application/zip", "application/gzip"]
        .contains(&essence)
        || essence.starts_with("application/vnd.openxmlformats")
        || essence.starts_with("application/vnd.oasis")
}

/// Types whose files are text in some encoding.
fn is_textual(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || [
            "application/graphql",
            "application/javascript",
            "application/json",
            "application/json5",
            "application/sql",
            "application/toml",
            "application/x-csh",
            "application/x-httpd-php",
            "application/x-javascript",
            "application/x-ndjson",
            "application/x-perl",
            "application/x-sh",
            "application/x-sql",
            "application/x-subrip",
            "application/x-tcl",
            "application/x-tex",
            "application/x-toml",
            "application/x-yaml",
            "application/xml",
            "application/yaml",
        ]
        .contains(&essence)
}

/// Whether the beginning of a file could be text: it announces UTF-16, is UTF-8, or has none of a binary's control codes.
pub(crate) fn looks_like_text(first_bytes: &[u8]) -> bool {
    if encoding_rs::Encoding::for_bom(first_bytes).is_some() {
        return true;
    }
    let is_control = |byte: &u8| *byte < 0x20 && !b"\t\n\r\x0c\x1b".contains(byte) || *byte == 0x7f;
    let controls = first_bytes.iter().filter(|byte| is_control(byte)).count();
    let is_utf8 = match std::str::from_utf8(first_bytes) {
        Ok(_) => true,
        // The last character may be cut off.
        Err(error) => error.error_len().is_none(),
    };
    // A log may hold a stray control code; a NUL, or any at all in an unknown encoding, means binary.
    !first_bytes.contains(&0) && if is_utf8 { controls * 50 <= first_bytes.len() } else { controls == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    fn check(name: &str, declared: Option<&str>, bytes: &[u8], expected: &str) {
        assert_eq!(media_type(name, declared, bytes).as_str(), expected, "{name} {declared:?}");
    }

    #[test]
    fn bytes_win_over_name_and_sender() {
        check("a.html", Some("text/html"), PNG, "image/png");
        check("a.txt", Some("text/plain"), b"%PDF-1.4\n", "application/pdf");
        check("a.png", Some("image/png"), b"<!DOCTYPE html><html></html>", "text/html");
        check("a.png", Some("image/png"), b"just words", "text/plain");
        check("a.pdf", Some("application/pdf"), &[0, 1, 2, 3], BINARY);
    }

    #[test]
    fn names_tell_kinds_of_text_apart() {
        check("README.md", None, b"# Title", "text/markdown");
        check("V1__init.sql", None, b"create table a (b int);", "application/x-sql");
        check("main.rs", None, b"fn main() {}", "text/x-rust");
        check("Cargo.toml", None, b"[package]", "text/x-toml");
        check("a.json", None, b"{}", "application/json");
        check("Makefile", None, b"all:\n\tcargo build", "text/plain");
        // To the list of names this is a video.
        check("index.ts", None, b"export const a = 1;", "text/plain");
        check("run.sh", None, b"#!/bin/sh\necho", "application/x-sh");
    }

    #[test]
    fn senders_are_believed_only_about_harmless_types() {
        check("noname", Some("text/csv; charset=utf-8"), b"a,b\n1,2", "text/csv");
        check("noname", Some("text/html"), b"a <b>bold</b> claim", "text/plain");
        check("noname", Some("image/svg+xml"), b"words", "text/plain");
        check("noname", Some("application/x-unheard-of"), &[0, 1, 2], "application/x-unheard-of");
        check("noname", Some("not a type"), &[0, 1, 2], BINARY);
        check("noname", None, b"", "text/plain");
    }

    #[test]
    fn containers_are_named_by_their_extension() {
        check("a.svg", None, b"<?xml version=\"1.0\"?><svg/>", "image/svg+xml");
        let zip = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0";
        check("a.epub", None, zip, "application/epub+zip");
        check("a.html", None, zip, "application/zip");
    }

    #[test]
    fn encodings_other_than_utf8_are_text() {
        assert!(looks_like_text(b"Gr\xfc\xdfe aus K\xf6ln"));
        assert!(looks_like_text(b"\xff\xfeh\0i\0"));
        assert!(looks_like_text("Grüße".as_bytes().split_last().unwrap().1));
        assert!(looks_like_text("日本".as_bytes().split_last().unwrap().1));
        assert!(!looks_like_text(b"\x01\x02\x03\xff"));
        assert!(!looks_like_text(b"words\0words"));
    }

    #[test]
    fn formats_follow_types() {
        let format = |text: &str| MediaType::parse(text).unwrap().format();
        assert_eq!(format("Text/Markdown; charset=utf-8"), Some(Format::Markdown));
        assert_eq!(format("text/x-rust"), Some(Format::Plain));
        assert_eq!(format("application/ld+json"), Some(Format::Plain));
        assert_eq!(format("image/png"), None);
        assert!(MediaType::parse("image/svg+xml").unwrap().is_active());
        assert!(!MediaType::parse("image/svg+xml").unwrap().may_be_shown());
    }
}
