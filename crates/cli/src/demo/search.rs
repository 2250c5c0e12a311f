//! Searching what was uploaded, in every mode, and showing the hits.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use comfy_table::Table;
use comfy_table::{ContentArrangement, presets};
use serde_json::Value;

use super::api::text;
use super::say;
use super::setting::Tenant;
use super::upload::Uploaded;

/// Shorter words are rarely about anything.
const WORD_LENGTH: usize = 8;
/// Hits that are shown of a search.
const SHOWN: usize = 3;

/// Searches for words taken from the documents themselves; each search must find the document that they come from.
pub(crate) async fn show(tenant: &Tenant, uploaded: &[Uploaded]) -> Result<()> {
    let (source, words) = uploaded
        .iter()
        .find_map(|one| Some((one, telling_words(one)?)))
        .context("none of the documents is a text with words to search for")?;
    let name = source.document.place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (word, phrase) = (words[0].as_str(), words.join(" "));
    let mut misspelt = name.to_owned();
    // A name with a letter missing, as a person types it.
    misspelt.remove(misspelt.char_indices().nth(2).map_or(0, |(position, _)| position));
    for (mode, query) in [("text", word), ("fuzzy", &misspelt), ("semantic", &phrase), ("hybrid", &phrase)] {
        let answer = tenant.api.get("/v1/search", &[("q", query), ("mode", mode), ("limit", "20")]).await?;
        let items = answer["items"].as_array().context("a search has items")?;
        print_hits(tenant, mode, query, items);
        if !items.iter().any(|item| item["id"] == source.id.as_str()) {
            bail!("`{query}` in mode {mode} does not find {name} of tenant {}", tenant.name);
        }
    }
    say(&format!("text, fuzzy, semantic and hybrid search of {} find {name}", tenant.name));
    Ok(())
}

/// The long words that a document uses most, where it is a text.
fn telling_words(uploaded: &Uploaded) -> Option<Vec<String>> {
    let content = std::fs::read_to_string(&uploaded.document.path).ok()?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in content.split(|character: char| !character.is_alphabetic()) {
        if word.chars().count() >= WORD_LENGTH {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let mut words: Vec<(String, usize)> = counts.into_iter().collect();
    words.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let words: Vec<String> = words.into_iter().take(3).map(|(word, _)| word).collect();
    (!words.is_empty()).then_some(words)
}

fn print_hits(tenant: &Tenant, mode: &str, query: &str, items: &[Value]) {
    println!("\n  {} · {mode}: {query}", tenant.name);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(100);
    for item in items.iter().take(SHOWN) {
        let snippet: String =
            text(item, "snippet").unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let snippet: String = snippet.chars().take(110).collect();
        table.add_row([text(item, "name").unwrap_or_default(), &snippet]);
    }
    println!("{table}");
}
