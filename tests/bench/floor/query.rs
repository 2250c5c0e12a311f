//! The one query, and the answer that Rowhouse gives to it.

use anyhow::{Context, Result};
use deadpool_postgres::ClientWrapper;
use jiff::Timestamp;
use rowhouse_domain::{FileId, WorkspaceId};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;

/// What the data plane asks for `GET /v1/files/{id}`, word for word.
pub(crate) const FIND: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, current_version, size, checksum, tags, metadata,
        created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where id = $1 and deleted_at is null";

/// The answer, field by field. The bench compares it with Rowhouse's before it measures.
#[derive(Serialize)]
pub(crate) struct File {
    id: FileId,
    workspace_id: WorkspaceId,
    folder_id: Option<rowhouse_domain::FolderId>,
    name: String,
    file_type: String,
    mime_type: String,
    size: i64,
    sha256: String,
    version: i32,
    tags: Vec<String>,
    metadata: Value,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    indexed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

/// Asks; none where there is no such file.
pub(crate) async fn find(client: &ClientWrapper, id: FileId) -> Result<Option<File>> {
    let statement = client.prepare_cached(FIND).await.context("preparing")?;
    let row = client.query_opt(&statement, &[&id]).await.context("asking")?;
    row.as_ref().map(from_row).transpose()
}

fn from_row(row: &Row) -> Result<File> {
    let checksum: &[u8] = row.try_get("checksum")?;
    Ok(File {
        id: row.try_get("id")?,
        workspace_id: row.try_get("workspace_id")?,
        folder_id: row.try_get("folder_id")?,
        name: row.try_get("name")?,
        file_type: row.try_get("file_type")?,
        mime_type: row.try_get("mime_type")?,
        size: row.try_get("size")?,
        sha256: hex::encode(checksum),
        version: row.try_get("current_version")?,
        tags: row.try_get("tags")?,
        metadata: row.try_get("metadata")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        indexed_at: row.try_get("indexed_at")?,
        deleted_at: row.try_get("deleted_at")?,
    })
}
