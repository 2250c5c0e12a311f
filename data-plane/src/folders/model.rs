//! What a folder is and what may be asked of it. Pure.

use jiff::Timestamp;
use rowhouse_domain::{FolderId, ItemName, WorkspaceId};
use rowhouse_problem::Result;
use rowhouse_web::PageQuery;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::serial::{Checks, nullable};

/// A folder.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `folders`, explained where the table is made")]
pub struct Folder {
    pub id: FolderId,
    pub workspace_id: WorkspaceId,
    pub parent_id: Option<FolderId>,
    pub name: ItemName,
    pub metadata: Value,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    pub deleted_with: Option<Uuid>,
}

/// The body of a creation.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateFolder {
    /// The workspace that it lies in.
    #[schema(value_type = String, example = "wrk_01jd0000000000000000000000")]
    workspace_id: WorkspaceId,
    /// The folder that it lies in; absent for the workspace's top.
    #[schema(value_type = Option<String>)]
    parent_id: Option<FolderId>,
    /// Unique, whatever its case, among the folders beside it.
    #[schema(example = "2026")]
    name: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

/// A creation that can be carried out.
#[derive(Debug)]
pub struct NewFolder {
    pub(super) id: FolderId,
    pub(super) workspace: WorkspaceId,
    pub(super) parent: Option<FolderId>,
    pub(super) name: ItemName,
    pub(super) metadata: Value,
}

impl NewFolder {
    /// An empty one of a name that was checked.
    pub(super) fn of(workspace: WorkspaceId, parent: Option<FolderId>, name: ItemName) -> Self {
        Self { id: FolderId::new(), workspace, parent, name, metadata: Value::Object(Map::new()) }
    }

    /// Checks a body.
    ///
    /// # Errors
    /// Invalid, with every field that is.
    pub fn parse(body: CreateFolder) -> Result<Self> {
        let mut checks = Checks::default();
        let name = checks.name("/name", &body.name);
        let metadata = checks.metadata("/metadata", body.metadata);
        checks.finish()?;
        Ok(Self {
            id: FolderId::new(),
            workspace: body.workspace_id,
            parent: body.parent_id,
            name: name.expect("a missing name was complained about"),
            metadata,
        })
    }
}

/// The body of a change: what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeFolder {
    name: Option<String>,
    /// The workspace that it goes to, with everything in it; to its top, unless `parent_id` says where.
    #[schema(value_type = Option<String>)]
    workspace_id: Option<WorkspaceId>,
    /// The folder that it goes to; `null` for the workspace's top.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    parent_id: Option<Option<FolderId>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

impl ChangeFolder {
    /// The folder as it would be.
    ///
    /// # Errors
    /// Invalid, with every field that is.
    pub fn apply(self, folder: &mut Folder) -> Result<()> {
        let mut checks = Checks::default();
        if let Some(name) = self.name.and_then(|name| checks.name("/name", &name)) {
            folder.name = name;
        }
        if let Some(workspace) = self.workspace_id.filter(|workspace| *workspace != folder.workspace_id) {
            folder.workspace_id = workspace;
            folder.parent_id = None;
        }
        if let Some(parent) = self.parent_id {
            folder.parent_id = parent;
        }
        if let Some(metadata) = self.metadata {
            folder.metadata = checks.metadata("/metadata", metadata);
        }
        checks.finish()
    }

    /// The workspace that it goes to, where one is named.
    pub(super) fn workspace(&self) -> Option<WorkspaceId> {
        self.workspace_id
    }
}

/// The body of a copy.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyFolder {
    /// The workspace that the copy goes to, to its top unless `parent_id` says more; absent for the folder's own place.
    #[schema(value_type = Option<String>)]
    workspace_id: Option<WorkspaceId>,
    /// The folder that it goes to; `null` for the workspace's top.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    parent_id: Option<Option<FolderId>>,
    /// Its name; the folder's own where it is absent.
    name: Option<String>,
}

impl CopyFolder {
    /// The copy of a folder, where it is to go.
    ///
    /// # Errors
    /// Invalid, where the name is.
    pub fn place(&self, source: &Folder) -> Result<NewFolder> {
        let mut checks = Checks::default();
        let name = match &self.name {
            Some(name) => checks.name("/name", name),
            None => Some(source.name.clone()),
        };
        checks.finish()?;
        let workspace = self.workspace_id.unwrap_or(source.workspace_id);
        let own_parent = source.parent_id.filter(|_| workspace == source.workspace_id);
        Ok(NewFolder {
            id: FolderId::new(),
            workspace,
            parent: self.parent_id.unwrap_or(own_parent),
            name: name.expect("a name that is not valid was complained about"),
            metadata: source.metadata.clone(),
        })
    }
}

/// What a list is sorted by. Equals are in the order of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The order of their making.
    #[default]
    CreatedAt,
    /// Their names, whatever the case.
    Name,
    /// Their last change.
    UpdatedAt,
}

/// Which way a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Upwards.
    #[default]
    Asc,
    /// Downwards.
    Desc,
}

/// Which folders to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListFolders {
    /// Only those of this workspace.
    #[param(value_type = Option<String>)]
    pub(super) workspace_id: Option<WorkspaceId>,
    /// Only those directly in this folder; `root` for those at the top of the workspace.
    pub(super) parent_id: Option<String>,
    /// Those in the trash instead, without what was deleted with them.
    #[serde(default)]
    pub(super) deleted: bool,
    /// What to sort by; another order than that of their making needs `parent_id`.
    #[serde(default)]
    #[param(inline)]
    pub(super) sort: Sort,
    /// Which way.
    #[serde(default)]
    #[param(inline)]
    pub(super) order: Order,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ListFolders {
    /// The page.
    pub(super) fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone() }
    }
}
