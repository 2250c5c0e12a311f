//! What a sweep is, and what it saw, as the API shows it.

use jiff::Timestamp;
use rowhouse_domain::{
    ActorKind, ClusterId, MigrationRunId, SchemaCheckState, SweepCause, SweepId, SweepState, TenantId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::fleet::Selection;

/// A sweep.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Sweep {
    #[schema(value_type = String, example = "swp_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(crate) id: SweepId,
    /// `operator`, `schedule` or `run`.
    #[schema(value_type = String, example = "operator")]
    pub(crate) cause: SweepCause,
    /// The run whose schemas it looks at.
    #[schema(value_type = Option<String>)]
    pub(crate) run_id: Option<MigrationRunId>,
    pub(crate) selection: Selection,
    #[schema(value_type = String, example = "running")]
    pub(crate) state: SweepState,
    /// How many there were to look at when it began.
    pub(crate) schemas: i32,
    pub(crate) same: i32,
    /// Those among them that differ in nothing but what was accepted are counted apart.
    pub(crate) different: i32,
    pub(crate) accepted: i32,
    pub(crate) unreadable: i32,
    /// A worker was migrating them, or they were gone.
    pub(crate) passed_by: i32,
    #[schema(value_type = String, example = "platform_key")]
    pub(crate) started_by_kind: ActorKind,
    pub(crate) started_by: Option<Uuid>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ended_at: Option<Timestamp>,
}

/// What was seen of a schema the last time.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SchemaCheck {
    pub(crate) schema_id: Uuid,
    /// The tenant's, or the shared database's.
    pub(crate) name: String,
    /// None where tenants share the schema.
    #[schema(value_type = Option<String>)]
    pub(crate) tenant_id: Option<TenantId>,
    #[schema(value_type = String)]
    pub(crate) cluster_id: ClusterId,
    pub(crate) database_name: String,
    pub(crate) schema_name: String,
    /// None where a run looked, right after it had migrated it.
    #[schema(value_type = Option<String>)]
    pub(crate) sweep_id: Option<SweepId>,
    /// `same`, `different`, `accepted` (it differs in nothing but what is meant) or `unreadable`.
    #[schema(value_type = String, example = "different")]
    pub(crate) state: SchemaCheckState,
    pub(crate) version: Option<i32>,
    pub(crate) differences: Vec<ObjectDifference>,
    /// What was accepted of this schema, if anything was.
    pub(crate) acceptance: Option<Acceptance>,
    /// Why it could not be read.
    pub(crate) error: Option<String>,
    /// Whether runs of migrations pass it by.
    pub(crate) is_blocking: bool,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) checked_at: Timestamp,
}

/// What differs in a schema and is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Acceptance {
    /// The tenant's id, or that of the database that it shares.
    pub(crate) schema_id: Uuid,
    pub(crate) reason: String,
    /// As they were when they were accepted; anything else that differs is not.
    pub(crate) differences: Vec<ObjectDifference>,
    #[schema(value_type = String, example = "platform_key")]
    pub(crate) accepted_by_kind: ActorKind,
    pub(crate) accepted_by: Option<Uuid>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) accepted_at: Timestamp,
}

/// An object that is not what the template has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ObjectDifference {
    #[schema(example = "index")]
    pub(crate) kind: String,
    #[schema(example = "files_tags_idx")]
    pub(crate) name: String,
    /// What it should be; none where it should not be there.
    pub(crate) expected: Option<String>,
    /// What it is; none where it is missing.
    pub(crate) found: Option<String>,
    /// Of all of the above, and of what belongs to a table that is missing or additional as a whole.
    pub(crate) hash: String,
    /// SQL that brings it back, to be run as the owner with the schema first in the search path.
    pub(crate) repair: Option<String>,
    /// The statement must stand outside of transactions.
    #[serde(default)]
    pub(crate) is_outside: bool,
    /// Why there is no simple repair.
    pub(crate) by_hand: Option<String>,
}
