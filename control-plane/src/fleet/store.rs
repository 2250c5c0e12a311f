//! Platform tables `migration_runs`, `migration_run_schemas` and `migration_holds`. Owns their SQL but for what workers claim.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{
    ActorKind, ClusterId, MigrationRunId, MigrationRunState, MigrationVerify, OrganizationId, SchemaMigrationState,
    TenantId, TenantType,
};
use rowhouse_problem::{Error, Result};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{Counts, Hold, Run, RunSchema, Selection, Slowest, VersionCount};
use super::requests::Wanted;
use crate::audit::Requester;

impl Selection {
    /// As the column has it: ids are bare.
    pub(crate) fn stored(&self) -> Value {
        let mut stored = json!({});
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                stored[name] = Value::String(value);
            }
        };
        put("type", self.tenant_type.map(|kind| kind.to_string()));
        put("cluster_id", self.cluster_id.map(|id| id.as_uuid().to_string()));
        put("organization_id", self.organization_id.map(|id| id.as_uuid().to_string()));
        put("tenant_id", self.tenant_id.map(|id| id.as_uuid().to_string()));
        stored
    }

    pub(crate) fn read(stored: &Value) -> Result<Self> {
        let text = |name: &str| stored.get(name).and_then(Value::as_str);
        let id = |name: &str| text(name).map(|text| text.parse::<Uuid>().map_err(Error::internal)).transpose();
        Ok(Self {
            tenant_type: text("type").map(|text| text.parse::<TenantType>().map_err(Error::internal)).transpose()?,
            cluster_id: id("cluster_id")?.map(ClusterId::from_uuid),
            organization_id: id("organization_id")?.map(OrganizationId::from_uuid),
            tenant_id: id("tenant_id")?.map(TenantId::from_uuid),
        })
    }
}

const NEWEST_SELECTED: &str = "
    select max(fleet.schema_version) as newest from fleet_selected($1) fleet
    where not exists (select from migration_holds hold where hold.schema_id = fleet.schema_id)
        and not exists (select from schema_checks seen where seen.schema_id = fleet.schema_id and seen.is_blocking)";

/// The newest version that one of them is at which a run back would come to; none where there are none.
pub(super) async fn newest_selected(db: &impl Sql, selection: &Selection) -> Result<Option<i32>> {
    let row = db.query_one(NEWEST_SELECTED, &[&selection.stored()]).await.context("looking for the newest schema")?;
    row.column("newest")
}

const INSERT: &str = "
    insert into migration_runs (id, direction, target_version, selection, ordering, canaries, soak_seconds, batch_size,
        pause_seconds, parallelism, max_failures, lock_timeout_ms, statement_timeout_ms, phase, started_by_kind, started_by,
        dry_run, lock_cap_ms, max_error_rate, verify, ignores_served_versions)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
        case when $6::integer > 0 then 'canary'::migration_phase else 'fleet' end, $14, $15, $16, $17, $18, $19, $20)";

/// Records a run, which compares what it migrates as `verify` has it, unless it says so itself.
pub(super) async fn insert(
    tx: &impl Sql,
    wanted: &Wanted,
    verify: MigrationVerify,
    requester: &Requester,
) -> Result<MigrationRunId> {
    let id = MigrationRunId::new();
    tx.execute(
        INSERT,
        &[
            &id,
            &wanted.direction,
            &wanted.target,
            &wanted.selection.stored(),
            &wanted.order,
            &wanted.canaries,
            &wanted.soak_seconds,
            &wanted.batch_size,
            &wanted.pause_seconds,
            &wanted.parallelism,
            &wanted.max_failures,
            &wanted.lock_timeout_ms,
            &wanted.statement_timeout_ms,
            &requester.actor.kind,
            &requester.actor.id,
            &wanted.dry_run,
            &wanted.lock_cap_ms,
            &wanted.max_error_rate,
            &wanted.verify.unwrap_or(verify),
            &wanted.ignores_served_versions,
        ],
    )
    .await
    .context("recording a run of migrations")?;
    Ok(id)
}

