//! Platform tables `schema_sweeps` and `schema_checks`. Owns their SQL; decides nothing.

use std::time::Instant;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, PlatformConnection, PlatformTransaction, Sql};
use rowhouse_domain::{ActorKind, ClusterId, MigrationRunId, SchemaCheckState, SweepCause, SweepId};
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::accept;
use super::check::Seen;
use super::model::{SchemaCheck, Sweep};
use crate::audit::Requester;
use crate::fleet::Selection;

const INSERT: &str = "
    insert into schema_sweeps (id, cause, selection, schemas, started_by_kind, started_by)
    select $1, $2, $3, count(*), $4, $5 from fleet_selected($3)";

/// Records a sweep that somebody asked for, or that it is time for.
pub(super) async fn insert(
    db: &impl Sql,
    cause: SweepCause,
    selection: &Selection,
    requester: &Requester,
) -> Result<SweepId> {
    let id = SweepId::new();
    db.execute(INSERT, &[&id, &cause, &selection.stored(), &requester.actor.kind, &requester.actor.id])
        .await
        .context("recording a sweep")?;
    Ok(id)
}

const FOLLOW: &str = "
    insert into schema_sweeps (id, cause, run_id, selection, schemas, started_by_kind, started_by)
    select $1, 'run', run.id, run.selection, begun.schemas, run.started_by_kind, run.started_by
    from migration_runs run
    cross join lateral (
        select count(*) as schemas from migration_run_schemas begun
        left join schema_checks seen on seen.schema_id = begun.schema_id
        where begun.run_id = run.id and (begun.state = 'running' or begun.state = 'done' and not begun.is_verified
            and (seen.schema_id is null or seen.checked_at < begun.finished_at))) begun
    where run.id = $2 and run.dry_run is null and begun.schemas > 0";

/// Has a look at what a run has migrated, now that it is over or halted.
pub(crate) async fn follow(tx: &impl Sql, run: MigrationRunId) -> Result<()> {
    tx.execute(FOLLOW, &[&SweepId::new(), &run]).await.context("recording a sweep after a run").map(drop)
}

// A house that is younger needs no look yet: all of its schemas were made of the template since.
const IS_DUE: &str = "
    select exists (select from fleet_schemas where created_at < now() - make_interval(secs => $1))
        and not exists (select from schema_sweeps
            where cause = 'schedule' and created_at > now() - make_interval(secs => $1)) as is_due";

/// Whether the last scheduled sweep began longer ago.
pub(super) async fn is_due(db: &impl Sql, seconds: f64) -> Result<bool> {
    db.query_one(IS_DUE, &[&seconds]).await.context("looking when schemas were compared")?.column("is_due")
}

macro_rules! sweeps {
    () => {
        "select id, cause, run_id, selection, state, schemas, same, different, accepted, unreadable, passed_by, started_by_kind, started_by,
            created_at, ended_at from schema_sweeps "
    };
}

const FIND: &str = concat!(sweeps!(), "where id = $1");

/// A sweep.
pub(super) async fn find(db: &impl Sql, id: SweepId) -> Result<Option<Sweep>> {
    let row = db.query_opt(FIND, &[&id]).await.context("reading a sweep")?;
    row.as_ref().map(sweep).transpose()
}

const LIST: &str = concat!(sweeps!(), "where $1::uuid is null or id < $1 order by id desc limit $2");

/// Sweeps, the newest first, before one of them.
pub(super) async fn list(db: &impl Sql, before: Option<SweepId>, limit: i64) -> Result<Vec<Sweep>> {
    let rows = db.query(LIST, &[&before, &limit]).await.context("listing sweeps")?;
    rows.iter().map(sweep).collect()
}

// While schemas are migrated, only what somebody waits for takes time from the server. One after a run that halted or was
// cancelled waits for the schemas that are still under way: it goes through them once.
const NEXT: &str = concat!(
    sweeps!(),
    "where state = 'running'
        and not exists (select from migration_run_schemas begun
            where begun.run_id = schema_sweeps.run_id and begun.state = 'running')
        and (cause = 'operator' or not exists (select from migration_runs where state = 'running'))
    order by cause <> 'operator', id limit 1"
);

/// The sweep to go on with.
pub(super) async fn next(db: &impl Sql) -> Result<Option<Sweep>> {
    let row = db.query_opt(NEXT, &[]).await.context("looking for a sweep")?;
    row.as_ref().map(sweep).transpose()
}

