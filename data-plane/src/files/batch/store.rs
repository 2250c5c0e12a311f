//! The statements of a batch: each is about all of its items at once. Owns their SQL; decides nothing.

use std::collections::HashMap;

use rowhouse_database::{Columns, Described, QueryError, Sql};
use rowhouse_domain::{AccountId, Actor, BlobId, FileId, FolderId, VersionId, WorkspaceId};
use rowhouse_problem::Result;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::plan::{Chosen, Copied, Place, Source};
use crate::files::model::{File, file_type};
use crate::files::store::{from_row, name_taken};

const PLACES: &str = "select id, workspace_id, folder_id from files where id = any($1)";

/// Where files lie, deleted or not.
pub(super) async fn places(tenant: &impl Sql, ids: &[FileId]) -> Result<HashMap<FileId, Place>> {
    let rows = tenant.query(PLACES, &[&ids]).await.context("looking for the places of files")?;
    rows.iter().map(|row| Ok((row.column("id")?, (row.column("workspace_id")?, row.column("folder_id")?)))).collect()
}

const LOCK: &str = "
    select id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at
    from files where id = any($1) order by id for no key update";

/// Files, deleted or not, that nobody else changes until the transaction ends.
pub(super) async fn lock(transaction: &impl Sql, ids: &[FileId]) -> Result<Vec<File>> {
    let rows = transaction.query(LOCK, &[&ids]).await.context("locking the files of a batch")?;
    rows.iter().map(from_row).collect()
}

const SIZES: &str =
    "select file_id, sum(size)::bigint as bytes from file_versions where file_id = any($1) group by file_id";

/// Bytes of all versions of each file.
pub(super) async fn sizes(tenant: &impl Sql, ids: &[FileId]) -> Result<HashMap<FileId, i64>> {
    let rows = tenant.query(SIZES, &[&ids]).await.context("adding up the versions of files")?;
    rows.iter().map(|row| Ok((row.column("file_id")?, row.column("bytes")?))).collect()
}

const TAKEN: &str = "
    select file.workspace_id, file.folder_id, file.name_normalized, file.id
    from unnest($1::uuid[], $2::uuid[], $3::text[]) wanted (workspace_id, folder_id, name)
    join files file on file.workspace_id = wanted.workspace_id and file.folder_id = wanted.folder_id
        and file.name_normalized = wanted.name and file.deleted_at is null
    union all
    select file.workspace_id, file.folder_id, file.name_normalized, file.id
    from unnest($1::uuid[], $2::uuid[], $3::text[]) wanted (workspace_id, folder_id, name)
    join files file on file.workspace_id = wanted.workspace_id and file.folder_id is null
        and file.name_normalized = wanted.name and file.deleted_at is null
    where wanted.folder_id is null";

/// The live files that have one of these names in its place.
pub(super) async fn taken(
    tenant: &impl Sql,
    wanted: &[(WorkspaceId, Option<FolderId>, String)],
) -> Result<HashMap<(WorkspaceId, Option<FolderId>, String), FileId>> {
    let workspaces: Vec<WorkspaceId> = wanted.iter().map(|one| one.0).collect();
    let folders: Vec<Option<FolderId>> = wanted.iter().map(|one| one.1).collect();
    let names: Vec<&str> = wanted.iter().map(|one| one.2.as_str()).collect();
    let rows =
        tenant.query(TAKEN, &[&workspaces, &folders, &names]).await.context("looking for the names of a batch")?;
    rows.iter()
        .map(|row| {
            let name = (row.column("workspace_id")?, row.column("folder_id")?, row.column("name_normalized")?);
            Ok((name, row.column("id")?))
        })
        .collect()
}

const VERSIONS: &str = "
    select wanted.place, version.id, version.version_number, version.size
    from unnest($1::uuid[], $2::integer[]) with ordinality wanted (file_id, number, place)
    join files file on file.id = wanted.file_id and file.deleted_at is null
    join file_versions version on version.file_id = file.id
        and version.version_number = coalesce(wanted.number, file.current_version)";

/// The versions that are to be copied, by the place of their items; none of files that are not there.
pub(super) async fn versions(
    tenant: &impl Sql,
    files: &[FileId],
    numbers: &[Option<i32>],
) -> Result<HashMap<usize, Chosen>> {
    let rows = tenant.query(VERSIONS, &[&files, &numbers]).await.context("looking for versions to copy")?;
    rows.iter()
        .map(|row| {
            let place: i64 = row.column("place")?;
            let place = usize::try_from(place - 1).map_err(rowhouse_problem::Error::internal)?;
            let chosen =
                Chosen { id: row.column("id")?, number: row.column("version_number")?, size: row.column("size")? };
            Ok((place, chosen))
        })
        .collect()
}

