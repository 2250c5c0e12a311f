//! What a run of migrations is, as the API shows it.

use std::fmt;

use jiff::Timestamp;
use rowhouse_domain::{
    ActorKind, ClusterId, Isolation, MigrationDirection, MigrationOrder, MigrationPhase, MigrationRehearsal,
    MigrationRunId, MigrationRunState, MigrationVerify, OrganizationId, SchemaMigrationState, TenantId, TenantType,
};
use rowhouse_web::Listing;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Which schemas a run is about; all of them where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selection {
    /// Those of tenants of this type. Shared databases have no type and are left out.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "trial")]
    pub(crate) tenant_type: Option<TenantType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) cluster_id: Option<ClusterId>,
    /// Those of tenants of this organization. Shared databases belong to many and are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) organization_id: Option<OrganizationId>,
    /// That of one tenant; where it shares a schema, the shared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) tenant_id: Option<TenantId>,
}

/// As `--where` of the command line has it.
impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = [
            ("type", self.tenant_type.map(|kind| kind.to_string())),
            ("cluster", self.cluster_id.map(|id| id.to_string())),
            ("org", self.organization_id.map(|id| id.to_string())),
            ("tenant", self.tenant_id.map(|id| id.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value?)))
        .collect();
        formatter.write_str(if parts.is_empty() { "all schemas" } else { "" })?;
        formatter.write_str(&parts.join(","))
    }
}

/// A run.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Run {
    #[schema(value_type = String, example = "mig_01jz3x5v8qf6k9m2n4p7r0s1t3")]
    pub(crate) id: MigrationRunId,
    #[schema(value_type = String, example = "up")]
    pub(crate) direction: MigrationDirection,
    pub(crate) target_version: i32,
    pub(crate) selection: Selection,
    #[schema(value_type = String, example = "smallest")]
    pub(crate) order: MigrationOrder,
    /// Which schemas are held against their template as soon as they are migrated.
    #[schema(value_type = String, example = "all")]
    pub(crate) verify: MigrationVerify,
    pub(crate) canaries: i32,
    pub(crate) soak_seconds: i32,
    pub(crate) batch_size: i32,
    pub(crate) pause_seconds: i32,
    pub(crate) parallelism: i32,
    pub(crate) max_failures: i32,
    pub(crate) lock_timeout_ms: i32,
    pub(crate) statement_timeout_ms: i32,
    /// It only tries out what it would do: in a `clone` of each database, or `in_place`.
    #[schema(value_type = Option<String>)]
    pub(crate) dry_run: Option<MigrationRehearsal>,
    pub(crate) lock_cap_ms: i32,
    /// It goes on also where a data plane that is up does not serve the target.
    pub(crate) ignores_served_versions: bool,
    /// It halts where the data plane fails more of a canary's requests, in percent; none: nobody counts.
    pub(crate) max_error_rate: Option<f64>,
    #[schema(value_type = String, example = "running")]
    pub(crate) state: MigrationRunState,
    #[schema(value_type = String, example = "fleet")]
    pub(crate) phase: MigrationPhase,
    /// Why it is halted, paused or cancelled.
    pub(crate) reason: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) waits_until: Option<Timestamp>,
    pub(crate) counts: Counts,
    /// Of the schemas at work, the one that was begun first.
    pub(crate) slowest: Option<Slowest>,
    #[schema(value_type = String, example = "platform_key")]
    pub(crate) started_by_kind: ActorKind,
    pub(crate) started_by: Option<Uuid>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ended_at: Option<Timestamp>,
}

/// A schema that is at work, and for how long.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Slowest {
    /// The tenant's name, or the shared database's.
    pub(crate) name: String,
    pub(crate) seconds: f64,
}

/// How many schemas of a run stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counts {
    pub(crate) running: i64,
    pub(crate) done: i64,
    pub(crate) failed: i64,
    pub(crate) skipped: i64,
    /// Not begun, as far as can be told now: tenants come and go.
    pub(crate) left: i64,
    /// Left out because somebody holds them back.
    pub(crate) held: i64,
    /// Left out because they differ from their template.
    pub(crate) blocked: i64,
}

/// What a run did with a schema.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RunSchema {
    /// The tenant's, or the shared database's.
    pub(crate) name: String,
    /// None where tenants share the schema.
    #[schema(value_type = Option<String>)]
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) schema_id: Uuid,
    #[schema(value_type = String, example = "fleet")]
    pub(crate) phase: MigrationPhase,
    #[schema(value_type = String, example = "done")]
    pub(crate) state: SchemaMigrationState,
    pub(crate) attempts: i32,
    pub(crate) from_version: i32,
    pub(crate) to_version: Option<i32>,
    /// Each migration with its `version`, `name`, `milliseconds` and `attempts`; of a dry run with its `outcome` (`works`,
    /// `fails`, `skipped`) and the `locks` that others would wait for: `relation`, `mode`, `blocks_reads`, `milliseconds`.
    pub(crate) steps: Value,
    pub(crate) error: Option<String>,
    pub(crate) sqlstate: Option<String>,
    /// Where it was tried out, if the run is a dry one.
    #[schema(value_type = Option<String>, example = "clone")]
    pub(crate) rehearsed: Option<MigrationRehearsal>,
    /// What else there is to say: why it was not tried out, for one.
    pub(crate) note: Option<String>,
    pub(crate) worker: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) finished_at: Option<Timestamp>,
}

