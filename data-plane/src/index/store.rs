//! Tenant tables of search: `file_search`, `file_embeddings`, `folder_search`, `workspace_search`.

use pgvector::Vector;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{BlobId, FileId, FolderId, WorkspaceId};
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use tokio_postgres::Row;

use super::label::Label;
use super::passages::{Passage, Passages, vectors};
use crate::contents::Object;
use crate::embed::MODEL;

/// How reading a content ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// There is text.
    Indexed,
    /// Nobody knows how to read it.
    Skipped,
    /// It could not be read.
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Indexed => "indexed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// The current version of a file, and what search knows of it already.
pub(super) struct Content {
    pub(super) version: i32,
    pub(super) blob: BlobId,
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    pub(super) metadata: Value,
    pub(super) mime_type: String,
    pub(super) object: Object,
    /// Whether this very version was read before, with the model in use.
    pub(super) is_indexed: bool,
}

const NOTHING_IS_COVERED: &str = "select app_nothing_is_covered() as is_certain";

/// What is not to be seen is gone, or hidden while a job is at work where it lies: then it may come back.
pub(super) async fn gone(tenant: &impl Sql) -> Result<()> {
    let row = tenant.query_one(NOTHING_IS_COVERED, &[]).await.context("looking for what hides things")?;
    if row.column("is_certain")? { Ok(()) } else { Err(Error::unavailable("it may be hidden while a job is at work")) }
}

const FIND_CONTENT: &str = "
    select file.current_version, file.name, file.tags, file.metadata, version.mime_type, version.size, version.blob_id, blob.object_key,
        blob.content_key_id, content_key.sealed as sealed_content_key,
        coalesce(search.version_number = file.current_version and search.state <> 'pending'
            and coalesce(search.content_model, $2) = $2, false) as is_indexed
    from files file
    join file_versions version on version.tenant_id = file.tenant_id and version.file_id = file.id
        and version.version_number = file.current_version
    join blobs blob on blob.tenant_id = version.tenant_id and blob.id = version.blob_id
    left join content_keys content_key on content_key.tenant_id = blob.tenant_id and content_key.id = blob.content_key_id
    left join file_search search on search.tenant_id = file.tenant_id and search.file_id = file.id
    where file.tenant_id = app_tenant_id() and file.id = $1";

/// The file's current content; a deleted file has one too, it may be restored.
pub(super) async fn find_content(tenant: &impl Sql, id: FileId) -> Result<Option<Content>> {
    let row = tenant.query_opt(FIND_CONTENT, &[&id, &MODEL]).await.context("looking up a file to index")?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Content {
        version: row.column("current_version")?,
        blob: row.column("blob_id")?,
        name: row.column("name")?,
        tags: row.column("tags")?,
        metadata: row.column("metadata")?,
        mime_type: row.column("mime_type")?,
        object: Object::from_row(&row)?,
        is_indexed: row.column("is_indexed")?,
    }))
}

const ANNOUNCE: &str = "
    insert into file_search (file_id, name_text, metadata_text)
    select $1, $2, $3 where exists (select from files where tenant_id = app_tenant_id() and id = $1)
    on conflict (tenant_id, file_id) do nothing";

/// Makes a file searchable by its label, where nothing is known of it yet.
pub(super) async fn announce(tenant: &impl Sql, id: FileId, label: &Label) -> Result<()> {
    tenant.execute(ANNOUNCE, &[&id, &label.name, &label.metadata]).await.context("announcing a file to search")?;
    Ok(())
}

const LOCK_SEARCHES: &str = "
    insert into file_search (file_id)
    select id from files where tenant_id = app_tenant_id() and id = any($1) order by id
    on conflict (tenant_id, file_id) do update set last_indexed = file_search.last_indexed";

/// Keeps every other writer of files' search rows out until the transaction ends, also where files are to be removed: a writer locks
/// the search row first, which may be new and seen by nobody, and the file last.
pub(crate) async fn lock_searches(transaction: &impl Sql, ids: &[FileId]) -> Result<()> {
    transaction.execute(LOCK_SEARCHES, &[&ids]).await.context("locking files' search rows")?;
    Ok(())
}

