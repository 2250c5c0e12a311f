//! Folders and workspaces: found by their names, tags and metadata.

use rowhouse_database::ActivePlacement;
use rowhouse_domain::{FolderId, WorkspaceId};
use rowhouse_problem::Result;

use super::passages::vector;
use super::store::{self, gone};
use crate::work::WorkContext;

/// Indexes a folder as it is now; one that is gone is done with.
///
/// # Errors
/// Where the tenant's database fails.
pub async fn folder(context: &WorkContext, placement: &ActivePlacement, id: FolderId) -> Result<()> {
    let mut connection = context.tenant(placement).await?;
    let transaction = connection.transaction().await?;
    let Some(label) = store::lock_folder(&transaction, id).await? else { return gone(&transaction).await };
    store::save_folder(&transaction, id, &label, vector(&label.text()).as_ref()).await?;
    transaction.commit().await
}

/// Indexes a workspace as it is now; one that is gone is done with.
///
/// # Errors
/// Where the tenant's database fails.
pub async fn workspace(context: &WorkContext, placement: &ActivePlacement, id: WorkspaceId) -> Result<()> {
    let mut connection = context.tenant(placement).await?;
    let transaction = connection.transaction().await?;
    let Some(label) = store::lock_workspace(&transaction, id).await? else { return gone(&transaction).await };
    store::save_workspace(&transaction, id, &label, vector(&label.text()).as_ref()).await?;
    transaction.commit().await
}
