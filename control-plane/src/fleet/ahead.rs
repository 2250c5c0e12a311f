//! Which schemas a run has before it, and in which order: the same for those who claim them and for a plan.

use std::collections::VecDeque;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{ClusterId, Isolation, MigrationRunId, TenantId};
use rowhouse_migrations::Migrations;
use rowhouse_problem::Result;
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{HeldSchema, PlannedSchema, PlannedVersion, Selection};
use super::requests::{StartRun, Wanted};

// `run` has `id`, `direction`, `target_version`, `selection`, `ordering` and the limits of a run. What failed the last time comes
// last, so that it never keeps the others waiting. `among` is one more condition.
macro_rules! ahead {
    ($run:literal) => {
        ahead!($run, "")
    };
    ($run:literal, $among:literal) => {
        concat!(
            "select fleet.schema_id, fleet.name, fleet.cluster_id, fleet.database_name, fleet.schema_name, fleet.schema_version,
                fleet.tenant_id, fleet.isolation, earlier.has_failed, run.direction, run.lock_timeout_ms,
                run.statement_timeout_ms, run.dry_run, run.lock_cap_ms, run.verify, run.phase, 1 as attempts,
                case run.direction
                    when 'up' then least(run.target_version, coalesce(hold.version, run.target_version))
                    else run.target_version end as target
            from ", $run, " run
            cross join lateral fleet_selected(run.selection) fleet
            left join migration_holds hold on hold.schema_id = fleet.schema_id
            cross join lateral (select coalesce((select earlier.state = 'failed' from migration_run_schemas earlier
                join migration_runs of_run on of_run.id = earlier.run_id and of_run.dry_run is null
                where earlier.schema_id = fleet.schema_id order by earlier.run_id desc limit 1), false) as has_failed) earlier
            where not exists (select from migration_run_schemas begun
                    where begun.run_id = run.id and begun.schema_id = fleet.schema_id and not begun.is_due_again)
                and not exists (select from schema_checks seen
                    where seen.schema_id = fleet.schema_id and seen.is_blocking)
                and case run.direction
                    when 'up' then fleet.schema_version < run.target_version
                        and (hold.schema_id is null or fleet.schema_version < hold.version)
                    else fleet.schema_version > run.target_version and hold.schema_id is null end
                ", $among, "
            order by earlier.has_failed,
                case run.ordering when 'smallest' then fleet.bytes
                    when 'oldest' then extract(epoch from fleet.created_at)::bigint
                    else hashtextextended(fleet.schema_id::text, hashtext(run.id::text)) end,
                fleet.schema_id "
        )
    };
}

/// Schemas that are looked for at once: the whole fleet is sorted for it.
const SIGHTED: i64 = 256;

const OF_RUN: &str = concat!(ahead!("(select * from migration_runs where id = $1)"), "limit $2");
const AMONG: &str =
    concat!(ahead!("(select * from migration_runs where id = $1)", "and fleet.schema_id = any($3)"), "limit $2");

/// Schemas that were ahead of a run when they were looked for, in its order. Each is looked at again before it is begun.
#[derive(Debug, Default)]
pub(super) struct Sighted(VecDeque<Uuid>);

impl Sighted {
    /// Schemas that a run has not begun and may; none where there are none, at most so many.
    pub(super) async fn of_run(&mut self, tx: &impl Sql, run: MigrationRunId, most: i64) -> Result<Vec<Row>> {
        let look = usize::try_from(most).unwrap_or(1).max(1) * 2;
        while !self.0.is_empty() {
            let ids: Vec<Uuid> = self.0.iter().take(look).copied().collect();
            let rows = tx.query(AMONG, &[&run, &most, &ids]).await.context("looking at schemas to migrate")?;
            if !rows.is_empty() {
                return Ok(rows);
            }
            self.0.drain(..ids.len());
        }
        let rows = tx.query(OF_RUN, &[&run, &SIGHTED.max(most)]).await.context("looking for schemas to migrate")?;
        self.0 = rows.iter().map(|row| row.column("schema_id")).collect::<Result<_>>()?;
        Ok(rows.into_iter().take(usize::try_from(most).unwrap_or(0)).collect())
    }

    /// Leaves out those that were begun, and those before them that turned out to be somebody else's.
    pub(super) fn begun(&mut self, schemas: &[Uuid]) {
        let Some(last) = self.0.iter().rposition(|id| schemas.contains(id)) else { return };
        self.0.drain(..=last);
    }
}

const PLANNED: &str = concat!(
    ahead!(
        "(select null::uuid as id, $1::migration_direction as direction, $2::integer as target_version, $3::jsonb as selection,
            $4::migration_order as ordering, 0 as lock_timeout_ms, 0 as statement_timeout_ms, null::migration_rehearsal as dry_run, 0 as lock_cap_ms,
            null::migration_verify as verify, null as phase)"
    ),
    "limit $5 offset $6"
);