// Every blob is locked after everything else, and by its id.
const SHARE: &str = "
    select version.id, version.size, version.checksum, version.mime_type, version.declared_mime_type,
        version.user_metadata, blob.id as blob_id
    from file_versions version join blobs blob on blob.id = version.blob_id
    where version.id = any($1) and blob.state = 'ready' order by blob.id for share of blob";

/// Versions that are to be copied, their blobs kept from being removed until the transaction ends. They are found by their ids:
/// a number that is free again is given to another content, which nobody has reserved room for.
pub(super) async fn share(transaction: &impl Sql, versions: &[VersionId]) -> Result<HashMap<VersionId, Source>> {
    let rows = transaction.query(SHARE, &[&versions]).await.context("sharing the blobs of versions")?;
    rows.iter()
        .map(|row| {
            let source = Source {
                blob: row.column("blob_id")?,
                size: row.column("size")?,
                checksum: row.column("checksum")?,
                mime_type: row.column("mime_type")?,
                declared_mime_type: row.column("declared_mime_type")?,
                user_metadata: row.column("user_metadata")?,
            };
            Ok((row.column("id")?, source))
        })
        .collect()
}

fn explained<T>(result: Result<T, QueryError>) -> Result<T, QueryError> {
    result.on_constraint("files_name_key", name_taken)
}

fn by_id(rows: &[Row]) -> Result<HashMap<FileId, File>> {
    rows.iter().map(|row| from_row(row).map(|file| (file.id, file))).collect()
}

const DELETE: &str = "update files set deleted_at = now() where id = any($1)";

/// Deletes files; their contents are kept until they are purged.
pub(super) async fn delete(transaction: &impl Sql, ids: &[FileId]) -> Result<()> {
    transaction.execute(DELETE, &[&ids]).await.context("deleting the files of a batch")?;
    Ok(())
}

// No name has a slash.
const VACATE: &str = "update files set name_normalized = '/' || id where id = any($1)";

/// Makes names free that files of the same batch take: they are looked at row by row.
pub(super) async fn vacate(transaction: &impl Sql, ids: &[FileId]) -> Result<()> {
    transaction.execute(VACATE, &[&ids]).await.context("making names free")?;
    Ok(())
}

const UPDATE: &str = "
    update files set workspace_id = wanted.workspace_id, folder_id = wanted.folder_id, name = wanted.name,
        name_normalized = wanted.name_normalized, metadata = wanted.metadata,
        tags = array(select tag from jsonb_array_elements_text(wanted.tags) with ordinality one (tag, place) order by place)
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[])
        wanted (id, workspace_id, folder_id, name, name_normalized, tags, metadata)
    where files.id = wanted.id
    returning files.id, files.workspace_id, files.folder_id, files.name, file_type, mime_type, declared_mime_type, current_version,
        size, checksum, files.tags, files.metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at";

/// Writes what changes of metadata can touch.
pub(super) async fn update(transaction: &impl Sql, files: &[&File]) -> Result<HashMap<FileId, File>> {
    let columns = Columned::of(files);
    let rows = transaction
        .query(
            UPDATE,
            &[
                &columns.ids,
                &columns.workspaces,
                &columns.folders,
                &columns.names,
                &columns.normalized,
                &columns.tags,
                &columns.metadata,
            ],
        )
        .await;
    by_id(&explained(rows).context("changing the files of a batch")?)
}

const RESTORE: &str = "
    update files set deleted_at = null, deleted_with = null, folder_id = wanted.folder_id
    from unnest($1::uuid[], $2::uuid[]) wanted (id, folder_id) where files.id = wanted.id
    returning files.id, workspace_id, files.folder_id, name, file_type, mime_type, declared_mime_type, current_version,
        size, checksum, tags, metadata, created_at, updated_at, deleted_at, (select last_indexed from file_search
            where file_id = files.id and version_number = files.current_version) as indexed_at";

/// Brings deleted files back, each into its folder.
pub(super) async fn restore(transaction: &impl Sql, files: &[&File]) -> Result<HashMap<FileId, File>> {
    let columns = Columned::of(files);
    let rows = transaction.query(RESTORE, &[&columns.ids, &columns.folders]).await;
    by_id(&explained(rows).context("restoring the files of a batch")?)
}