fn sweep(row: &Row) -> Result<Sweep> {
    Ok(Sweep {
        id: row.column("id")?,
        cause: row.column("cause")?,
        run_id: row.column("run_id")?,
        selection: Selection::read(&row.column("selection")?)?,
        state: row.column("state")?,
        schemas: row.column("schemas")?,
        same: row.column("same")?,
        different: row.column("different")?,
        accepted: row.column("accepted")?,
        unreadable: row.column("unreadable")?,
        passed_by: row.column("passed_by")?,
        started_by_kind: row.column::<ActorKind>("started_by_kind")?,
        started_by: row.column("started_by")?,
        created_at: row.column("created_at")?,
        ended_at: row.column("ended_at")?,
    })
}

/// A schema to look at.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) schema_id: Uuid,
    pub(super) name: String,
    pub(super) cluster: ClusterId,
    pub(super) database: String,
    pub(super) schema: String,
}

const AHEAD: &str = "
    select fleet.schema_id, fleet.name, fleet.cluster_id, fleet.database_name, fleet.schema_name
    from schema_sweeps sweep cross join lateral fleet_selected(sweep.selection) fleet
    where sweep.id = $1 and (sweep.position is null or fleet.schema_id > sweep.position)
        and (sweep.run_id is null or exists (
            select from migration_run_schemas begun
            left join schema_checks seen on seen.schema_id = begun.schema_id
            where begun.run_id = sweep.run_id and begun.schema_id = fleet.schema_id and begun.state = 'done' and not begun.is_verified
                and (seen.schema_id is null or seen.checked_at < begun.finished_at)))
    order by fleet.schema_id limit $2";

/// The next schemas of a sweep.
pub(super) async fn ahead(db: &impl Sql, sweep: SweepId, most: i64) -> Result<Vec<Place>> {
    let rows = db.query(AHEAD, &[&sweep, &most]).await.context("looking for schemas to compare")?;
    let read = |row: &Row| {
        Ok(Place {
            schema_id: row.column("schema_id")?,
            name: row.column("name")?,
            cluster: row.column("cluster_id")?,
            database: row.column("database_name")?,
            schema: row.column("schema_name")?,
        })
    };
    rows.iter().map(read).collect()
}

// Whether runs are to pass the schema `$1` by where it differs. What a migration that failed has left is for the run to mend that
// tries it again: so it must come to it. It has left nothing where the schema was well since, at whichever version: the time of
// that stands between the two halves.
macro_rules! blocks_where_well {
    () => {
        "coalesce((
            select begun.state not in ('failed', 'running') or begun.state = 'failed' and exists (
                select from schema_checks earlier where earlier.schema_id = $1 and "
    };
}
macro_rules! is_after_its_last_run {
    () => {
        " > begun.finished_at) from migration_run_schemas begun
            join migration_runs run on run.id = begun.run_id and run.dry_run is null
            where begun.schema_id = $1 order by begun.run_id desc limit 1), true)"
    };
}

// When what is about to be written down says that the schema is well, and else when something did before.
macro_rules! well_at {
    () => {
        "same_at = case excluded.state when 'same' then excluded.checked_at else schema_checks.same_at end,
            accepted_at = case excluded.state when 'accepted' then excluded.checked_at else schema_checks.accepted_at end"
    };
}

