//! Folders as the API shows them.

use rowhouse_domain::{FolderId, WorkspaceId};
use rowhouse_web::{ETag, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::model::Folder;

/// A folder.
#[derive(Debug, Serialize, ToSchema)]
pub struct FolderView {
    #[schema(value_type = String, example = "fld_01jd0000000000000000000000")]
    id: FolderId,
    #[schema(value_type = String)]
    workspace_id: WorkspaceId,
    /// The folder that it lies in; none at the workspace's top.
    #[schema(value_type = Option<String>)]
    parent_id: Option<FolderId>,
    name: String,
    #[schema(value_type = Object)]
    metadata: Value,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// When it was deleted; absent for a live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

impl From<Folder> for FolderView {
    fn from(folder: Folder) -> Self {
        Self {
            id: folder.id,
            workspace_id: folder.workspace_id,
            parent_id: folder.parent_id,
            name: folder.name.to_string(),
            metadata: folder.metadata,
            created_at: folder.created_at.into(),
            updated_at: folder.updated_at.into(),
            deleted_at: folder.deleted_at.map(Into::into),
        }
    }
}

/// The tag of a folder's state.
pub(super) fn etag(folder: &Folder) -> ETag {
    ETag::of_row(folder.updated_at)
}
