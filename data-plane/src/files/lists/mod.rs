//! Files in pages: where to look, for what, in what order, and where the next page begins.

mod store;

use rowhouse_database::Sql;
use rowhouse_domain::{FileId, FolderId, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};
use rowhouse_web::{Listing, parse_id};
use serde_json::Value;
use uuid::Uuid;

use super::model::{File, ListFiles, Sort};
use crate::folders::model::Order;
use crate::serial::wanted_tag;
use store::Page;

/// Which files a list holds.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// All of the tenant.
    Tenant,
    /// All of a workspace.
    Workspace(WorkspaceId),
    /// Those at the top of a workspace.
    Top(WorkspaceId),
    /// Those in a folder.
    Folder(FolderId),
}

/// Where the next page begins: the order that it is of, what the last file is sorted by there, and its id.
type Cursor = (Sort, Order, String, FileId);

/// The page that is asked for.
///
/// # Errors
/// Invalid or malformed, with the parameter that is; whatever the server says.
pub(super) async fn page(tenant: &impl Sql, query: &ListFiles) -> Result<Listing<File>> {
    let (page, within, tag) = (query.page(), within(query)?, wanted_tag(query.tag.as_deref())?);
    let limit = page.limit()?;
    let is_plain = (query.sort, query.order) == (Sort::CreatedAt, Order::Asc);
    let mut found = if is_plain && tag.is_none() && query.metadata.is_none() {
        let after = page.after::<FileId>()?.map_or(Uuid::nil(), |id| id.as_uuid());
        store::list(tenant, within, query.deleted, after, limit + 1).await?
    } else {
        let after = if is_plain {
            page.after::<FileId>()?.map(|id| (None, id))
        } else {
            page.after::<Cursor>()?.map(|cursor| read(query, cursor)).transpose()?
        };
        let wanted = Page {
            within,
            in_trash: query.deleted,
            tag,
            metadata: metadata(query)?,
            sort: query.sort.as_str(),
            downwards: query.order == Order::Desc,
            after: after.as_ref().map(|(_, id)| id.as_uuid()),
            after_key: after.and_then(|(key, _)| key),
        };
        store::page(tenant, &wanted, limit + 1).await?
    };
    if let Some(workspace) = query.workspace_id {
        // A folder's files are all of one workspace: another one has none of them.
        found.retain(|file| file.workspace_id == workspace);
    }
    Ok(if is_plain {
        Listing::new(found, limit, |file: &File| file.id)
    } else {
        Listing::new(found, limit, |file: &File| -> Cursor {
            (query.sort, query.order, key(query.sort, file), file.id)
        })
    })
}

fn within(query: &ListFiles) -> Result<Within> {
    Ok(match (query.workspace_id, query.folder_id.as_deref()) {
        (None, Some("root")) => return Err(Error::invalid_field("workspace_id", "is needed with `folder_id=root`")),
        (None, None) => Within::Tenant,
        (Some(workspace), None) => Within::Workspace(workspace),
        (Some(workspace), Some("root")) => Within::Top(workspace),
        (_, Some(folder)) => Within::Folder(parse_id(folder)?),
    })
}

/// What a file is sorted by, as text.
fn key(sort: Sort, file: &File) -> String {
    match sort {
        Sort::CreatedAt => String::new(),
        Sort::Name => file.name.normalized().to_owned(),
        Sort::Size => file.size.to_string(),
        Sort::UpdatedAt => file.updated_at.to_string(),
    }
}

/// A cursor is of no use in another order than its own, nor one that we did not make.
fn read(query: &ListFiles, (sort, order, key, id): Cursor) -> Result<(Option<String>, FileId)> {
    let is_readable = match sort {
        Sort::CreatedAt | Sort::Name => true,
        Sort::Size => key.parse::<i64>().is_ok(),
        Sort::UpdatedAt => key.parse::<jiff::Timestamp>().is_ok_and(|time| time >= jiff::Timestamp::UNIX_EPOCH),
    };
    if (sort, order) == (query.sort, query.order) && is_readable {
        return Ok((Some(key), id));
    }
    Err(Error::new(Code::MalformedCursor, "The cursor is of a list in another order. Begin again without one."))
}

/// The fields that a file's metadata must have.
fn metadata(query: &ListFiles) -> Result<Option<Value>> {
    let Some(text) = &query.metadata else { return Ok(None) };
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) if !text.contains("\\u0000") => Ok(Some(Value::Object(fields))),
        _ => Err(Error::invalid_field("metadata", "must be a JSON object, such as `{\"year\":2026}`")),
    }
}