// What was seen later says more, whoever comes first to writing it down.
const RECORD: &str = concat!(
    "insert into schema_checks (schema_id, sweep_id, state, version, differences, error, checked_at, same_at, accepted_at, is_blocking)
    values ($1, $2, $3, $4, $5, $6, $7, case $3::schema_check_state when 'same' then $7::timestamptz end,
        case $3::schema_check_state when 'accepted' then $7::timestamptz end, $3::schema_check_state = 'different' and ",
    blocks_where_well!(),
    "greatest(earlier.same_at, earlier.accepted_at)",
    is_after_its_last_run!(),
    ") on conflict (schema_id) do update
        set ",
    well_at!(),
    ", sweep_id = excluded.sweep_id, state = excluded.state, version = excluded.version,
            differences = excluded.differences, error = excluded.error, checked_at = excluded.checked_at,
            is_blocking = excluded.state not in ('same', 'accepted') and (schema_checks.is_blocking or excluded.is_blocking)
        where schema_checks.checked_at <= excluded.checked_at"
);

const NOW: &str = "select clock_timestamp() as now";

/// The time of the platform's server, by which workers also say when they saw a schema.
pub(super) async fn now(db: &impl Sql) -> Result<Timestamp> {
    db.query_one(NOW, &[]).await.context("reading the time")?.column("now")
}

/// Keeps what a sweep saw, of which it began to look at a moment, and says what it amounts to.
pub(super) async fn record(
    connection: &mut PlatformConnection,
    place: &Place,
    sweep: SweepId,
    looked_at: Timestamp,
    seen: &Seen,
) -> Result<SchemaCheckState> {
    let tx = connection.transaction().await?;
    let schema = place.schema_id;
    let (state, differences) = judged(&tx, schema, seen).await?;
    tx.execute(RECORD, &[&schema, &sweep, &state, &seen.version, &differences, &seen.error, &looked_at])
        .await
        .context("recording what was seen of a schema")?;
    tx.commit().await?;
    Ok(state)
}

/// What was seen in the light of what was accepted, which nobody changes before the transaction is over.
async fn judged(tx: &PlatformTransaction<'_>, schema: Uuid, seen: &Seen) -> Result<(SchemaCheckState, Value)> {
    accept::lock(tx, schema).await?;
    let is_accepted = accept::covers(tx, schema, seen).await?;
    let state = if is_accepted { SchemaCheckState::Accepted } else { seen.state };
    Ok((state, serde_json::to_value(&seen.differences).map_err(Error::internal)?))
}

// One that could not be read since differs for all that anybody knows. That it was accepted says nothing any more.
const BLOCK: &str = concat!(
    "update schema_checks set is_blocking = is_blocking or ",
    blocks_where_well!(),
    "earlier.same_at",
    is_after_its_last_run!(),
    ", accepted_at = null, state = case state when 'accepted' then 'different' else state end
    where schema_id = $1 and state in ('accepted', 'unreadable')"
);

/// Keeps runs from a schema of which nothing is accepted any more.
pub(super) async fn block_again(tx: &impl Sql, schema: Uuid) -> Result<()> {
    tx.execute(BLOCK, &[&schema]).await.context("keeping runs from a schema").map(drop)
}

const RECORD_OF_RUN: &str = concat!(
    "insert into schema_checks (schema_id, state, version, differences, error, is_blocking, checked_at, same_at, accepted_at)
    select $1, $2::schema_check_state, $3, $4, $5, $2::schema_check_state = 'different', at.checked,
        case $2::schema_check_state when 'same' then at.checked end,
        case $2::schema_check_state when 'accepted' then at.checked end
    from (select clock_timestamp() - make_interval(secs => $6) as checked) at
    on conflict (schema_id) do update
        set ",
    well_at!(),
    ", sweep_id = null, state = excluded.state, version = excluded.version, differences = excluded.differences,
            error = excluded.error, is_blocking = excluded.is_blocking, checked_at = excluded.checked_at
        where schema_checks.checked_at <= excluded.checked_at"
);

// Of what was the same nothing can be accepted, so there is nobody to take turns with.
const RECORD_SAME: &str = "
    insert into schema_checks (schema_id, state, version, differences, is_blocking, checked_at, same_at)
    select $1, 'same', $2, '[]', false, at.checked, at.checked
    from (select clock_timestamp() - make_interval(secs => $3) as checked) at
    on conflict (schema_id) do update
        set sweep_id = null, version = excluded.version, checked_at = excluded.checked_at, same_at = excluded.same_at
        where schema_checks.state = 'same' and schema_checks.checked_at <= excluded.checked_at";

/// Keeps what a worker saw of a schema that it has just migrated, when it began to look at a moment, and says what it amounts to.
pub(crate) async fn record_of_run(
    connection: &mut PlatformConnection,
    schema: Uuid,
    looked_at: Instant,
    seen: &Seen,
) -> Result<SchemaCheckState> {
    if seen.state == SchemaCheckState::Same {
        let ago = looked_at.elapsed().as_secs_f64();
        let kept = connection.execute(RECORD_SAME, &[&schema, &seen.version, &ago]).await;
        if kept.context("recording that a schema is still the same")? > 0 {
            return Ok(SchemaCheckState::Same);
        }
    }
    let tx = connection.transaction().await?;
    let (state, differences) = judged(&tx, schema, seen).await?;
    // By the server's clock, which the others' looks are told by too.
    let ago = looked_at.elapsed().as_secs_f64();
    tx.execute(RECORD_OF_RUN, &[&schema, &state, &seen.version, &differences, &seen.error, &ago])
        .await
        .context("recording what a worker saw of a schema")?;
    tx.commit().await?;
    Ok(state)
}

/// What came of a part of a sweep.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) same: i32,
    pub(super) different: i32,
    pub(super) accepted: i32,
    pub(super) unreadable: i32,
    pub(super) passed_by: i32,
}

