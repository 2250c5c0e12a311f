//! Which requests for a run are valid.

use rowhouse_database::Sql;
use rowhouse_domain::{
    ClusterId, MigrationDirection, MigrationOrder, MigrationRehearsal, MigrationVerify, OrganizationId, TenantId,
    TenantType,
};
use rowhouse_migrations::Migrations;
use rowhouse_problem::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::Selection;
use crate::clusters;
use crate::input::{Complaints, text as text_of};

/// Which schemas a run is to be about; all of them where nothing is said.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Where {
    /// Those of tenants of this type. Shared databases have no type and are left out.
    #[serde(rename = "type", default)]
    #[schema(value_type = Option<String>, example = "trial")]
    pub(crate) tenant_type: Option<TenantType>,
    /// Those on the cluster with this name, or this id.
    #[schema(example = "eu-1")]
    pub(crate) cluster: Option<String>,
    /// Those on the cluster with this id.
    #[schema(value_type = Option<String>)]
    pub(crate) cluster_id: Option<ClusterId>,
    /// Those of tenants of this organization. Shared databases belong to many and are left out.
    #[schema(value_type = Option<String>)]
    pub(crate) organization_id: Option<OrganizationId>,
    /// That of one tenant; where it shares a schema, the shared one.
    #[schema(value_type = Option<String>)]
    pub(crate) tenant_id: Option<TenantId>,
}

impl Where {
    /// The same with the cluster's id for its name.
    pub(crate) async fn resolve(&self, db: &impl Sql) -> Result<Selection> {
        const POINTER: &str = "/where/cluster";
        let named = match self.cluster.as_deref() {
            None => None,
            Some(_) if self.cluster_id.is_some() => {
                return Err(Error::invalid_field(POINTER, "give this or `cluster_id`, not both"));
            }
            Some(text) => match text.parse::<ClusterId>() {
                Ok(id) => Some(id),
                Err(_) => {
                    let name = text_of(text, 63).map_err(|detail| Error::invalid_field(POINTER, detail))?;
                    let found = clusters::store::find_by_name(db, &name).await?;
                    let unknown = || Error::invalid_field(POINTER, format!("there is no cluster called `{name}`"));
                    Some(found.ok_or_else(unknown)?.id)
                }
            },
        };
        Ok(Selection {
            tenant_type: self.tenant_type,
            cluster_id: named.or(self.cluster_id),
            organization_id: self.organization_id,
            tenant_id: self.tenant_id,
        })
    }
}

/// The body of a request for a run; what is absent has a default.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRun {
    /// The version to go to; the newest, unless given. Going back needs it.
    pub(crate) to: Option<u32>,
    /// `up` (the default) or `down`.
    #[schema(value_type = Option<String>, example = "up")]
    pub(crate) direction: Option<MigrationDirection>,
    #[serde(default, rename = "where")]
    pub(crate) selection: Where,
    /// `oldest` (the default), `smallest` or `random`.
    #[schema(value_type = Option<String>, example = "oldest")]
    pub(crate) order: Option<MigrationOrder>,
    /// Schemas that go first: a number, or a share such as `1%`; 1, unless given. 0 for none.
    #[schema(example = "1%")]
    pub(crate) canary: Option<String>,
    /// For how long canaries are watched before the others follow; 0, unless given.
    pub(crate) soak_seconds: Option<i32>,
    /// Halt where the data plane fails requests of a canary's tenants; then canaries are watched for 60 seconds, unless
    /// `soak_seconds` says otherwise.
    #[serde(default)]
    pub(crate) health_check: bool,
    /// How many of a canary's requests may fail: `1%`, unless given.
    #[schema(example = "0.5%")]
    pub(crate) max_error_rate: Option<String>,
    /// Schemas between two pauses; 50, unless given.
    pub(crate) batch: Option<i32>,
    /// Between two batches; 0, unless given: then there are no batches.
    pub(crate) pause_seconds: Option<i32>,
    /// At once, over all workers; 8, unless given.
    pub(crate) parallel: Option<i32>,
    /// The run halts at so many: a number, or a share such as `1%`; 3, unless given.
    #[schema(example = "3")]
    pub(crate) max_failures: Option<String>,
    /// Which schemas are held against their template as soon as they are migrated, and have failed if they differ: `all`, or the
    /// `canaries`. As the settings have it (`migrations.verify_in_runs`), unless given.
    #[schema(value_type = Option<String>, example = "all")]
    pub(crate) verify: Option<MigrationVerify>,
    /// How long a statement may wait for a table; 3000, unless given.
    pub(crate) lock_timeout_ms: Option<i32>,
    /// How long a statement may take; 600000, unless given.
    pub(crate) statement_timeout_ms: Option<i32>,
    /// Only try out what the run would do, and change nothing: in a `clone` of each database, which is dropped afterwards, or
    /// `in_place`, in a transaction of the live schema that is rolled back. No canaries then, and no halt, unless given. A
    /// database that can't be cloned, since somebody is connected to it, is skipped.
    #[schema(value_type = Option<String>, example = "clone")]
    pub(crate) dry_run: Option<MigrationRehearsal>,
    /// For how long a dry run may hold locks in a live schema; 1000, unless given.
    pub(crate) lock_cap_ms: Option<i32>,
    /// Go on also where a data plane that is up does not serve the target, and refuses tenants that are at it.
    #[serde(default)]
    pub(crate) ignore_served_versions: bool,
}

