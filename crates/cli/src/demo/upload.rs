//! Uploading documents and waiting until they can be found.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::api::text;
use super::documents::Document;
use super::say;
use super::setting::Tenant;

/// How long indexing may take in all.
const INDEX_PATIENCE: Duration = Duration::from_secs(120);

/// A document that was uploaded.
pub(crate) struct Uploaded {
    pub(crate) id: String,
    pub(crate) document: Document,
}

/// Uploads everything, with folders as on disk.
pub(crate) async fn documents(tenant: &Tenant, documents: Vec<Document>) -> Result<Vec<Uploaded>> {
    let begun = Instant::now();
    let total: u64 = documents.iter().map(|document| document.bytes).sum();
    let progress = ProgressBar::new(total).with_prefix(tenant.name).with_style(
        ProgressStyle::with_template("  {prefix} {bar:30} {bytes}/{total_bytes} {msg}")?.progress_chars("█▓░"),
    );
    let mut folders = HashMap::new();
    let mut uploaded = Vec::with_capacity(documents.len());
    for document in documents {
        let folder = match document.place.parent() {
            Some(parent) => ensure_folder(tenant, &mut folders, parent).await?,
            None => None,
        };
        let name = document.place.file_name().and_then(|name| name.to_str()).context("a file name is not UTF-8")?;
        progress.set_message(name.to_owned());
        let mut query = vec![("workspace_id", tenant.workspace.as_str()), ("name", name)];
        query.extend(folder.as_deref().map(|folder| ("folder_id", folder)));
        let file = tokio::fs::File::open(&document.path).await?;
        let content = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(file));
        let answer = tenant.api.upload(&query, content).await.with_context(|| document.path.display().to_string())?;
        progress.inc(document.bytes);
        uploaded.push(Uploaded { id: text(&answer, "id")?.to_owned(), document });
    }
    progress.finish_and_clear();
    say(&format!(
        "{} documents ({} KiB) uploaded to {} in {:.1} s",
        uploaded.len(),
        total / 1024,
        tenant.name,
        begun.elapsed().as_secs_f64()
    ));
    Ok(uploaded)
}

/// The folder of that path, made with its parents where it is missing; none for the workspace itself.
async fn ensure_folder(tenant: &Tenant, known: &mut HashMap<PathBuf, String>, path: &Path) -> Result<Option<String>> {
    let mut parent: Option<String> = None;
    let mut walked = PathBuf::new();
    for segment in path.components() {
        walked.push(segment);
        if let Some(id) = known.get(&walked) {
            parent = Some(id.clone());
            continue;
        }
        let name = segment.as_os_str().to_str().context("a folder name is not UTF-8")?;
        let mut body = json!({"workspace_id": tenant.workspace, "name": name});
        if let Some(parent) = &parent {
            body["parent_id"] = json!(parent);
        }
        let folder = tenant.api.post("/v1/folders", &body).await?;
        let id = text(&folder, "id")?.to_owned();
        known.insert(walked.clone(), id.clone());
        parent = Some(id);
    }
    Ok(parent)
}

/// Polls until every file has been indexed.
pub(crate) async fn wait_until_indexed(tenant: &Tenant, expected: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let indexed = count_indexed(tenant).await?;
        if indexed >= expected {
            say(&format!(
                "all documents of {} are searchable after {:.1} s",
                tenant.name,
                begun.elapsed().as_secs_f64()
            ));
            return Ok(());
        }
        if begun.elapsed() > INDEX_PATIENCE {
            bail!("only {indexed} of {expected} documents of {} were indexed in time", tenant.name);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn count_indexed(tenant: &Tenant) -> Result<usize> {
    let mut indexed = 0;
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("workspace_id", tenant.workspace.as_str()), ("limit", "200")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = tenant.api.get("/v1/files", &query).await?;
        let items = page["items"].as_array().context("a list has items")?;
        indexed += items.iter().filter(|file| file["indexed_at"].is_string()).count();
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(indexed),
        }
    }
}
