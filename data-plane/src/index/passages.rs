//! A text as passages with their vectors. Pure, and heavy: for a blocking thread.

use pgvector::Vector;

use crate::{chunk, embed};

/// A text cut up and embedded.
#[derive(Debug, Default)]
pub(super) struct Passages {
    /// The whole text.
    pub(super) text: String,
    /// Each passage: its number, its text, and its vector.
    pub(super) passages: Vec<Passage>,
}

/// A part of a text that is found by itself.
#[derive(Debug)]
pub(super) struct Passage {
    /// Where in `text` it is.
    range: std::ops::Range<usize>,
    vector: Vector,
}

impl Passages {
    /// Cuts and embeds a text. A passage without a word has no vector and is left out.
    pub(super) fn of(text: String) -> Self {
        let passages = chunk::chunks(&text)
            .into_iter()
            .filter_map(|chunk| {
                let range = chunk.offset..chunk.offset + chunk.text.len();
                Some(Passage { range, vector: Vector::from(embed::embed(chunk.text)?) })
            })
            .collect();
        Self { text, passages }
    }

    /// The texts of a run of passages.
    pub(super) fn texts<'a>(&'a self, passages: &'a [Passage]) -> Vec<&'a str> {
        passages.iter().map(|passage| &self.text[passage.range.clone()]).collect()
    }

    /// The mean of the passages' directions, with length one; none where there is none or they cancel out.
    pub(super) fn mean(&self) -> Option<Vector> {
        let mut sum = vec![0.0_f32; embed::DIMENSIONS];
        for passage in &self.passages {
            for (total, value) in sum.iter_mut().zip(passage.vector.as_slice()) {
                *total += value;
            }
        }
        let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        if norm < f32::EPSILON {
            return None;
        }
        sum.iter_mut().for_each(|value| *value /= norm);
        Some(Vector::from(sum))
    }
}

/// The vectors of a run of passages.
pub(super) fn vectors(passages: &[Passage]) -> Vec<&Vector> {
    passages.iter().map(|passage| &passage.vector).collect()
}

/// The vector of a short text.
pub(super) fn vector(text: &str) -> Option<Vector> {
    embed::embed(text).map(Vector::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_passage_has_its_text_and_the_mean_has_length_one() {
        let passages = Passages::of("Every house in the row has its own door. ".repeat(100));
        assert!(passages.passages.len() > 2);
        assert!(passages.texts(&passages.passages).iter().all(|text| text.contains("door")));
        let mean = passages.mean().unwrap();
        let norm = mean.as_slice().iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() < 1e-4);
    }

    #[test]
    fn a_text_without_words_has_nothing_to_find() {
        let passages = Passages::of("?! --- ...".to_owned());
        assert!(passages.passages.is_empty() && passages.mean().is_none());
    }
}
