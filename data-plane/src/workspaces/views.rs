//! Workspaces as the API shows them.

use rowhouse_domain::{AccountId, WorkspaceId};
use rowhouse_web::{ETag, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::model::{Workspace, WorkspaceType};

/// A workspace.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkspaceView {
    #[schema(value_type = String, example = "wrk_01jd0000000000000000000000")]
    id: WorkspaceId,
    name: String,
    workspace_type: WorkspaceType,
    #[schema(value_type = Option<String>)]
    parent_workspace_id: Option<WorkspaceId>,
    /// The ids from the outermost workspace to this one.
    #[schema(value_type = Vec<String>)]
    path: Vec<WorkspaceId>,
    unique_identifier: Option<String>,
    #[schema(value_type = Option<String>)]
    account_id: Option<AccountId>,
    /// Most bytes that its files may have together; none where only the tenant's quota holds.
    storage_quota: Option<i64>,
    /// Bytes of all versions of its files.
    used_storage: i64,
    /// Versions of each file that are kept, the current one included; all where it is absent. A version stays as long as one of
    /// the two rules keeps it.
    keep_versions: Option<i32>,
    /// Days for which a version is kept after another has replaced it.
    keep_versions_days: Option<i32>,
    tags: Vec<String>,
    #[schema(value_type = Object)]
    metadata: Value,
    #[schema(value_type = Object)]
    settings: Value,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// When it was deleted; absent for a live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

impl From<Workspace> for WorkspaceView {
    fn from(workspace: Workspace) -> Self {
        let segments = workspace.workspace_path.split('/').filter_map(|segment| segment.parse().ok());
        Self {
            path: segments.map(WorkspaceId::from_uuid).collect(),
            id: workspace.id,
            name: workspace.name.to_string(),
            workspace_type: workspace.workspace_type,
            parent_workspace_id: workspace.parent_workspace_id,
            unique_identifier: workspace.unique_identifier,
            account_id: workspace.account_id,
            storage_quota: workspace.storage_quota,
            used_storage: workspace.used_storage,
            keep_versions: workspace.keep_versions,
            keep_versions_days: workspace.keep_versions_days,
            tags: workspace.tags,
            metadata: workspace.metadata,
            settings: workspace.settings,
            created_at: workspace.created_at.into(),
            updated_at: workspace.updated_at.into(),
            deleted_at: workspace.deleted_at.map(Into::into),
        }
    }
}

/// The tag of a workspace's state.
pub(super) fn etag(workspace: &Workspace) -> ETag {
    ETag::of_row(workspace.updated_at)
}
