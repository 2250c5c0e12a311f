//! SQL of lists of files.

use rowhouse_database::{Described, Sql};
use rowhouse_domain::{FolderId, WorkspaceId};
use rowhouse_problem::Result;
use serde_json::Value;
use uuid::Uuid;

use super::super::model::File;
use super::super::store::from_row;
use super::Within;

const LIST: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where is_deleted = $3 and id > $1 order by id limit $2";
const LIST_OF_WORKSPACE: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where workspace_id = $4 and is_deleted = $3 and id > $1 order by id limit $2";
const LIST_TOP: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where workspace_id = $4 and folder_id is null and is_deleted = $3 and id > $1 order by id limit $2";
const LIST_IN_FOLDER: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where folder_id = $4 and is_deleted = $3 and id > $1 order by id limit $2";

/// Live or deleted files in the order of their making, after `after`.
pub(super) async fn list(
    tenant: &impl Sql,
    within: Within,
    deleted: bool,
    after: Uuid,
    limit: i64,
) -> Result<Vec<File>> {
    let rows = match within {
        Within::Tenant => tenant.query(LIST, &[&after, &limit, &deleted]).await,
        Within::Workspace(id) => tenant.query(LIST_OF_WORKSPACE, &[&after, &limit, &deleted, &id]).await,
        Within::Top(id) => tenant.query(LIST_TOP, &[&after, &limit, &deleted, &id]).await,
        Within::Folder(id) => tenant.query(LIST_IN_FOLDER, &[&after, &limit, &deleted, &id]).await,
    };
    rows.context("listing files")?.iter().map(from_row).collect()
}

const PAGE: &str = "
    select files.id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files_page($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) with ordinality page (id, place)
    join files on files.id = page.id order by page.place";

/// A list that is not in the order of making, or not of everything there.
pub(super) struct Page<'a> {
    pub(super) within: Within,
    pub(super) in_trash: bool,
    pub(super) tag: Option<&'a str>,
    pub(super) metadata: Option<Value>,
    pub(super) sort: &'static str,
    pub(super) downwards: bool,
    /// What the last row of the page before is sorted by.
    pub(super) after_key: Option<String>,
    pub(super) after: Option<Uuid>,
}

/// Files as the page says.
pub(super) async fn page(tenant: &impl Sql, page: &Page<'_>, limit: i64) -> Result<Vec<File>> {
    let (workspace, folder): (Option<WorkspaceId>, Option<FolderId>) = match page.within {
        Within::Tenant => (None, None),
        Within::Workspace(workspace) | Within::Top(workspace) => (Some(workspace), None),
        Within::Folder(folder) => (None, Some(folder)),
    };
    let rows = tenant
        .query(
            PAGE,
            &[
                &workspace,
                &folder,
                &matches!(page.within, Within::Top(_)),
                &page.in_trash,
                &page.tag,
                &page.metadata,
                &page.sort,
                &page.downwards,
                &page.after_key,
                &page.after,
                &limit,
            ],
        )
        .await;
    rows.context("listing files in an order")?.iter().map(from_row).collect()
}