macro_rules! runs {
    ($rest:literal) => {
        concat!(
            "
    select run.id, run.direction, run.target_version, run.selection, run.ordering, run.verify, run.canaries, run.soak_seconds,
        run.batch_size, run.pause_seconds, run.parallelism, run.max_failures, run.lock_timeout_ms, run.statement_timeout_ms,
        run.dry_run, run.lock_cap_ms, run.ignores_served_versions, run.max_error_rate, run.state, run.phase, run.reason, run.waits_until, run.started_by_kind, run.started_by, run.created_at, run.ended_at,
        begun.running, begun.done, begun.failed, begun.skipped, ahead.behind, ahead.held,
        case when run.ended_at is null then ahead.blocked else run.blocked end as blocked,
        slowest.name as slowest_name, slowest.seconds as slowest_seconds
    from migration_runs run
    cross join lateral (
        select count(*) filter (where state = 'running') as running, count(*) filter (where state = 'done') as done,
            count(*) filter (where state = 'failed' and not is_due_again) as failed,
            count(*) filter (where state = 'skipped' and not is_due_again) as skipped
        from migration_run_schemas where run_id = run.id) begun
    cross join lateral (
        select count(*) filter (where not is_held and not is_blocked) as behind,
            count(*) filter (where is_held and not is_blocked) as held, count(*) filter (where is_blocked) as blocked
        from (
            select coalesce(seen.is_blocking, false) as is_blocked,
                hold.schema_id is not null and (run.direction = 'down' or hold.version is null
                or fleet.schema_version >= hold.version) as is_held
            from fleet_selected(run.selection) fleet
            left join migration_holds hold on hold.schema_id = fleet.schema_id
            left join schema_checks seen on seen.schema_id = fleet.schema_id
            where run.ended_at is null
                and (case run.direction when 'up' then fleet.schema_version < run.target_version
                    else fleet.schema_version > run.target_version end
                    or seen.is_blocking and exists (select from migration_run_schemas differs
                        where differs.run_id = run.id and differs.schema_id = fleet.schema_id))
                and not exists (select from migration_run_schemas begun
                    where begun.run_id = run.id and begun.schema_id = fleet.schema_id
                        and not begun.is_due_again)) schemas) ahead
    left join lateral (
        select name, extract(epoch from clock_timestamp() - started_at)::double precision as seconds
        from migration_run_schemas where run_id = run.id and state = 'running'
        order by started_at, schema_id limit 1) slowest on true ",
            $rest
        )
    };
}

const FIND: &str = runs!("where run.id = $1");

/// A run.
pub(super) async fn find(db: &impl Sql, id: MigrationRunId) -> Result<Option<Run>> {
    let row = db.query_opt(FIND, &[&id]).await.context("reading a run of migrations")?;
    row.as_ref().map(run).transpose()
}

const UNFINISHED: &str = runs!("where run.ended_at is null order by run.id");

/// The runs that are not ended, the oldest first.
pub(super) async fn unfinished(db: &impl Sql) -> Result<Vec<Run>> {
    let rows = db.query(UNFINISHED, &[]).await.context("looking for runs of migrations")?;
    rows.iter().map(run).collect()
}

const LIST: &str = runs!("where $1::uuid is null or run.id < $1 order by run.id desc limit $2");

/// Runs, the newest first, before one of them.
pub(super) async fn list(db: &impl Sql, before: Option<MigrationRunId>, limit: i64) -> Result<Vec<Run>> {
    let rows = db.query(LIST, &[&before, &limit]).await.context("listing runs of migrations")?;
    rows.iter().map(run).collect()
}