/// A run as it was asked for, with every number decided.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) direction: MigrationDirection,
    pub(super) target: i32,
    pub(super) selection: Selection,
    pub(super) order: MigrationOrder,
    /// Decided by the settings where it is none.
    pub(super) verify: Option<MigrationVerify>,
    pub(super) canaries: i32,
    pub(super) soak_seconds: i32,
    pub(super) batch_size: i32,
    pub(super) pause_seconds: i32,
    pub(super) parallelism: i32,
    pub(super) max_failures: i32,
    pub(super) lock_timeout_ms: i32,
    pub(super) statement_timeout_ms: i32,
    pub(super) dry_run: Option<MigrationRehearsal>,
    pub(super) lock_cap_ms: i32,
    pub(super) ignores_served_versions: bool,
    /// In percent.
    pub(super) max_error_rate: Option<f64>,
}

impl Wanted {
    /// Reads a request; `schemas` is how many the run would be about now, which shares are of.
    pub(super) fn parse(body: &StartRun, selection: Selection, migrations: &Migrations, schemas: i64) -> Result<Self> {
        let mut complaints = Complaints::default();
        let direction = body.direction.unwrap_or(MigrationDirection::Up);
        let newest = migrations.latest();
        let target = match (direction, body.to) {
            (MigrationDirection::Up, None) => Some(newest),
            (MigrationDirection::Down, None) => {
                complaints.require("/to", false, "must say to which version to go back");
                None
            }
            (_, Some(version)) => complaints.take("/to", known(version, newest)),
        };
        if let (MigrationDirection::Down, Some(target)) = (direction, target) {
            complaints.take("/to", reversible(migrations, target));
        }
        let number = |value: Option<i32>, default: i32, least: i32| {
            let value = value.unwrap_or(default);
            if value >= least { Ok(value) } else { Err(format!("must be at least {least}")) }
        };
        let share = |text: Option<&str>, default: i32| text.map_or(Ok(default), |text| share(text, schemas));
        let is_earnest = body.dry_run.is_none();
        let forward = is_earnest || direction == MigrationDirection::Up;
        complaints.require("/dry_run", forward, "only going forward can be tried out");
        let lock_cap_ms = complaints.take("/lock_cap_ms", number(body.lock_cap_ms, 1_000, 1));
        let canaries = complaints.take("/canary", share(body.canary.as_deref(), i32::from(is_earnest)));
        let max_failures = complaints
            .take("/max_failures", share(body.max_failures.as_deref(), if is_earnest { 3 } else { i32::MAX }));
        let soak_seconds =
            complaints.take("/soak_seconds", number(body.soak_seconds, if body.health_check { 60 } else { 0 }, 0));
        let is_watched = soak_seconds != Some(0) && canaries != Some(0) && is_earnest;
        let detail = "needs canaries that are migrated in earnest and watched for a while";
        complaints.require("/health_check", is_watched || !body.health_check, detail);
        let rate = body.max_error_rate.as_deref();
        complaints.require("/max_error_rate", body.health_check || rate.is_none(), "needs `health_check`");
        let max_error_rate = complaints.take("/max_error_rate", rate.map_or(Ok(1.0), percent));
        let batch_size = complaints.take("/batch", number(body.batch, 50, 1));
        let pause_seconds = complaints.take("/pause_seconds", number(body.pause_seconds, 0, 0));
        let parallelism = complaints.take("/parallel", number(body.parallel, 8, 1));
        let lock_timeout_ms = complaints.take("/lock_timeout_ms", number(body.lock_timeout_ms, 3_000, 1));
        let statement_timeout_ms =
            complaints.take("/statement_timeout_ms", number(body.statement_timeout_ms, 600_000, 1));
        let wanted = (|| {
            Some(Self {
                direction,
                target: i32::try_from(target?).ok()?,
                selection,
                order: body.order.unwrap_or(MigrationOrder::Oldest),
                verify: body.verify,
                canaries: canaries?,
                soak_seconds: soak_seconds?,
                batch_size: batch_size?,
                pause_seconds: pause_seconds?,
                parallelism: parallelism?,
                max_failures: max_failures?.max(1),
                lock_timeout_ms: lock_timeout_ms?,
                statement_timeout_ms: statement_timeout_ms?,
                dry_run: body.dry_run,
                lock_cap_ms: lock_cap_ms?,
                ignores_served_versions: body.ignore_served_versions,
                max_error_rate: max_error_rate.filter(|_| body.health_check),
            })
        })();
        complaints.finish_with(wanted)
    }
}

