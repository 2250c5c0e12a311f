//! Tenant table `file_search`, many rows at once, as far as labels go. Owns its SQL; decides nothing.

use pgvector::Vector;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::FileId;
use rowhouse_problem::{Error, Result};
use tokio_postgres::Row;

use crate::embed::MODEL;
use crate::index::label::Label;
use crate::index::store::label_with_tags;

/// A file under a lock, with what search knows of it.
pub(super) struct Labelled {
    pub(super) id: FileId,
    pub(super) version: i32,
    pub(super) mime_type: String,
    pub(super) label: Label,
    /// Whether this very version was read before, with the model in use.
    pub(super) is_indexed: bool,
    /// Whether that gave any text.
    pub(super) has_text: bool,
    /// How long that is.
    pub(super) text_bytes: usize,
    /// Whether search knows this very label.
    pub(super) is_named_so: bool,
}

const FIND_NEW: &str = "
    select file.id, file.current_version, file.name, file.tags, file.metadata, version.mime_type
    from files file
    join file_versions version on version.tenant_id = file.tenant_id and version.file_id = file.id
        and version.version_number = file.current_version
    where file.tenant_id = app_tenant_id() and file.id = any($1)
        and not exists (select from file_search search where search.tenant_id = file.tenant_id and search.file_id = file.id)";

/// Files that have no search row, as they are right now.
pub(super) async fn find_new(transaction: &impl Sql, ids: &[FileId]) -> Result<Vec<Labelled>> {
    let rows = transaction.query(FIND_NEW, &[&ids]).await.context("looking for files that search knows nothing of")?;
    let labelled = |row: &Row| -> Result<Labelled> {
        Ok(Labelled {
            id: row.column("id")?,
            version: row.column("current_version")?,
            mime_type: row.column("mime_type")?,
            label: label_with_tags(row)?,
            is_indexed: false,
            has_text: false,
            text_bytes: 0,
            is_named_so: false,
        })
    };
    rows.iter().map(labelled).collect()
}