fn run(row: &Row) -> Result<Run> {
    Ok(Run {
        id: row.column("id")?,
        direction: row.column("direction")?,
        target_version: row.column("target_version")?,
        selection: Selection::read(&row.column("selection")?)?,
        order: row.column("ordering")?,
        verify: row.column("verify")?,
        canaries: row.column("canaries")?,
        soak_seconds: row.column("soak_seconds")?,
        batch_size: row.column("batch_size")?,
        pause_seconds: row.column("pause_seconds")?,
        parallelism: row.column("parallelism")?,
        max_failures: row.column("max_failures")?,
        lock_timeout_ms: row.column("lock_timeout_ms")?,
        statement_timeout_ms: row.column("statement_timeout_ms")?,
        dry_run: row.column("dry_run")?,
        lock_cap_ms: row.column("lock_cap_ms")?,
        ignores_served_versions: row.column("ignores_served_versions")?,
        max_error_rate: row.column("max_error_rate")?,
        state: row.column("state")?,
        phase: row.column("phase")?,
        reason: row.column("reason")?,
        waits_until: row.column("waits_until")?,
        counts: Counts {
            running: row.column("running")?,
            done: row.column("done")?,
            failed: row.column("failed")?,
            skipped: row.column("skipped")?,
            left: row.column("behind")?,
            held: row.column("held")?,
            blocked: row.column("blocked")?,
        },
        slowest: match row.column("slowest_name")? {
            Some(name) => Some(Slowest { name, seconds: row.column("slowest_seconds")? }),
            None => None,
        },
        started_by_kind: row.column::<ActorKind>("started_by_kind")?,
        started_by: row.column("started_by")?,
        created_at: row.column("created_at")?,
        ended_at: row.column("ended_at")?,
    })
}

// Where replicas serve no version in common there is none that helps all, and none below what is served is looked for.
const BORN_AT: &str = "
    with latest as (
        select target_version, ignores_served_versions from migration_runs
        where dry_run is null and selection = '{}' and state <> 'cancelled' order by id desc limit 1),
    wanted as (
        select least(coalesce((select target_version from latest), $1), $1) as version,
            coalesce((select ignores_served_versions from latest), false) as ignores_served),
    served as (
        select max(oldest_version) as oldest, min(newest_version) as newest
        from data_plane_replicas where expires_at > clock_timestamp())
    select case when not ignores_served and served.newest between served.oldest and version then served.newest
        else version end as version
    from wanted, served";

/// The version that new tenants are born at, of those up to `newest`.
pub(super) async fn born_at(db: &impl Sql, newest: i32) -> Result<i32> {
    db.query_one(BORN_AT, &[&newest]).await.context("looking where tenants are born")?.column("version")
}

const LOCK: &str = "select state from migration_runs where id = $1 for no key update";

/// Locks a run, so that no worker decides about it meanwhile.
pub(super) async fn lock(tx: &impl Sql, id: MigrationRunId) -> Result<Option<MigrationRunState>> {
    let row = tx.query_opt(LOCK, &[&id]).await.context("locking a run of migrations")?;
    row.map(|row| row.column("state")).transpose()
}

const SET_STATE: &str = "
    update migration_runs set state = $2, reason = $3,
        ended_at = case when $2::migration_run_state in ('cancelled', 'done') then now() end
    where id = $1";

/// Changes what becomes of a run.
pub(super) async fn set_state(
    tx: &impl Sql,
    id: MigrationRunId,
    state: MigrationRunState,
    reason: Option<&str>,
) -> Result<()> {
    tx.execute(SET_STATE, &[&id, &state, &reason]).await.context("changing a run of migrations").map(drop)
}

const TRY_AGAIN: &str = "
    update migration_run_schemas set is_due_again = true where run_id = $1 and state in ('failed', 'skipped')";

/// Lets what failed be tried again, after all that were not begun yet.
pub(super) async fn try_again(tx: &impl Sql, id: MigrationRunId) -> Result<()> {
    tx.execute(TRY_AGAIN, &[&id]).await.context("letting what failed be tried again").map(drop)
}

// One that differed as a canary, and was mended by hand since, is where it should be and what it should be. One that could not be
// compared is looked at with the others that were not, after the run.
const SETTLE: &str = "
    with due as (
        select begun.schema_id, begun.state = 'failed' and run.dry_run is null and exists (
                select from fleet_schemas fleet where fleet.schema_id = begun.schema_id
                    and case run.direction when 'up' then fleet.schema_version >= run.target_version
                        else fleet.schema_version <= run.target_version end)
            and not exists (select from schema_checks seen where seen.schema_id = begun.schema_id and seen.is_blocking)
                as is_mended
        from migration_run_schemas begun join migration_runs run on run.id = begun.run_id
        where begun.run_id = $1 and begun.is_due_again)
    update migration_run_schemas begun
    set is_due_again = false, state = case when due.is_mended then 'done' else begun.state end,
        error = case when due.is_mended then null else begun.error end,
        sqlstate = case when due.is_mended then null else begun.sqlstate end,
        note = case when due.is_mended then 'it had failed, and is where it should be by now' else begun.note end
    from due where begun.run_id = $1 and begun.schema_id = due.schema_id";

