//! Text cut into chunks that are embedded and found one by one. Pure.

use text_splitter::{ChunkConfig, TextSplitter};

/// Characters of a chunk: a few paragraphs, enough to stand alone in a list of hits.
const SIZE: usize = 1000;

/// Characters that a chunk shares with the one before, so that a sentence on the border is whole in one of them.
const OVERLAP: usize = 100;

/// Chunks of one file; the text beyond them is found by its words only.
pub const MAX_CHUNKS: usize = 2000;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'text> {
    /// Where it begins, in bytes.
    pub offset: usize,
    /// Its characters.
    pub text: &'text str,
}

/// Bytes that the splitter sees at once. It looks at all that is left of a paragraph again for each chunk: four
/// megabytes without a line's end took it minutes, cut like this a fraction of a second.
const SEGMENT: usize = 8 * 1024;

/// Cuts a text at paragraphs, sentences or words, whichever is the largest that fits.
pub fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let config = ChunkConfig::new(SIZE).with_overlap(OVERLAP).expect("the overlap is smaller than the size");
    let splitter = TextSplitter::new(config);
    segments(text)
        .flat_map(|(start, segment)| {
            splitter.chunk_indices(segment).map(move |(offset, text)| Chunk { offset: start + offset, text })
        })
        .take(MAX_CHUNKS)
        .collect()
}

/// Cuts a text into large pieces, after a paragraph where there is one, else after a line, a word, or anywhere.
fn segments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &text[start..];
        if rest.is_empty() {
            return None;
        }
        let window = &rest[..rest.floor_char_boundary(SEGMENT)];
        let end = if window.len() == rest.len() {
            rest.len()
        } else {
            // Not too early, or a page of short paragraphs would become many segments.
            let late = window.floor_char_boundary(SEGMENT / 2);
            let after = |mark: &str| window[late..].rfind(mark).map(|at| late + at + mark.len());
            after("\n\n").or_else(|| after("\n")).or_else(|| after(" ")).unwrap_or(window.len())
        };
        let segment = (start, &rest[..end]);
        start += end;
        Some(segment)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_is_one_chunk_and_an_empty_one_none() {
        assert_eq!(chunks("A house."), [Chunk { offset: 0, text: "A house." }]);
        assert_eq!(chunks(" \n "), []);
    }

    #[test]
    fn a_long_text_is_cut_between_sentences_and_overlaps() {
        let text = "Every house in the row has its own door. ".repeat(100);
        let chunks = chunks(&text);
        assert!(chunks.len() >= 4);
        for pair in chunks.windows(2) {
            assert!(pair[1].offset < pair[0].offset + pair[0].text.len(), "chunks overlap");
            assert!(pair[0].text.ends_with("door."), "{:?}", pair[0].text);
        }
    }

    #[test]
    fn a_huge_text_has_an_end_also_without_paragraphs_or_words() {
        assert_eq!(chunks(&"word and word. ".repeat(200_000)).len(), MAX_CHUNKS);
        assert!(chunks(&"é".repeat(100_000)).len() >= 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn chunks_lie_where_they_say_and_miss_nothing(text in "([a-zé .\n]{0,40}|\n\n|x{500}){0,100}") {
            let mut covered = 0;
            for chunk in chunks(&text) {
                prop_assert_eq!(&text[chunk.offset..chunk.offset + chunk.text.len()], chunk.text);
                prop_assert!(chunk.text.chars().count() <= SIZE);
                prop_assert!(chunk.offset <= covered || text[covered..chunk.offset].trim().is_empty());
                covered = covered.max(chunk.offset + chunk.text.len());
            }
            prop_assert!(text[covered..].trim().is_empty());
        }
    }
}
