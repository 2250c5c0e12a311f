//! Folders in pages: where to look, in what order, and where the next page begins.

mod store;

use jiff::Timestamp;
use rowhouse_database::Sql;
use rowhouse_domain::{FolderId, WorkspaceId};
use rowhouse_problem::{Error, Result};
use rowhouse_web::{Listing, parse_id};
use uuid::Uuid;

use super::model::{Folder, ListFolders, Order, Sort};

/// Which folders a list holds.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// All of the tenant.
    Tenant,
    /// All of a workspace.
    Workspace(WorkspaceId),
    /// Those at the top of a workspace.
    Top(WorkspaceId),
    /// Those directly in a folder.
    Folder(FolderId),
}

/// Which folders a sorted list holds: those of one place.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The top of a workspace.
    Top(WorkspaceId),
    /// A folder.
    Folder(FolderId),
}

/// Greater than every name: the last character there is.
const LAST_NAME: &str = "\u{10FFFF}";

/// The page that is asked for.
///
/// # Errors
/// Invalid or malformed, with the parameter that is; whatever the server says.
pub(super) async fn page(tenant: &impl Sql, query: &ListFolders) -> Result<Listing<Folder>> {
    let within = within(query)?;
    let page = query.page();
    let (limit, order) = (page.limit()?, query.order);
    let ask = limit + 1;
    if query.deleted {
        if query.parent_id.is_some() || (query.sort, order) != (Sort::CreatedAt, Order::Asc) {
            return Err(Error::invalid_field("deleted", "goes with `workspace_id` alone"));
        }
        let after = page.after::<FolderId>()?.map_or(Uuid::nil(), |id| id.as_uuid());
        let found = store::trash(tenant, query.workspace_id, after, ask).await?;
        return Ok(listing(found, limit, Sort::CreatedAt));
    }
    let first_id = match order {
        Order::Asc => Uuid::nil(),
        Order::Desc => Uuid::max(),
    };
    let found = match query.sort {
        Sort::CreatedAt => {
            let after = page.after::<FolderId>()?.map_or(first_id, |id| id.as_uuid());
            store::by_id(tenant, within, order, after, ask).await?
        }
        Sort::Name => {
            let first = match order {
                Order::Asc => "",
                Order::Desc => LAST_NAME,
            };
            let after = page.after::<(String, FolderId)>()?.map(|(name, id)| (name, id.as_uuid()));
            let (name, id) = after.unwrap_or_else(|| (first.to_owned(), first_id));
            store::by_name(tenant, place(within)?, order, &name, id, ask).await?
        }
        Sort::UpdatedAt => {
            let first = match order {
                Order::Asc => Timestamp::UNIX_EPOCH,
                Order::Desc => Timestamp::MAX,
            };
            let after = page.after::<(i64, FolderId)>()?;
            let (time, id) = match after {
                Some((time, id)) => (Timestamp::from_microsecond(time).unwrap_or(first), id.as_uuid()),
                None => (first, first_id),
            };
            store::by_change(tenant, place(within)?, order, time, id, ask).await?
        }
    };
    // A folder's folders are all of one workspace: another one has none of them.
    let found = found.into_iter().filter(|folder| query.workspace_id.is_none_or(|id| id == folder.workspace_id));
    Ok(listing(found.collect(), limit, query.sort))
}

fn within(query: &ListFolders) -> Result<Within> {
    Ok(match (query.workspace_id, query.parent_id.as_deref()) {
        (None, Some("root")) => return Err(Error::invalid_field("workspace_id", "is needed with `parent_id=root`")),
        (None, None) => Within::Tenant,
        (Some(workspace), None) => Within::Workspace(workspace),
        (Some(workspace), Some("root")) => Within::Top(workspace),
        (_, Some(parent)) => Within::Folder(parse_id(parent)?),
    })
}

fn place(within: Within) -> Result<Place> {
    match within {
        Within::Top(workspace) => Ok(Place::Top(workspace)),
        Within::Folder(folder) => Ok(Place::Folder(folder)),
        Within::Tenant | Within::Workspace(_) => {
            Err(Error::invalid_field("sort", "is `created_at` without `parent_id`"))
        }
    }
}

fn listing(found: Vec<Folder>, limit: i64, sort: Sort) -> Listing<Folder> {
    match sort {
        Sort::CreatedAt => Listing::new(found, limit, |folder: &Folder| folder.id),
        Sort::Name => Listing::new(found, limit, |folder: &Folder| (folder.name.normalized().to_owned(), folder.id)),
        Sort::UpdatedAt => {
            Listing::new(found, limit, |folder: &Folder| (folder.updated_at.as_microsecond(), folder.id))
        }
    }
}