/// A file as it stands under a lock.
pub(super) struct Current {
    pub(super) version: i32,
    /// The number of a version that was deleted is another's afterwards: its content tells them apart.
    pub(super) blob: BlobId,
    pub(super) label: Label,
}

const LOCK_FILE: &str = "
    select file.current_version, file.name, file.tags, file.metadata, version.blob_id
    from files file
    join file_versions version on version.tenant_id = file.tenant_id and version.file_id = file.id
        and version.version_number = file.current_version
    where file.tenant_id = app_tenant_id() and file.id = $1 for share of file";

/// The file as it is, and stays until the transaction ends.
pub(super) async fn lock_file(tenant: &impl Sql, id: FileId) -> Result<Option<Current>> {
    let row = tenant.query_opt(LOCK_FILE, &[&id]).await.context("locking a file to index")?;
    let Some(row) = row else { return Ok(None) };
    let label = label_with_tags(&row)?;
    Ok(Some(Current { version: row.column("current_version")?, blob: row.column("blob_id")?, label }))
}

pub(super) fn label_with_tags(row: &Row) -> Result<Label> {
    let (tags, metadata): (Vec<String>, Value) = (row.column("tags")?, row.column("metadata")?);
    Ok(Label::new(row.column("name")?, &tags, &metadata))
}

const FORGET_CONTENT: &str = "
    update file_search set version_number = null, state = 'pending', error = null, search_text = '', content_vector = null,
        content_model = null
    where tenant_id = app_tenant_id() and file_id = $1";

/// Takes a content out of search that is gone for good, before it is known what takes its place.
pub(crate) async fn forget_content(transaction: &impl Sql, id: FileId) -> Result<()> {
    transaction.execute(FORGET_CONTENT, &[&id]).await.context("forgetting a content")?;
    remove_passages(transaction, &[id]).await
}

const REMOVE_PASSAGES: &str = "delete from file_embeddings where tenant_id = app_tenant_id() and file_id = any($1)";

/// Removes the passages of files.
pub(super) async fn remove_passages(transaction: &impl Sql, ids: &[FileId]) -> Result<()> {
    transaction.execute(REMOVE_PASSAGES, &[&ids]).await.context("removing files' passages")?;
    Ok(())
}

const ADD_LABEL_PASSAGES: &str = "
    insert into file_embeddings (file_id, model, chunk_index, chunk_text, embedding_vector)
    select label.file_id, $1, 0, label.chunk, label.embedding
    from unnest($2::uuid[], $3::text[], $4::vector[]) label (file_id, chunk, embedding)";

/// Adds one passage to each of the files: its label.
pub(super) async fn add_label_passages(transaction: &impl Sql, labels: &[(FileId, &str, &Vector)]) -> Result<()> {
    let ids: Vec<FileId> = labels.iter().map(|(id, ..)| *id).collect();
    let texts: Vec<&str> = labels.iter().map(|(_, text, _)| *text).collect();
    let vectors: Vec<&Vector> = labels.iter().map(|(.., vector)| *vector).collect();
    transaction
        .execute(ADD_LABEL_PASSAGES, &[&MODEL, &ids, &texts, &vectors])
        .await
        .context("adding files' labels as passages")?;
    Ok(())
}

const ADD_PASSAGES: &str = "
    insert into file_embeddings (file_id, model, chunk_index, chunk_text, embedding_vector)
    select $1, $2, $3 + passage.place::integer - 1, passage.chunk, passage.embedding
    from unnest($4::text[], $5::vector[]) with ordinality passage (chunk, embedding, place)";

/// Adds passages, numbered from `first` on.
pub(super) async fn add_passages(
    tenant: &impl Sql,
    id: FileId,
    first: i32,
    passages: &Passages,
    batch: &[Passage],
) -> Result<()> {
    tenant
        .execute(ADD_PASSAGES, &[&id, &MODEL, &first, &passages.texts(batch), &vectors(batch)])
        .await
        .context("adding a file's passages")?;
    Ok(())
}

