//! What is read of `folders` and `files` for an archive.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{FolderId, ItemName};
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{Content, Files, Folder};
use crate::contents::Object;

const FOLDERS: &str = "
    with recursive inside as (
        select id, parent_id, name from folders where id = $1 and deleted_at is null
        union all
        select folder.id, folder.parent_id, folder.name
        from inside join folders folder on folder.parent_id = inside.id where folder.deleted_at is null
    )
    select id, parent_id, name from inside limit $2";

/// A live folder and those in it, each after the one that it lies in, but no more than `most` of them.
pub(super) async fn folders(tenant: &impl Sql, root: FolderId, most: usize) -> Result<Vec<Folder>> {
    let most = i64::try_from(most).map_err(Error::internal)?;
    let rows = tenant.query(FOLDERS, &[&root, &most]).await.context("listing the folders of an archive")?;
    rows.iter()
        .map(|row| Ok(Folder { id: row.column("id")?, parent: row.column("parent_id")?, name: name(row)? }))
        .collect()
}

const COUNT_FILES: &str = "
    select folder_id, count(*) as files, sum(octet_length(name))::bigint as names
    from (select folder_id, name from files where folder_id = any($1) and deleted_at is null limit $2) counted
    group by folder_id";

/// How many live files lie in each of the folders, and how long their names are; it counts no further than `most`.
pub(super) async fn count_files(tenant: &impl Sql, folders: &[FolderId], most: usize) -> Result<Vec<Files>> {
    let most = i64::try_from(most).map_err(Error::internal)?;
    let rows = tenant.query(COUNT_FILES, &[&folders, &most]).await.context("counting the files of an archive")?;
    rows.iter()
        .map(|row| {
            Ok(Files {
                folder: row.column("folder_id")?,
                count: usize::try_from(row.column::<i64>("files")?).map_err(Error::internal)?,
                names: usize::try_from(row.column::<i64>("names")?).map_err(Error::internal)?,
            })
        })
        .collect()
}

const FILES: &str = "
    select file.id, file.name, file.mime_type, file.size, file.updated_at, blob.object_key,
        blob.content_key_id, content_key.sealed as sealed_content_key
    from files file
    join file_versions version on version.file_id = file.id and version.version_number = file.current_version
    join blobs blob on blob.id = version.blob_id
    left join content_keys content_key on content_key.id = blob.content_key_id
    where file.folder_id = $1 and file.deleted_at is null and file.id > $2 order by file.id limit $3";

/// Live files of a folder, after one of them.
pub(super) async fn files(tenant: &impl Sql, folder: FolderId, after: Uuid, limit: i64) -> Result<Vec<Content>> {
    let rows = tenant.query(FILES, &[&folder, &after, &limit]).await.context("listing the files of an archive")?;
    rows.iter().map(content).collect()
}

fn name(row: &Row) -> Result<ItemName> {
    ItemName::parse(row.column("name")?).map_err(Error::internal)
}

fn content(row: &Row) -> Result<Content> {
    Ok(Content {
        id: row.column("id")?,
        name: name(row)?,
        mime_type: row.column("mime_type")?,
        size: u64::try_from(row.column::<i64>("size")?).map_err(Error::internal)?,
        object: Object::from_row(row)?,
        changed_at: row.column("updated_at")?,
    })
}

const EXPECT_LIVE: &str = "select id from folders where id = $1 and deleted_at is null";

/// Refuses a folder that is not there any more.
pub(super) async fn expect_live(tenant: &impl Sql, id: FolderId) -> Result<()> {
    let row = tenant.query_opt(EXPECT_LIVE, &[&id]).await.context("looking for a folder")?;
    row.map(|_| ()).ok_or_else(|| Error::not_found("folder", id))
}
