//! What a workspace is and what may be asked of it. Pure.

use jiff::Timestamp;
use rowhouse_domain::{AccountId, ItemName, WorkspaceId};
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;
use rowhouse_web::PageQuery;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::quota;
use crate::serial::{Checks, nullable};

/// Longest `unique_identifier`, in characters.
const MAX_IDENTIFIER_CHARS: usize = 200;
/// More versions, or days, than anybody has.
const MAX_RULE: i32 = 100_000;

/// What a workspace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceType {
    /// One person's.
    Personal,
    /// A group's.
    #[default]
    Team,
    /// A piece of work's.
    Project,
}

impl WorkspaceType {
    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Team => "team",
            Self::Project => "project",
        }
    }

    /// Reads the text of the database.
    ///
    /// # Errors
    /// Internal: the column's check allows no other text.
    pub fn from_text(text: &str) -> Result<Self> {
        [Self::Personal, Self::Team, Self::Project]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::internal(format!("workspace type {text:?}")))
    }
}

/// A workspace.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of `workspaces`, explained where the table is made")]
pub struct Workspace {
    pub id: WorkspaceId,
    pub name: ItemName,
    pub account_id: Option<AccountId>,
    pub unique_identifier: Option<String>,
    pub storage_quota: Option<i64>,
    pub used_storage: i64,
    pub keep_versions: Option<i32>,
    pub keep_versions_days: Option<i32>,
    pub workspace_type: WorkspaceType,
    pub parent_workspace_id: Option<WorkspaceId>,
    pub workspace_path: String,
    pub tags: Vec<String>,
    pub metadata: Value,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub settings: Value,
    pub deleted_at: Option<Timestamp>,
    pub deleted_with: Option<Uuid>,
}

/// Which of a file's versions stay: those that one of the rules keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRules {
    /// So many newest ones, the current one included.
    pub keep_versions: Option<i32>,
    /// Those replaced less than so many days ago.
    pub keep_versions_days: Option<i32>,
}

/// What a workspace's quota leaves; all there is where it has none.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Most bytes.
    pub quota: Option<i64>,
    /// Bytes in use.
    pub used: i64,
}

impl Room {
    /// Refuses a content that is too large for what is left.
    ///
    /// # Errors
    /// `quota_exceeded` at the level of the workspace.
    pub fn check(self, size: u64) -> Result<()> {
        let Some(quota) = self.quota else { return Ok(()) };
        let fits = i64::try_from(size).is_ok_and(|size| self.used.saturating_add(size) <= quota);
        if fits { Ok(()) } else { Err(quota::exceeded("workspace", quota, self.used)) }
    }
}

/// The body of a creation.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspace {
    /// Unique, whatever its case, among the workspaces beside it.
    #[schema(example = "Contracts")]
    name: String,
    /// What it is for; `team` unless said.
    #[serde(default, alias = "type")]
    workspace_type: WorkspaceType,
    /// The workspace that it lies in.
    #[schema(value_type = Option<String>, example = "wrk_01jd0000000000000000000000")]
    parent_workspace_id: Option<WorkspaceId>,
    /// An identifier of yours, unique in the tenant.
    unique_identifier: Option<String>,
    /// The storage account that it belongs to.
    #[schema(value_type = Option<String>)]
    account_id: Option<AccountId>,
    /// Most bytes that its files may have together.
    storage_quota: Option<i64>,
    /// Versions of each file that are kept, the current one included; `null` for all. Absent for what the installation has
    /// as its default. A version stays as long as one of the two rules keeps it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>)]
    keep_versions: Option<Option<i32>>,
    /// Days for which a version is kept after another has replaced it; `null` for always.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>)]
    keep_versions_days: Option<Option<i32>>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// How its users want it. Unlike metadata it is not searched.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
}

impl CreateWorkspace {
    /// One at the top that has nothing but a name, which is its identifier as well.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            workspace_type: WorkspaceType::default(),
            parent_workspace_id: None,
            unique_identifier: Some(name.to_owned()),
            account_id: None,
            storage_quota: None,
            keep_versions: None,
            keep_versions_days: None,
            tags: Vec::new(),
            metadata: Map::new(),
            settings: Map::new(),
        }
    }
}

/// A creation that can be carried out.
#[derive(Debug)]
pub struct NewWorkspace {
    pub(super) id: WorkspaceId,
    pub(super) name: ItemName,
    pub(super) workspace_type: WorkspaceType,
    pub(super) parent: Option<WorkspaceId>,
    pub(super) unique_identifier: Option<String>,
    pub(super) account: Option<AccountId>,
    pub(super) storage_quota: Option<i64>,
    pub(super) keep_versions: Option<i32>,
    pub(super) keep_versions_days: Option<i32>,
    pub(super) tags: Vec<String>,
    pub(super) metadata: Value,
    pub(super) settings: Value,
}

