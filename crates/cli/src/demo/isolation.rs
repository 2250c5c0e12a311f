//! What one tenant can learn of another: nothing.

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use uuid::Uuid;

use super::api::{Api, text};
use super::say;
use super::setting::Tenant;
use super::upload::wait_until_indexed;

/// Puts a word into the first tenant that exists nowhere else, and looks for it from the second.
pub(crate) async fn show(first: &Tenant, second: &Tenant) -> Result<()> {
    let word = format!("heliotrope{}", Uuid::now_v7().simple());
    let name = format!("{word}.txt");
    let before = total(&first.api, &first.workspace).await?;
    let query = [("workspace_id", first.workspace.as_str()), ("name", name.as_str())];
    let file = first.api.upload(&query, format!("A secret of {}: {word}.", first.name)).await?;
    let id = text(&file, "id")?;
    wait_until_indexed(first, before + 1).await?;

    let own = hits(&first.api, "text", &word).await?;
    ensure!(own == 1, "tenant {} finds its own word {own} times instead of once", first.name);
    for mode in ["text", "fuzzy", "semantic", "hybrid"] {
        let foreign = hits(&second.api, mode, &word).await?;
        ensure!(foreign == 0, "tenant {} finds a word of tenant {} in mode {mode}", second.name, first.name);
    }
    say(&format!("tenant {} finds the word, tenant {} does not", first.name, second.name));

    for path in
        [format!("/v1/files/{id}"), format!("/v1/files/{id}/content"), format!("/v1/workspaces/{}", first.workspace)]
    {
        let (status, code) = second.api.refusal(&path).await?;
        ensure!(
            status == StatusCode::NOT_FOUND && code == "not_found",
            "{path} answered {status} `{code}` to tenant {} instead of 404",
            second.name
        );
    }
    say(&format!("with {}'s key, {}'s file and workspace answer 404", second.name, first.name));
    Ok(())
}

async fn hits(api: &Api, mode: &str, word: &str) -> Result<usize> {
    let answer = api.get("/v1/search", &[("q", word), ("mode", mode)]).await?;
    let items = answer["items"].as_array().context("a search has items")?;
    Ok(items.iter().filter(|item| item.to_string().contains(word)).count())
}

async fn total(api: &Api, workspace: &str) -> Result<usize> {
    let mut total = 0;
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("workspace_id", workspace), ("limit", "200")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = api.get("/v1/files", &query).await?;
        total += page["items"].as_array().context("a list has items")?.len();
        match page.get("next_cursor").and_then(serde_json::Value::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(total),
        }
    }
}