// The search row comes first, in everybody's order, and whole: an update would compute its words and enter it into every index once
// more. Who has made it meanwhile has made its passages too.
const INTRODUCE: &str = "
    with line as (
        select * from unnest($2::uuid[], $3::integer[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::vector[])
            line (id, version, keeps_content, name, metadata, label, embedding)
    ), made as (
        insert into file_search (file_id, version_number, state, name_text, metadata_text, content_vector, content_model, last_indexed)
        select line.id, case when not keeps_content then version end, case when keeps_content then 'pending' else 'skipped' end,
            line.name, line.metadata, embedding, case when embedding is not null then $1::text end, now()
        from line join files file on file.tenant_id = app_tenant_id() and file.id = line.id order by line.id
        on conflict (tenant_id, file_id) do nothing returning file_id
    )
    insert into file_embeddings (file_id, model, chunk_index, chunk_text, embedding_vector)
    select line.id, $1, 0, line.label, line.embedding from line join made on made.file_id = line.id where line.embedding is not null";

/// Makes search rows of files that have none, with the passages of those that are found by their labels. Without a lock on the files.
pub(super) async fn introduce(transaction: &impl Sql, lines: &[Line]) -> Result<()> {
    transaction
        .execute(
            INTRODUCE,
            &[
                &MODEL,
                &each(lines, |line| line.file.id),
                &each(lines, |line| line.file.version),
                &each(lines, |line| line.keeps_content),
                &each(lines, |line| line.file.label.name.as_str()),
                &each(lines, |line| line.file.label.metadata.as_str()),
                &each(lines, |line| line.text.as_str()),
                &each(lines, |line| line.vector.as_ref()),
            ],
        )
        .await
        .context("introducing files to search")?;
    Ok(())
}

const ENSURE_SEARCHES: &str = "
    insert into file_search (file_id)
    select id from files where tenant_id = app_tenant_id() and id = any($1) order by id
    on conflict (tenant_id, file_id) do nothing";

/// Makes search rows of files that have none. Without a lock: an update computes all words of a text anew.
pub(super) async fn ensure_searches(transaction: &impl Sql, ids: &[FileId]) -> Result<()> {
    transaction.execute(ENSURE_SEARCHES, &[&ids]).await.context("making files' search rows")?;
    Ok(())
}

// Who is at a file or its search row right now is not waited for: many under lock could wait for one who waits for another of them.
const LOCK_LABELS: &str = "
    select file.id, file.current_version, file.name, file.tags, file.metadata, version.mime_type,
        coalesce(search.version_number = file.current_version and search.state <> 'pending'
            and coalesce(search.content_model, $2) = $2, false) as is_indexed,
        search.state = 'indexed' and search.search_text <> '' as has_text, octet_length(search.search_text) as text_bytes,
        search.name_text, search.metadata_text
    from files file
    join file_versions version on version.tenant_id = file.tenant_id and version.file_id = file.id
        and version.version_number = file.current_version
    join file_search search on search.tenant_id = file.tenant_id and search.file_id = file.id
    where file.tenant_id = app_tenant_id() and file.id = any($1) order by file.id
    for no key update of search skip locked for share of file skip locked";

/// Files as they are, and stay until the transaction ends, with their search rows. None that somebody else has locked.
pub(super) async fn lock_labels(transaction: &impl Sql, ids: &[FileId]) -> Result<Vec<Labelled>> {
    let rows = transaction.query(LOCK_LABELS, &[&ids, &MODEL]).await.context("locking files to index")?;
    let labelled = |row: &Row| -> Result<Labelled> {
        let label = label_with_tags(row)?;
        let known: (&str, &str) = (row.column("name_text")?, row.column("metadata_text")?);
        let is_indexed = row.column("is_indexed")?;
        Ok(Labelled {
            id: row.column("id")?,
            version: row.column("current_version")?,
            mime_type: row.column("mime_type")?,
            has_text: is_indexed && row.column("has_text")?,
            text_bytes: usize::try_from(row.column::<i32>("text_bytes")?).map_err(Error::internal)?,
            is_indexed,
            is_named_so: known == (label.name.as_str(), label.metadata.as_str()),
            label,
        })
    };
    rows.iter().map(labelled).collect()
}

/// What search is to know of a file without reading it.
pub(super) struct Line {
    pub(super) file: Labelled,
    /// Whether the content has a text, known already or to be read: only the label is written.
    pub(super) keeps_content: bool,
    /// Its label in one text.
    pub(super) text: String,
    pub(super) vector: Option<Vector>,
}

// One statement for all, because of the words that it teaches: they are written in order, so that nobody waits in a ring. What
// could not be read stays so; what was never looked at is not to be read.
const SAVE_LABELS: &str = "
    update file_search search set name_text = line.name, metadata_text = line.metadata, last_indexed = now(),
        search_text = case when line.keeps_content then search.search_text else '' end,
        content_vector = case when line.keeps_content then search.content_vector else line.embedding end,
        content_model = case when line.keeps_content then search.content_model when line.embedding is not null then $1::text end,
        state = case when line.keeps_content or line.is_indexed then search.state else 'skipped' end,
        error = case when line.keeps_content or line.is_indexed then search.error end,
        version_number = case when line.keeps_content then search.version_number else line.version end
    from unnest($2::uuid[], $3::integer[], $4::boolean[], $5::boolean[], $6::text[], $7::text[], $8::vector[])
        line (id, version, is_indexed, keeps_content, name, metadata, embedding)
    where search.tenant_id = app_tenant_id() and search.file_id = line.id";

/// Writes what search knows of files without reading them.
pub(super) async fn save_labels(transaction: &impl Sql, lines: &[Line]) -> Result<()> {
    transaction
        .execute(
            SAVE_LABELS,
            &[
                &MODEL,
                &each(lines, |line| line.file.id),
                &each(lines, |line| line.file.version),
                &each(lines, |line| line.file.is_indexed),
                &each(lines, |line| line.keeps_content),
                &each(lines, |line| line.file.label.name.as_str()),
                &each(lines, |line| line.file.label.metadata.as_str()),
                &each(lines, |line| line.vector.as_ref()),
            ],
        )
        .await
        .context("writing files' labels")?;
    Ok(())
}

fn each<'a, T>(lines: &'a [Line], part: impl Fn(&'a Line) -> T) -> Vec<T> {
    lines.iter().map(part).collect()
}