const COUNT_BLOCKED: &str = "
    update migration_runs run set blocked = (
        select count(*) from fleet_selected(run.selection) fleet
        join schema_checks seen on seen.schema_id = fleet.schema_id and seen.is_blocking
        where case run.direction when 'up' then fleet.schema_version < run.target_version
                else fleet.schema_version > run.target_version end
            and not exists (select from migration_run_schemas begun
                where begun.run_id = run.id and begun.schema_id = fleet.schema_id))
    where id = $1";

/// Nothing of a run that ends is tried again any more: what failed and could not be come to again has failed. What it never
/// came to since it differs is counted for good.
pub(super) async fn settle(tx: &impl Sql, id: MigrationRunId) -> Result<()> {
    tx.execute(SETTLE, &[&id]).await.context("settling what was to be tried again")?;
    tx.execute(COUNT_BLOCKED, &[&id]).await.context("counting what a run ends without").map(drop)
}

const FORGET_CANARIES: &str = "delete from migration_canaries where run_id = $1";
// Also where others had followed already: while nothing is known of the canaries, no more of them do.
const SOAK_AGAIN: &str = "
    update migration_runs set phase = 'soak', waits_until = now() + make_interval(secs => soak_seconds)
    where id = $1 and phase in ('soak', 'fleet') and max_error_rate is not null";

/// Lets a run that was halted watch its canaries as if for the first time.
pub(super) async fn watch_again(tx: &impl Sql, id: MigrationRunId) -> Result<()> {
    tx.execute(FORGET_CANARIES, &[&id]).await.context("forgetting what was counted of canaries")?;
    tx.execute(SOAK_AGAIN, &[&id]).await.context("letting canaries be watched again").map(drop)
}

const SCHEMAS: &str = "
    select begun.name, begun.schema_id, tenant.id as tenant_id, begun.phase, begun.state, begun.attempts, begun.from_version,
        begun.to_version, begun.steps, begun.error, begun.sqlstate, begun.rehearsed, begun.note, begun.worker, begun.started_at, begun.finished_at
    from migration_run_schemas begun left join tenants tenant on tenant.id = begun.schema_id
    where begun.run_id = $1 and ($2::schema_migration_state is null or begun.state = $2)
        and ($3::uuid is null or begun.schema_id > $3)
    order by begun.schema_id limit $4";

