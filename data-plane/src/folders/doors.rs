//! What other doors use of folders.

use rowhouse_domain::{FolderId, ItemName, WorkspaceId};
use rowhouse_problem::{Code, Error, Result};

use super::model::NewFolder;
use super::store;
use crate::authentication::Caller;
use crate::changes::{Verb, apply};
use crate::state::AppState;
use crate::workspaces;

/// The innermost of these folders, each in the one before it, made where it is missing.
pub(crate) async fn ensure(
    state: &AppState,
    caller: &Caller,
    workspace: WorkspaceId,
    names: &[ItemName],
) -> Result<Option<FolderId>> {
    {
        let tenant = caller.connection(state).await?;
        let (found, missing) = walk(&tenant, workspace, names).await?;
        if missing.is_empty() {
            return Ok(found);
        }
    }
    apply(state, caller, async |change| {
        // Held by whoever else makes the same ones now, so that each is made once.
        workspaces::store::lock(change, workspace).await?;
        let (mut parent, missing) = walk(change, workspace, names).await?;
        if let Some(parent) = parent {
            store::hold(change, parent, workspace).await?;
        }
        for name in missing {
            let new = NewFolder::of(workspace, parent, name.clone());
            let made = store::insert(change, &new, change.actor()).await?;
            change.record(Verb::Made, made.id).await?;
            parent = Some(made.id);
        }
        Ok(parent)
    })
    .await
    .map_err(|error| if error.code() == Code::NameTaken { Error::unavailable(error) } else { error })
}

/// As far as there are folders of these names, and the names for which there are none.
async fn walk<'a>(
    tenant: &impl rowhouse_database::Sql,
    workspace: WorkspaceId,
    names: &'a [ItemName],
) -> Result<(Option<FolderId>, &'a [ItemName])> {
    let mut folder = None;
    for (index, name) in names.iter().enumerate() {
        match store::find_by_name(tenant, workspace, folder, name).await? {
            Some((id, _)) => folder = Some(id),
            None => return Ok((folder, &names[index..])),
        }
    }
    Ok((folder, &[]))
}