/// Where the fleet stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FleetStatus {
    /// The newest version that this release knows.
    pub(crate) newest_version: i32,
    pub(crate) schemas: i64,
    /// Those that are older.
    pub(crate) behind: i64,
    /// Those that somebody holds back.
    pub(crate) held: i64,
    /// Those that failed in the last run that came to them, and were not seen to be where and what they should be since.
    pub(crate) failed: i64,
    /// Those that differ from their template: runs pass them by until they were seen to be the same again.
    pub(crate) blocked: i64,
    /// Those that differ in nothing but what was accepted.
    pub(crate) accepted: i64,
    pub(crate) versions: Vec<VersionCount>,
    /// The runs that are under way, the oldest first.
    pub(crate) runs: Vec<Run>,
}

/// The schemas at one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct VersionCount {
    pub(crate) version: i32,
    pub(crate) schemas: i64,
    pub(crate) held: i64,
    pub(crate) failed: i64,
    pub(crate) blocked: i64,
    pub(crate) accepted: i64,
}

/// What a run would do now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Plan {
    #[schema(value_type = String, example = "up")]
    pub(crate) direction: MigrationDirection,
    pub(crate) target_version: i32,
    pub(crate) selection: Selection,
    #[schema(value_type = String, example = "oldest")]
    pub(crate) order: MigrationOrder,
    pub(crate) canaries: i32,
    pub(crate) soak_seconds: i32,
    pub(crate) batch_size: i32,
    pub(crate) pause_seconds: i32,
    pub(crate) parallelism: i32,
    pub(crate) max_failures: i32,
    /// The schemas that it would migrate.
    pub(crate) ahead: i64,
    /// From which versions.
    pub(crate) versions: Vec<PlannedVersion>,
    /// Those that it would pass by, or bring only so far; the first hundred.
    pub(crate) held: Vec<HeldSchema>,
    /// How many it would pass by because they differ from their template.
    pub(crate) blocked: i64,
    /// What it would apply, or take back, in that order.
    pub(crate) migrations: Vec<PlannedMigration>,
    /// The runs that would have to end first: they may come to the same schemas.
    #[schema(value_type = Vec<String>)]
    pub(crate) waits_for: Vec<MigrationRunId>,
    /// The data planes that are up and would refuse tenants at the target: the run is refused because of them, or halts, unless
    /// it is told to ignore them.
    pub(crate) not_served_by: Vec<ServingReplica>,
    /// In the order in which they would be begun; a run in random order draws its own.
    pub(crate) schemas: Listing<PlannedSchema>,
}

/// A data plane that is up, and the versions that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ServingReplica {
    /// The machine's name and the port.
    pub(crate) host: String,
    pub(crate) replica_id: Uuid,
    pub(crate) oldest_version: i32,
    pub(crate) newest_version: i32,
}

impl fmt::Display for ServingReplica {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, replica_id, oldest_version, newest_version } = self;
        write!(formatter, "{host} ({replica_id}) serves {oldest_version} to {newest_version}")
    }
}

/// Schemas at a version that a plan would bring on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PlannedVersion {
    pub(crate) version: i32,
    pub(crate) schemas: i64,
    /// Those that failed in an earlier run: they come last.
    pub(crate) failed_before: i64,
}

/// A schema that a plan passes by, or brings only so far.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct HeldSchema {
    pub(crate) schema_id: Uuid,
    pub(crate) name: String,
    /// None where tenants share the schema.
    #[schema(value_type = Option<String>)]
    pub(crate) tenant_id: Option<TenantId>,
    pub(crate) from_version: i32,
    /// It is brought up to this one; none: it stays where it is.
    pub(crate) up_to_version: Option<i32>,
    pub(crate) reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) held_since: Timestamp,
}

/// A migration that a plan would apply or take back.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PlannedMigration {
    pub(crate) version: u32,
    pub(crate) name: String,
    /// `transactional`, `no-transaction` or `backfill`.
    pub(crate) kind: &'static str,
    /// What would be sent: the migration's text, or what takes it back.
    pub(crate) sql: String,
    /// What the linter says of it.
    pub(crate) warnings: Vec<Warning>,
}

/// What the linter says of a file.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Warning {
    pub(crate) line: usize,
    pub(crate) rule: String,
    pub(crate) message: String,
    pub(crate) safe_way: String,
}

/// A schema in a plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PlannedSchema {
    /// Counted from one.
    pub(crate) position: i64,
    pub(crate) is_canary: bool,
    /// Counted from one behind the canaries; none where there is no pause between batches.
    pub(crate) batch: Option<i64>,
    pub(crate) name: String,
    pub(crate) schema_id: Uuid,
    /// None where tenants share the schema.
    #[schema(value_type = Option<String>)]
    pub(crate) tenant_id: Option<TenantId>,
    #[schema(value_type = String)]
    pub(crate) cluster_id: ClusterId,
    #[schema(value_type = String, example = "dedicated")]
    pub(crate) isolation: Isolation,
    pub(crate) from_version: i32,
    pub(crate) to_version: i32,
    pub(crate) has_failed_before: bool,
}

/// A schema that is held back.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Hold {
    /// The tenant's id, or that of the database that it shares.
    pub(crate) schema_id: Uuid,
    pub(crate) reason: String,
    /// It is brought up to this one, and no further; none: it stays where it is.
    pub(crate) version: Option<i32>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
}