const SAVE_FILE: &str = "
    update file_search set version_number = $2, state = $3, error = left($4, 1000), name_text = $5, metadata_text = $6,
        search_text = $7, content_vector = $8, content_model = case when $8::vector is null then null else $9::text end, last_indexed = now()
    where tenant_id = app_tenant_id() and file_id = $1";

/// Writes what search knows of a file.
pub(super) async fn save_file(
    tenant: &impl Sql,
    id: FileId,
    file: &Current,
    state: State,
    error: Option<&str>,
    text: &str,
    vector: Option<&Vector>,
) -> Result<()> {
    let label = &file.label;
    tenant
        .execute(
            SAVE_FILE,
            &[&id, &file.version, &state.as_str(), &error, &label.name, &label.metadata, &text, &vector, &MODEL],
        )
        .await
        .context("writing a file's search row")?;
    Ok(())
}

const LOCK_FOLDER: &str = "
    select name, '{}'::text[] as tags, metadata from folders where tenant_id = app_tenant_id() and id = $1 for share";

/// The folder's label, which stays until the transaction ends.
pub(super) async fn lock_folder(tenant: &impl Sql, id: FolderId) -> Result<Option<Label>> {
    let row = tenant.query_opt(LOCK_FOLDER, &[&id]).await.context("locking a folder to index")?;
    row.as_ref().map(label_with_tags).transpose()
}

const SAVE_FOLDER: &str = "
    insert into folder_search (folder_id, name_text, metadata_text, search_text, content_vector, content_model, last_indexed)
    values ($1, $2, $3, $4, $5, case when $5::vector is null then null else $6::text end, now())
    on conflict (tenant_id, folder_id) do update set name_text = excluded.name_text, metadata_text = excluded.metadata_text,
        search_text = excluded.search_text, content_vector = excluded.content_vector,
        content_model = excluded.content_model, last_indexed = excluded.last_indexed";

/// Writes what search knows of a folder.
pub(super) async fn save_folder(tenant: &impl Sql, id: FolderId, label: &Label, vector: Option<&Vector>) -> Result<()> {
    tenant
        .execute(SAVE_FOLDER, &[&id, &label.name, &label.metadata, &label.text(), &vector, &MODEL])
        .await
        .context("writing a folder's search row")?;
    Ok(())
}

const LOCK_WORKSPACE: &str = "
    select name, tags, metadata from workspaces where tenant_id = app_tenant_id() and id = $1 for share";

/// The workspace's label, which stays until the transaction ends.
pub(super) async fn lock_workspace(tenant: &impl Sql, id: WorkspaceId) -> Result<Option<Label>> {
    let row = tenant.query_opt(LOCK_WORKSPACE, &[&id]).await.context("locking a workspace to index")?;
    row.as_ref().map(label_with_tags).transpose()
}

const SAVE_WORKSPACE: &str = "
    insert into workspace_search (workspace_id, name_text, metadata_text, search_text, content_vector, content_model, last_indexed)
    values ($1, $2, $3, $4, $5, case when $5::vector is null then null else $6::text end, now())
    on conflict (tenant_id, workspace_id) do update set name_text = excluded.name_text,
        metadata_text = excluded.metadata_text, search_text = excluded.search_text,
        content_vector = excluded.content_vector, content_model = excluded.content_model,
        last_indexed = excluded.last_indexed";

/// Writes what search knows of a workspace.
pub(super) async fn save_workspace(
    tenant: &impl Sql,
    id: WorkspaceId,
    label: &Label,
    vector: Option<&Vector>,
) -> Result<()> {
    tenant
        .execute(SAVE_WORKSPACE, &[&id, &label.name, &label.metadata, &label.text(), &vector, &MODEL])
        .await
        .context("writing a workspace's search row")?;
    Ok(())
}
