//! The parsers, each from bytes to text. Pure, and not to be run outside the helper process.

use std::borrow::Cow;

use html2text::config;
use html2text::render::TrivialDecorator;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::decode::decode;
use crate::media::Format;

/// Lines of HTML are wrapped somewhere; here, where no one sees it.
const LINE: usize = 10_000;

/// Reads the text of a file; the error says in a few words what is wrong with it.
pub(super) fn text_of(format: Format, bytes: &[u8]) -> Result<String, String> {
    match format {
        Format::Plain => Ok(characters(bytes)?.into_owned()),
        Format::Markdown => Ok(markdown(&characters(bytes)?)),
        Format::Html => html(&characters(bytes)?),
        Format::Pdf => pdf_extract::extract_text_from_mem(bytes).map_err(|error| error.to_string()),
    }
}

fn characters(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    decode(bytes).ok_or_else(|| "binary content".to_owned())
}

fn html(source: &str) -> Result<String, String> {
    let body = rendered(source)?;
    // What is rendered is the body alone, but people search for titles.
    match title(source) {
        Some(title) => Ok(format!("{}\n\n{body}", rendered(title)?.trim())),
        None => Ok(body),
    }
}

fn rendered(source: &str) -> Result<String, String> {
    config::with_decorator(TrivialDecorator::new())
        .raw_mode(true)
        .no_link_wrapping()
        .allow_width_overflow()
        .string_from_read(source.as_bytes(), LINE)
        .map_err(|error| error.to_string())
}

fn title(source: &str) -> Option<&str> {
    // ASCII lower case keeps every offset.
    let lower = source.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let start = open + lower[open..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    Some(&source[start..end])
}

fn markdown(source: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut text = String::with_capacity(source.len());
    let mut raw_html = String::new();
    for event in Parser::new_ext(source, options) {
        match event {
            Event::Text(part) | Event::Code(part) | Event::InlineMath(part) | Event::DisplayMath(part) => {
                text.push_str(&part);
            }
            Event::Html(part) => raw_html.push_str(&part),
            Event::End(TagEnd::HtmlBlock) => {
                // What does not parse as HTML is not worth losing the rest for.
                text.push_str(&rendered(&raw_html).unwrap_or_default());
                text.push_str("\n\n");
                raw_html.clear();
            }
            Event::SoftBreak
            | Event::HardBreak
            | Event::Start(Tag::Item)
            | Event::End(TagEnd::TableRow | TagEnd::TableHead) => {
                text.push('\n');
            }
            Event::End(TagEnd::TableCell) => text.push(' '),
            Event::End(
                TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::BlockQuote(_)
                | TagEnd::CodeBlock
                | TagEnd::List(_)
                | TagEnd::Table
                | TagEnd::FootnoteDefinition
                | TagEnd::MetadataBlock(_),
            )
            | Event::Rule => text.push_str("\n\n"),
            // Tags inside a line: their text comes as text.
            Event::InlineHtml(_)
            | Event::Start(_)
            | Event::End(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::normalise::normalise;
    use super::*;

    fn read(format: Format, bytes: &[u8]) -> String {
        normalise(&text_of(format, bytes).unwrap(), 1 << 20)
    }

    #[test]
    fn html_loses_its_tags_scripts_and_styles() {
        let page = r#"<html><head><title>Caf&eacute; list</title><style>p { color: red }</style>
            <script>var hidden = "secret";</script></head>
            <body><h1>Best <b>cafés</b></h1><p>First&nbsp;one</p><p>Second <a href="https://x.example">link</a></p>
            <table><tr><td>Name</td><td>Price</td></tr></table><noscript></noscript><!-- remark --></body></html>"#;
        let text = read(Format::Html, page.as_bytes());
        assert!(text.starts_with("Café list\n\nBest cafés\n\nFirst one\n\nSecond link"), "{text:?}");
        assert!(text.contains("Name") && text.contains("Price"));
        for hidden in ["secret", "color", "remark", "<", "x.example"] {
            assert!(!text.contains(hidden), "{hidden} in {text:?}");
        }
    }

    #[test]
    fn html_in_latin_1_is_read() {
        let page =
            encoding_rs::WINDOWS_1252.encode("<p>Größe und Höhe der Häuser, überall gemessen</p>").0.into_owned();
        assert_eq!(read(Format::Html, &page), "Größe und Höhe der Häuser, überall gemessen");
    }

    #[test]
    fn markdown_loses_its_marks() {
        let source = "---\ntitle: Rows\n---\n# A *house*\n\nSome `code` and [a link](https://x.example).\n\n\
                      - one\n- two\n\n| a | b |\n|---|---|\n| c | d |\n\n```rust\nfn main() {}\n```\n\n\
                      <div>raw <b>html</b></div>\n\nline<br>break";
        let text = read(Format::Markdown, source.as_bytes());
        for kept in
            ["title: Rows", "A house", "Some code and a link.", "one\ntwo", "a b\nc d", "fn main() {}", "raw html"]
        {
            assert!(text.contains(kept), "{kept:?} not in {text:?}");
        }
        for lost in ["#", "*", "`", "x.example", "<", "|"] {
            assert!(!text.contains(lost), "{lost:?} in {text:?}");
        }
    }

    #[test]
    fn a_pdf_gives_its_words() {
        let text = read(Format::Pdf, &minimal_pdf("Hello from a row of houses"));
        assert_eq!(text, "Hello from a row of houses");
    }

    #[test]
    fn a_broken_pdf_is_an_error() {
        assert!(text_of(Format::Pdf, b"%PDF-1.4\nnothing else").is_err());
    }

    #[test]
    fn a_binary_file_called_text_is_an_error() {
        assert_eq!(text_of(Format::Plain, b"a\0b"), Err("binary content".to_owned()));
    }

    /// The smallest file that every reader accepts: catalog, pages, page, content and font, with a correct table.
    fn minimal_pdf(words: &str) -> Vec<u8> {
        let content = format!("BT /F1 24 Tf 72 720 Td ({words}) Tj ET");
        let objects = [
            "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
                .to_owned(),
            format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        ];
        let mut pdf = "%PDF-1.4\n".to_owned();
        let mut offsets = Vec::new();
        for (index, object) in objects.iter().enumerate() {
            offsets.push(pdf.len());
            pdf += &format!("{} 0 obj\n{object}\nendobj\n", index + 1);
        }
        let table = pdf.len();
        pdf += &format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
        for offset in offsets {
            pdf += &format!("{offset:010} 00000 n \n");
        }
        pdf += &format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n", objects.len() + 1);
        pdf.into_bytes()
    }
}