const INSERT: &str = "
    insert into files (id, workspace_id, folder_id, name, name_normalized, tags, metadata, file_type, mime_type,
        declared_mime_type, size, checksum, created_by_kind, created_by)
    select new.id, new.workspace_id, new.folder_id, new.name, new.name_normalized,
        array(select tag from jsonb_array_elements_text(new.tags) with ordinality one (tag, place) order by place),
        new.metadata, new.file_type, new.mime_type, new.declared_mime_type, new.size, new.checksum, $13, $14
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::text[], $9::text[],
            $10::text[], $11::bigint[], $12::bytea[])
        new (id, workspace_id, folder_id, name, name_normalized, tags, metadata, file_type, mime_type, declared_mime_type, size,
            checksum)
    returning id, workspace_id, folder_id, name, file_type, mime_type, declared_mime_type, current_version, size, checksum,
        tags, metadata, created_at, updated_at, deleted_at, null::timestamptz as indexed_at";
const INSERT_VERSIONS: &str = "
    insert into file_versions (id, file_id, version_number, blob_id, size, checksum, mime_type, declared_mime_type,
        user_metadata, account_id, modified_by_kind, modified_by)
    select new.id, new.file_id, 1, new.blob_id, new.size, new.checksum, new.mime_type, new.declared_mime_type, new.user_metadata,
        $9, $10, $11
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bytea[], $6::text[], $7::text[], $8::json[])
        new (id, file_id, blob_id, size, checksum, mime_type, declared_mime_type, user_metadata)";

/// Records copies and their versions. Their blobs are held by now.
pub(super) async fn insert(
    transaction: &impl Sql,
    copies: &[Copied],
    account: Option<AccountId>,
    actor: Actor,
) -> Result<HashMap<FileId, File>> {
    let files: Vec<&File> = copies.iter().map(|copy| &copy.file).collect();
    let columns = Columned::of(&files);
    let kinds: Vec<&str> = copies.iter().map(|copy| file_type(&copy.source.mime_type)).collect();
    let types: Vec<&str> = copies.iter().map(|copy| copy.source.mime_type.as_str()).collect();
    let declared: Vec<Option<&str>> = copies.iter().map(|copy| copy.source.declared_mime_type.as_deref()).collect();
    let sizes: Vec<i64> = copies.iter().map(|copy| copy.source.size).collect();
    let checksums: Vec<&[u8]> = copies.iter().map(|copy| copy.source.checksum.as_slice()).collect();
    let rows = transaction
        .query(
            INSERT,
            &[
                &columns.ids,
                &columns.workspaces,
                &columns.folders,
                &columns.names,
                &columns.normalized,
                &columns.tags,
                &columns.metadata,
                &kinds,
                &types,
                &declared,
                &sizes,
                &checksums,
                &actor.kind,
                &actor.id,
            ],
        )
        .await;
    let made = by_id(&explained(rows).context("inserting copies")?)?;
    let versions: Vec<VersionId> = copies.iter().map(|_| VersionId::new()).collect();
    let blobs: Vec<BlobId> = copies.iter().map(|copy| copy.source.blob).collect();
    let said: Vec<Option<&Value>> = copies.iter().map(|copy| copy.source.user_metadata.as_ref()).collect();
    transaction
        .execute(
            INSERT_VERSIONS,
            &[
                &versions,
                &columns.ids,
                &blobs,
                &sizes,
                &checksums,
                &types,
                &declared,
                &said,
                &account,
                &actor.kind,
                &actor.id,
            ],
        )
        .await
        .context("inserting versions of copies")?;
    Ok(made)
}

/// What can be changed of files, column by column, as `unnest` takes it.
struct Columned<'a> {
    ids: Vec<FileId>,
    workspaces: Vec<WorkspaceId>,
    folders: Vec<Option<FolderId>>,
    names: Vec<&'a str>,
    normalized: Vec<String>,
    tags: Vec<Value>,
    metadata: Vec<&'a Value>,
}

impl<'a> Columned<'a> {
    fn of(files: &[&'a File]) -> Self {
        Self {
            ids: files.iter().map(|file| file.id).collect(),
            workspaces: files.iter().map(|file| file.workspace_id).collect(),
            folders: files.iter().map(|file| file.folder_id).collect(),
            names: files.iter().map(|file| file.name.as_str()).collect(),
            normalized: files.iter().map(|file| file.name.normalized()).collect(),
            tags: files.iter().map(|file| json!(file.tags)).collect(),
            metadata: files.iter().map(|file| &file.metadata).collect(),
        }
    }
}
