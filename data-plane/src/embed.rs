//! The built-in embedder, which needs no model and no network. Pure and deterministic.
//!
//! It is lexical: it counts words and the letters inside them, hashed into a vector. Texts that share words, or words
//! of the same stem (`invoice`, `invoices`), lie close together, also across typing errors. It knows nothing of
//! meaning: `car` and `automobile` are strangers to it. Where that matters, configure a real model.

use std::collections::BTreeMap;

use twox_hash::XxHash64;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// Name under which vectors of this embedder are stored. Any change of what [`embed`] returns needs a new one.
pub const MODEL: &str = "builtin-hash-384";

/// Length of a vector.
pub const DIMENSIONS: usize = 384;

/// Words and n-grams are hashed with different seeds, so that the word `the` and the n-gram `the` are two features.
const WORD_SEED: u64 = 0x726f_7768_6f75_7365;
const GRAM_SEED: u64 = 0x6e2d_6772_616d_7321;

/// Weight of all n-grams of a word together, where the word itself weighs 1.
const GRAMS: f32 = 0.8;

/// What is left of a word that every text has.
const STOP_WORD: f32 = 0.1;

/// English words that say little about a text, sorted.
const STOP_WORDS: [&str; 58] = [
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can",
    "do", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its",
    "no", "not", "of", "on", "or", "our", "she", "so", "that", "the", "their", "there", "they", "this", "to", "was",
    "we", "were", "what", "when", "which", "will", "with", "you", "your",
];

/// Embeds a text as a vector of length one; a text without any word has none, since no direction would be right.
pub fn embed(text: &str) -> Option<Vec<f32>> {
    let folded = fold(text);
    // Ordered, so that the same text gives the same bits: floating-point sums depend on their order.
    let mut words = BTreeMap::<&str, u16>::new();
    for word in folded.unicode_words() {
        let count = words.entry(word).or_default();
        *count = count.saturating_add(1);
    }
    let mut vector = vec![0.0; DIMENSIONS];
    for (word, count) in words {
        let frequency = 1.0 + f32::from(count).ln();
        let weight = if STOP_WORDS.binary_search(&word).is_ok() { frequency * STOP_WORD } else { frequency };
        add(&mut vector, WORD_SEED, word, weight);
        add_grams(&mut vector, word, weight * GRAMS);
    }
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    // Features may cancel each other out, if hardly ever all of them.
    if norm < f32::EPSILON {
        return None;
    }
    for value in &mut vector {
        *value /= norm;
    }
    Some(vector)
}

/// Makes forms of writing equal that readers take for the same: case, width, accents, `ß` and `ss`.
fn fold(text: &str) -> String {
    let is_accent = |character: &char| matches!(character, '\u{300}'..='\u{36f}');
    let bare = text.nfkd().filter(|character| !is_accent(character));
    bare.nfkc().flat_map(char::to_lowercase).collect::<String>().replace('ß', "ss")
}

/// Adds the runs of three to five characters of a word, its borders marked.
fn add_grams(vector: &mut [f32], word: &str, weight: f32) {
    let marked = format!("<{word}>");
    let starts = marked.char_indices().map(|(start, _)| start).chain([marked.len()]).collect::<Vec<_>>();
    let grams = || (3..=5).flat_map(|length| starts.windows(length + 1).map(move |run| run[0]..run[length]));
    let count = u16::try_from(grams().count()).unwrap_or(u16::MAX);
    // Many small features together weigh as much as one: their squares add up.
    let weight = weight / f32::from(count.max(1)).sqrt();
    for gram in grams() {
        add(vector, GRAM_SEED, &marked[gram], weight);
    }
}

/// Adds one feature. Its hash picks the place and the sign, so that collisions cancel out instead of adding up.
fn add(vector: &mut [f32], seed: u64, feature: &str, weight: f32) {
    let hash = XxHash64::oneshot(seed, feature.as_bytes());
    let place = usize::try_from((hash >> 1) % DIMENSIONS as u64).expect("it is smaller than 384");
    vector[place] += if hash & 1 == 0 { weight } else { -weight };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn closeness(one: &str, other: &str) -> f32 {
        embed(one).unwrap().iter().zip(embed(other).unwrap()).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn a_text_without_words_has_no_vector() {
        for text in ["", " \n", "?!", "---"] {
            assert_eq!(embed(text), None, "{text:?}");
        }
    }

    #[test]
    fn forms_of_a_word_are_closer_than_other_words() {
        for (word, form, other) in
            [("invoice", "invoices", "kitchen"), ("migrate", "migration", "invoice"), ("Größe", "GROSSEN", "Wetter")]
        {
            let (near, far) = (closeness(word, form), closeness(word, other));
            assert!(near > far + 0.15, "{word}: {form} {near}, {other} {far}");
        }
    }

    #[test]
    fn case_width_and_accents_do_not_count() {
        assert_eq!(embed("Crème Brûlée, Straße"), embed("CREME brulee STRASSE"));
        assert_eq!(embed("ｆｕｌｌ"), embed("full"));
    }

    #[test]
    fn a_question_finds_its_document() {
        let documents = [
            "Invoices are due thirty days after delivery; reminders are sent by the billing department.",
            "The kitchen on the second floor is cleaned on Mondays and has a new coffee machine.",
            "Each tenant has a database of its own, and migrations are applied to all of them.",
        ];
        for (question, expected) in
            [("when is an invoice due", 0), ("who cleans the kitchen", 1), ("database migration of a tenant", 2)]
        {
            let best = (0..documents.len())
                .max_by(|a, b| closeness(question, documents[*a]).total_cmp(&closeness(question, documents[*b])));
            assert_eq!(best, Some(expected), "{question}");
        }
    }

    #[test]
    fn stop_words_hardly_count() {
        assert!(closeness("the invoice of the house", "invoice house") > 0.9);
        assert!(closeness("the and of to", "kitchen") < 0.3);
    }

    #[test]
    fn the_vector_of_a_text_never_changes() {
        // Stored vectors are compared with new ones: where this fails, `MODEL` needs a new name.
        let vector = embed("Every house has its own door").unwrap();
        let largest = (0..DIMENSIONS).max_by(|a, b| vector[*a].abs().total_cmp(&vector[*b].abs())).unwrap();
        assert_eq!((largest, (vector[largest] * 1000.0).round()), (118, -398.0));
    }

    proptest! {
        #[test]
        fn vectors_have_length_one_and_are_the_same_each_time(text in any::<String>()) {
            if let Some(vector) = embed(&text) {
                prop_assert_eq!(vector.len(), DIMENSIONS);
                let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
                prop_assert!((norm - 1.0).abs() < 1e-4);
                prop_assert_eq!(embed(&text), Some(vector));
            }
        }
    }
}