/// What a run did with its schemas.
pub(super) async fn schemas(
    db: &impl Sql,
    run: MigrationRunId,
    state: Option<SchemaMigrationState>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<RunSchema>> {
    let rows = db.query(SCHEMAS, &[&run, &state, &after, &limit]).await.context("listing schemas of a run")?;
    let read = |row: &Row| {
        Ok(RunSchema {
            name: row.column("name")?,
            tenant_id: row.column("tenant_id")?,
            schema_id: row.column("schema_id")?,
            phase: row.column("phase")?,
            state: row.column("state")?,
            attempts: row.column("attempts")?,
            from_version: row.column("from_version")?,
            to_version: row.column("to_version")?,
            steps: row.column("steps")?,
            error: row.column("error")?,
            sqlstate: row.column("sqlstate")?,
            rehearsed: row.column("rehearsed")?,
            note: row.column("note")?,
            worker: row.column("worker")?,
            started_at: row.column("started_at")?,
            finished_at: row.column("finished_at")?,
        })
    };
    rows.iter().map(read).collect()
}

// A schema counts as failed until a later run was done with it, or it was seen to be well where that run was to bring it: one that
// is the same at the version that it failed to leave is behind all the same.
const VERSIONS: &str = "
    select fleet.schema_version as version, count(*) as schemas,
        count(*) filter (where hold.schema_id is not null) as held,
        count(*) filter (where latest.has_failed and not (latest.has_arrived
            and coalesce(greatest(seen.same_at, seen.accepted_at) > latest.finished_at, false))) as failed,
        count(*) filter (where seen.is_blocking) as blocked, count(*) filter (where seen.state = 'accepted') as accepted
    from fleet_schemas fleet
    left join migration_holds hold on hold.schema_id = fleet.schema_id
    left join schema_checks seen on seen.schema_id = fleet.schema_id
    left join lateral (
        select begun.state = 'failed' as has_failed, begun.finished_at,
            case run.direction when 'up' then fleet.schema_version >= least(run.target_version, hold.version)
                else fleet.schema_version <= run.target_version end as has_arrived
        from migration_run_schemas begun
        join migration_runs run on run.id = begun.run_id and run.dry_run is null
        where begun.schema_id = fleet.schema_id order by begun.run_id desc limit 1) latest on true
    group by fleet.schema_version order by fleet.schema_version";

/// How many schemas are at each version.
pub(super) async fn versions(db: &impl Sql) -> Result<Vec<VersionCount>> {
    let rows = db.query(VERSIONS, &[]).await.context("counting schemas by version")?;
    let read = |row: &Row| {
        Ok(VersionCount {
            version: row.column("version")?,
            schemas: row.column("schemas")?,
            held: row.column("held")?,
            failed: row.column("failed")?,
            blocked: row.column("blocked")?,
            accepted: row.column("accepted")?,
        })
    };
    rows.iter().map(read).collect()
}

const NOT_REHEARSED: &str = "
    select one.id from unnest($1::uuid[]) one (id)
    where (exists (select from tenants where tenants.id = one.id)
            or exists (select from group_databases where group_databases.id = one.id))
        and not exists (select from migration_run_schemas begun join migration_runs run on run.id = begun.run_id
            where begun.schema_id = one.id and begun.state = 'running' and run.dry_run is not null)";

/// Those of some schemas that are ours and that no dry run is at work on.
pub(super) async fn not_rehearsed(db: &impl Sql, schemas: &[Uuid]) -> Result<Vec<Uuid>> {
    let rows = db.query(NOT_REHEARSED, &[&schemas]).await.context("looking for dry runs")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const SCHEMA_OF: &str = "
    select case isolation when 'shared' then group_id else id end as schema_id from tenants where id = $1 and purge_begun_at is null";

/// The schema that a tenant's data is in.
pub(crate) async fn schema_of(db: &impl Sql, tenant: TenantId) -> Result<Option<Uuid>> {
    let row = db.query_opt(SCHEMA_OF, &[&tenant]).await.context("looking for a tenant's schema")?;
    Ok(row.map(|row| row.column::<Option<Uuid>>("schema_id")).transpose()?.flatten())
}

const IS_OF_THE_FLEET: &str = "select exists (select from fleet_schemas where schema_id = $1) as is_there";

/// Whether a schema is one that there is to migrate, by now.
pub(crate) async fn is_of_the_fleet(db: &impl Sql, schema: Uuid) -> Result<bool> {
    db.query_one(IS_OF_THE_FLEET, &[&schema])
        .await
        .context("looking whether a schema is still there")?
        .column("is_there")
}

const HOLD: &str = "
    insert into migration_holds (schema_id, reason, version, held_by_kind, held_by) values ($1, $2, $3, $4, $5)
    on conflict (schema_id) do update set reason = excluded.reason, version = excluded.version,
        held_by_kind = excluded.held_by_kind, held_by = excluded.held_by
    returning schema_id, reason, version, created_at";

/// Holds a schema back.
pub(super) async fn hold(
    tx: &impl Sql,
    schema: Uuid,
    reason: &str,
    version: Option<i32>,
    requester: &Requester,
) -> Result<Hold> {
    let parameters: rowhouse_database::Parameters<'_> =
        &[&schema, &reason, &version, &requester.actor.kind, &requester.actor.id];
    let row = tx.query_one(HOLD, parameters).await.context("holding a schema back")?;
    Ok(Hold {
        schema_id: row.column("schema_id")?,
        reason: row.column("reason")?,
        version: row.column("version")?,
        created_at: row.column("created_at")?,
    })
}

const RELEASE: &str = "delete from migration_holds where schema_id = $1";

/// Lets a schema go with the others again.
pub(super) async fn release(tx: &impl Sql, schema: Uuid) -> Result<bool> {
    Ok(tx.execute(RELEASE, &[&schema]).await.context("releasing a schema")? > 0)
}