impl NewWorkspace {
    /// Checks a body.
    ///
    /// # Errors
    /// Invalid, with every field that is.
    pub fn parse(body: CreateWorkspace, versions: &settings::Versions) -> Result<Self> {
        let mut checks = Checks::default();
        let name = checks.name("/name", &body.name);
        let unique_identifier =
            body.unique_identifier.map(|text| checks.label("/unique_identifier", text, MAX_IDENTIFIER_CHARS));
        let storage_quota = body.storage_quota.map(|bytes| checks.bytes("/storage_quota", bytes));
        let keep_versions = body.keep_versions.unwrap_or(versions.keep_last());
        let keep_versions_days = body.keep_versions_days.unwrap_or(versions.keep_for_days());
        check_rules(&mut checks, keep_versions, keep_versions_days);
        let tags = checks.tags("/tags", body.tags);
        let metadata = checks.metadata("/metadata", body.metadata);
        let settings = checks.metadata("/settings", body.settings);
        checks.finish()?;
        Ok(Self {
            id: WorkspaceId::new(),
            name: name.expect("a missing name was complained about"),
            workspace_type: body.workspace_type,
            parent: body.parent_workspace_id,
            unique_identifier,
            account: body.account_id,
            storage_quota,
            keep_versions,
            keep_versions_days,
            tags,
            metadata,
            settings,
        })
    }
}

fn check_rules(checks: &mut Checks, keep_versions: Option<i32>, keep_versions_days: Option<i32>) {
    for (pointer, rule) in [("/keep_versions", keep_versions), ("/keep_versions_days", keep_versions_days)] {
        if rule.is_some_and(|number| !(1..=MAX_RULE).contains(&number)) {
            checks.complain(pointer, format!("must be 1 to {MAX_RULE}, or `null`"));
        }
    }
}

/// The body of a change: what is absent stays, `null` empties.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeWorkspace {
    name: Option<String>,
    #[serde(alias = "type")]
    workspace_type: Option<WorkspaceType>,
    /// `null` moves it to the top.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    parent_workspace_id: Option<Option<WorkspaceId>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    unique_identifier: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Option<AccountId>>,
    /// `null` lifts the limit.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>)]
    storage_quota: Option<Option<i64>>,
    /// `null` keeps them all. What no rule keeps any more goes in a moment.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>)]
    keep_versions: Option<Option<i32>>,
    /// `null` keeps them always.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>)]
    keep_versions_days: Option<Option<i32>>,
    tags: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    #[schema(value_type = Option<Object>)]
    settings: Option<Map<String, Value>>,
}

impl ChangeWorkspace {
    /// The workspace as it would be.
    ///
    /// # Errors
    /// Invalid, with every field that is.
    pub fn apply(self, workspace: &mut Workspace) -> Result<()> {
        let mut checks = Checks::default();
        if let Some(name) = self.name.and_then(|name| checks.name("/name", &name)) {
            workspace.name = name;
        }
        if let Some(kind) = self.workspace_type {
            workspace.workspace_type = kind;
        }
        if let Some(parent) = self.parent_workspace_id {
            workspace.parent_workspace_id = parent;
        }
        if let Some(identifier) = self.unique_identifier {
            workspace.unique_identifier =
                identifier.map(|text| checks.label("/unique_identifier", text, MAX_IDENTIFIER_CHARS));
        }
        if let Some(account) = self.account_id {
            workspace.account_id = account;
        }
        if let Some(quota) = self.storage_quota {
            workspace.storage_quota = quota.map(|bytes| checks.bytes("/storage_quota", bytes));
        }
        if let Some(rule) = self.keep_versions {
            workspace.keep_versions = rule;
        }
        if let Some(rule) = self.keep_versions_days {
            workspace.keep_versions_days = rule;
        }
        check_rules(&mut checks, workspace.keep_versions, workspace.keep_versions_days);
        if let Some(tags) = self.tags {
            workspace.tags = checks.tags("/tags", tags);
        }
        if let Some(metadata) = self.metadata {
            workspace.metadata = checks.metadata("/metadata", metadata);
        }
        if let Some(settings) = self.settings {
            workspace.settings = checks.metadata("/settings", settings);
        }
        checks.finish()
    }

    /// The workspace that it is to lie in, where that changes.
    pub(super) fn new_parent(&self) -> Option<WorkspaceId> {
        self.parent_workspace_id.flatten()
    }

    /// The account that it is to belong to, where that changes.
    pub(super) fn new_account(&self) -> Option<AccountId> {
        self.account_id.flatten()
    }
}

/// Which workspaces to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListWorkspaces {
    /// Only those directly in this one; `root` for those in none.
    pub(super) parent_workspace_id: Option<String>,
    /// Only those with this tag.
    pub(super) tag: Option<String>,
    /// Only those of this type.
    #[serde(alias = "type")]
    #[param(inline)]
    pub(super) workspace_type: Option<WorkspaceType>,
    /// Those in the trash instead, without what was deleted with them.
    #[serde(default)]
    pub(super) deleted: bool,
    /// Most items to answer with, 1 to 200 (default 50).
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ListWorkspaces {
    /// The page.
    pub(super) fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone() }
    }
}