/// Not 0, which is no schema at all: whoever wants that purges the tenants.
fn known(version: u32, newest: u32) -> Result<u32, String> {
    if (1..=newest).contains(&version) {
        Ok(version)
    } else {
        Err(format!("must be at least 1 and at most {newest}, the newest that there is"))
    }
}

/// Every migration above `target` can be taken back.
fn reversible(migrations: &Migrations, target: u32) -> Result<(), String> {
    let mut newer = migrations.list().iter().filter(|migration| migration.version > target);
    newer.try_for_each(|migration| migration.way_back().map(drop)).map_err(|error| error.to_string())
}

/// A share of requests.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| format!("must be a share such as `0.5%`, and is {text:?}"))
}

/// A number of schemas, or a share of them, rounded up.
fn share(text: &str, all: i64) -> Result<i32, String> {
    let wrong = || format!("must be a number or a share such as `1%`, and is {text:?}");
    let number = match text.strip_suffix('%') {
        None => text.parse().map_err(|_| wrong())?,
        Some(percent) => {
            let percent: u8 = percent.parse().map_err(|_| wrong())?;
            if percent > 100 {
                return Err(wrong());
            }
            // Of however few, some: a run that may begin with none, or halts before any has failed, is what `0%` says.
            ((all * i64::from(percent) + 99) / 100).max(i64::from(percent > 0))
        }
    };
    i32::try_from(number).ok().filter(|number| *number >= 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up_and_nonsense_is_refused() {
        assert_eq!(share("5", 1000), Ok(5));
        assert_eq!(share("1%", 1000), Ok(10));
        assert_eq!(share("1%", 50), Ok(1));
        assert_eq!(share("0%", 50), Ok(0));
        assert_eq!(share("1%", 0), Ok(1));
        for wrong in ["", "-1", "101%", "1.5", "%", "five"] {
            assert!(share(wrong, 10).is_err(), "{wrong:?}");
        }
        assert_eq!(percent("0.5%"), Ok(0.5));
        for wrong in ["1", "-1%", "101%", "NaN%", "inf%", "%"] {
            assert!(percent(wrong).is_err(), "{wrong:?}");
        }
    }
}