/// Those that a run would have before it, from one of them on.
pub(super) async fn planned(db: &impl Sql, wanted: &Wanted, limit: i64, offset: i64) -> Result<Vec<PlannedSchema>> {
    let parameters: rowhouse_database::Parameters<'_> =
        &[&wanted.direction, &wanted.target, &wanted.selection.stored(), &wanted.order, &limit, &offset];
    let rows = db.query(PLANNED, parameters).await.context("planning a run")?;
    let read = |(index, row): (usize, &Row)| {
        let position = offset + i64::try_from(index).unwrap_or(i64::MAX) + 1;
        let behind_canaries = position - 1 - i64::from(wanted.canaries);
        Ok(PlannedSchema {
            position,
            is_canary: behind_canaries < 0,
            batch: (behind_canaries >= 0 && wanted.pause_seconds > 0)
                .then(|| behind_canaries / i64::from(wanted.batch_size) + 1),
            name: row.column("name")?,
            schema_id: row.column("schema_id")?,
            tenant_id: row.column::<Option<TenantId>>("tenant_id")?,
            cluster_id: row.column::<ClusterId>("cluster_id")?,
            isolation: row.column::<Isolation>("isolation")?,
            from_version: row.column("schema_version")?,
            to_version: row.column("target")?,
            has_failed_before: row.column("has_failed")?,
        })
    };
    rows.iter().enumerate().map(read).collect()
}

const VERSIONS: &str = concat!(
    "select schema_version as version, count(*) as schemas, count(*) filter (where has_failed) as failed from (",
    ahead!(
        "(select null::uuid as id, $1::migration_direction as direction, $2::integer as target_version, $3::jsonb as selection,
            'oldest'::migration_order as ordering, 0 as lock_timeout_ms, 0 as statement_timeout_ms, null::migration_rehearsal as dry_run, 0 as lock_cap_ms,
            null::migration_verify as verify, null as phase)"
    ),
    ") ahead group by schema_version order by schema_version"
);

/// What a request asks for, with shares of those that the run has before it.
pub(super) async fn wanted(
    db: &impl Sql,
    request: &StartRun,
    selection: Selection,
    migrations: &Migrations,
) -> Result<Wanted> {
    // Which ones those are, no share has a say in.
    let first = Wanted::parse(request, selection, migrations, 0)?;
    let ahead = versions(db, &first).await?.iter().map(|one| one.schemas).sum();
    Wanted::parse(request, first.selection, migrations, ahead)
}

/// From which versions a run would bring how many schemas on.
pub(super) async fn versions(db: &impl Sql, wanted: &Wanted) -> Result<Vec<PlannedVersion>> {
    let parameters: rowhouse_database::Parameters<'_> =
        &[&wanted.direction, &wanted.target, &wanted.selection.stored()];
    let rows = db.query(VERSIONS, parameters).await.context("counting the schemas of a plan")?;
    let read = |row: &Row| {
        Ok(PlannedVersion {
            version: row.column("version")?,
            schemas: row.column("schemas")?,
            failed_before: row.column("failed")?,
        })
    };
    rows.iter().map(read).collect()
}

const HELD: &str = "
    select fleet.schema_id, fleet.name, fleet.tenant_id, fleet.schema_version, hold.version, hold.reason, hold.created_at
    from fleet_selected($3) fleet join migration_holds hold on hold.schema_id = fleet.schema_id
    where case $1::migration_direction
        when 'up' then fleet.schema_version < $2::integer and (hold.version is null or hold.version < $2::integer)
        else fleet.schema_version > $2::integer end
    order by fleet.schema_id limit $4";

/// Those that it would pass by, or bring only so far, because somebody holds them back.
pub(super) async fn held(db: &impl Sql, wanted: &Wanted, most: i64) -> Result<Vec<HeldSchema>> {
    let parameters: rowhouse_database::Parameters<'_> =
        &[&wanted.direction, &wanted.target, &wanted.selection.stored(), &most];
    let rows = db.query(HELD, parameters).await.context("listing the held schemas of a plan")?;
    let read = |row: &Row| {
        Ok(HeldSchema {
            schema_id: row.column::<Uuid>("schema_id")?,
            name: row.column("name")?,
            tenant_id: row.column("tenant_id")?,
            from_version: row.column("schema_version")?,
            up_to_version: row.column("version")?,
            reason: row.column("reason")?,
            held_since: row.column("created_at")?,
        })
    };
    rows.iter().map(read).collect()
}

const BLOCKED: &str = "
    select count(*) as blocked from fleet_selected($3) fleet
    join schema_checks seen on seen.schema_id = fleet.schema_id and seen.is_blocking
    where case $1::migration_direction
        when 'up' then fleet.schema_version < $2::integer else fleet.schema_version > $2::integer end";

/// How many it would pass by because they differ from their template.
pub(super) async fn blocked(db: &impl Sql, wanted: &Wanted) -> Result<i64> {
    let parameters: rowhouse_database::Parameters<'_> =
        &[&wanted.direction, &wanted.target, &wanted.selection.stored()];
    db.query_one(BLOCKED, parameters).await.context("counting the blocked schemas of a plan")?.column("blocked")
}