// Not where another leader has come further meanwhile.
const ADVANCE: &str = "
    update schema_sweeps set position = $2, same = same + $3, different = different + $4, accepted = accepted + $5,
        unreadable = unreadable + $6, passed_by = passed_by + $7
    where id = $1 and state = 'running' and (position is null or position < $2)";

/// Says how far a sweep is.
pub(super) async fn advance(db: &impl Sql, sweep: SweepId, position: Uuid, counted: Counted) -> Result<()> {
    let Counted { same, different, accepted, unreadable, passed_by } = counted;
    db.execute(ADVANCE, &[&sweep, &position, &same, &different, &accepted, &unreadable, &passed_by])
        .await
        .context("bringing a sweep on")
        .map(drop)
}

const END: &str = "update schema_sweeps set state = 'done', ended_at = now() where id = $1 and state = 'running'";
const FORGET: &str = "
    delete from schema_checks seen where not exists (select from tenants where tenants.id = seen.schema_id and status <> 'purged')
        and not exists (select from group_databases where group_databases.id = seen.schema_id)";

/// Ends it, and forgets schemas that are gone for good. Whether it was not ended yet.
pub(super) async fn end(db: &impl Sql, sweep: SweepId) -> Result<bool> {
    db.execute(FORGET, &[]).await.context("forgetting schemas that are gone")?;
    accept::forget(db).await?;
    Ok(db.execute(END, &[&sweep]).await.context("ending a sweep")? > 0)
}

const COUNT: &str = "
    select count(*) filter (where seen.state = 'different') as different, count(*) filter (where seen.is_blocking) as blocked,
        count(*) filter (where seen.state = 'unreadable') as unreadable
    from fleet_schemas fleet join schema_checks seen on seen.schema_id = fleet.schema_id";

/// How many schemas differed, are blocked, and could not be read, when they were looked at the last time.
pub(super) async fn count(db: &impl Sql) -> Result<(i64, i64, i64)> {
    let row = db.query_one(COUNT, &[]).await.context("counting schemas that differ")?;
    Ok((row.column("different")?, row.column("blocked")?, row.column("unreadable")?))
}

const CHECKS: &str = "
    select fleet.schema_id, fleet.name, fleet.tenant_id, fleet.cluster_id, fleet.database_name, fleet.schema_name, seen.sweep_id,
        seen.state, seen.version, seen.differences, seen.error, seen.is_blocking, seen.checked_at, accepted.reason,
        accepted.differences as accepted_differences, accepted.accepted_by_kind, accepted.accepted_by,
        accepted.accepted_at
    from fleet_schemas fleet join schema_checks seen on seen.schema_id = fleet.schema_id
    left join schema_acceptances accepted on accepted.schema_id = fleet.schema_id
    where ($1::uuid is null or seen.sweep_id = $1) and ($2::schema_check_state is null or seen.state = $2)
        and ($3::boolean is null or seen.is_blocking = $3) and ($4::uuid is null or fleet.schema_id = $4)
        and ($5::uuid is null or fleet.schema_id > $5)
    order by fleet.schema_id limit $6";

/// Which checks are listed: all that this says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    pub(super) sweep: Option<SweepId>,
    pub(super) state: Option<SchemaCheckState>,
    pub(super) is_blocking: Option<bool>,
    pub(super) schema: Option<Uuid>,
}

/// What was seen of schemas the last time.
pub(super) async fn checks(db: &impl Sql, filter: Filter, after: Option<Uuid>, limit: i64) -> Result<Vec<SchemaCheck>> {
    let Filter { sweep, state, is_blocking, schema } = filter;
    let rows = db
        .query(CHECKS, &[&sweep, &state, &is_blocking, &schema, &after, &limit])
        .await
        .context("listing what was seen of schemas")?;
    let read = |row: &Row| {
        let acceptance = match row.column::<Option<Value>>("accepted_differences")? {
            Some(differences) => Some(accept::read(row, differences)?),
            None => None,
        };
        Ok(SchemaCheck {
            schema_id: row.column("schema_id")?,
            name: row.column("name")?,
            tenant_id: row.column("tenant_id")?,
            cluster_id: row.column("cluster_id")?,
            database_name: row.column("database_name")?,
            schema_name: row.column("schema_name")?,
            sweep_id: row.column("sweep_id")?,
            state: row.column("state")?,
            version: row.column("version")?,
            differences: serde_json::from_value(row.column("differences")?).map_err(Error::internal)?,
            acceptance,
            error: row.column("error")?,
            is_blocking: row.column("is_blocking")?,
            checked_at: row.column("checked_at")?,
        })
    };
    rows.iter().map(read).collect()
}
