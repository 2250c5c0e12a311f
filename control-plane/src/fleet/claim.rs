//! Gives workers schemas to migrate, and writes down what came of them. Every decision is made under the lock on the run.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, PlatformConnection, Sql};
use rowhouse_domain::{
    ClusterId, MigrationDirection, MigrationPhase, MigrationRehearsal, MigrationRunId, MigrationVerify,
    SchemaMigrationState, TenantId,
};
use rowhouse_migrations::Stop;
use rowhouse_problem::Result;
use rowhouse_settings::Migrations;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::ahead::Sighted;
use super::rules::{self, Standing, Step};
use super::{serving, store};
use crate::sweeps;

/// One schema that a worker has claimed.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) run: MigrationRunId,
    pub(super) direction: MigrationDirection,
    /// Where this schema is to go: the run's target, or less where it is held back.
    pub(super) target: i32,
    pub(super) schema: Uuid,
    pub(super) is_canary: bool,
    /// It is compared with its template as soon as it is migrated: a canary before others follow.
    pub(super) is_verified: bool,
    pub(super) name: String,
    pub(super) cluster: ClusterId,
    pub(super) database: String,
    pub(super) schema_name: String,
    pub(super) from: i32,
    /// More than one where its worker died, or lost its lease.
    pub(super) attempts: i32,
    pub(super) lock_timeout: Duration,
    pub(super) statement_timeout: Duration,
    /// It is only tried out.
    pub(super) dry_run: Option<MigrationRehearsal>,
    /// How long that may hold locks in a live schema.
    pub(super) lock_cap: Duration,
    /// Asked when its run is paused, halted or over, or its worker is to end.
    pub(super) stop: Stop,
}

/// What a worker says of a schema.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) state: SchemaMigrationState,
    /// The version that it has now, as far as is known.
    pub(super) version: Option<i32>,
    pub(super) steps: Value,
    pub(super) error: Option<String>,
    pub(super) sqlstate: Option<String>,
    /// Where it was tried out, if it was not in earnest.
    pub(super) rehearsed: Option<MigrationRehearsal>,
    /// What else there is to say of it.
    pub(super) note: Option<String>,
    /// It was stopped on the way, and goes on there as long as the run does.
    pub(super) is_due_again: bool,
    /// It was held against its template, and what was seen is kept.
    pub(super) is_verified: bool,
}

impl Outcome {
    /// Of which nothing else is to be said.
    pub(super) fn of(state: SchemaMigrationState, steps: Vec<Value>) -> Self {
        Self {
            state,
            version: None,
            steps: Value::Array(steps),
            error: None,
            sqlstate: None,
            rehearsed: None,
            note: None,
            is_due_again: false,
            is_verified: false,
        }
    }
}

const ACTIVE: &str = "
    select id from migration_runs run
    where (ended_at is not null or target_version <= $1) and (state = 'running'
        or exists (select from migration_run_schemas begun
            where begun.run_id = run.id and begun.state = 'running' and begun.leased_until < clock_timestamp()))
    order by id";

/// Runs that workers take part in, and those that a dead one left something of. None to a version that a worker of an older
/// release does not know: it would find nothing to do. But where the run has ended, the release that knows it may be gone: what
/// was left is then brought to an end by any, be it that it has failed, since runs over the same schemas wait for that.
pub(super) async fn active(db: &impl Sql, newest: i32) -> Result<Vec<MigrationRunId>> {
    let rows = db.query(ACTIVE, &[&newest]).await.context("listing the runs of migrations")?;
    rows.iter().map(|row| row.column("id")).collect()
}

/// Of fewer requests a share says little.
const FEWEST_REQUESTS: i64 = 20;

// Read under the lock, by a statement of its own: one that waits for the lock counts as it was before.
const STANDING: &str = "
    select state, phase, target_version, canaries::bigint as canaries, batch_size::bigint as batch_size,
        pause_seconds::bigint as pause_seconds, parallelism::bigint as parallelism, max_failures::bigint as max_failures,
        waits_until, begun_in_batch::bigint as begun_in_batch, now() as now,
        case when phase = 'canary' then (select count(*) from migration_run_schemas
            where run_id = run.id and phase = 'canary' and not is_due_again and state <> 'skipped') else 0 end as begun_as_canaries,
        (select count(*) from migration_run_schemas
            where run_id = run.id and phase = 'canary' and state = 'failed' and not is_due_again) as failed_as_canaries,
        (select count(*) from migration_run_schemas where run_id = run.id and state = 'running') as running,
        (select count(*) from migration_run_schemas where run_id = run.id and state = 'failed' and not is_due_again) as failed,
        exists (select from migration_run_schemas
            where run_id = run.id and state = 'running' and leased_until < clock_timestamp()) as has_abandoned,
        run.dry_run is null and exists (select from tenants tenant
            where tenant.status = 'provisioning' and (tenant.isolation <> 'shared' or tenant.database_name is null)
                and case run.direction when 'up' then tenant.schema_version < run.target_version
                    else tenant.schema_version = 0 or tenant.schema_version > run.target_version end
                and tenant.created_at < coalesce((select max(finished_at) from migration_run_schemas
                    where run_id = run.id and state <> 'running'), run.created_at + interval '1 minute')
                and (run.selection ->> 'type' is null or tenant.type = (run.selection ->> 'type')::tenant_type)
                and (run.selection ->> 'cluster_id' is null or tenant.cluster_id is null
                    or tenant.cluster_id = (run.selection ->> 'cluster_id')::uuid)
                and (run.selection ->> 'organization_id' is null
                    or tenant.organization_id = (run.selection ->> 'organization_id')::uuid)
                and (run.selection ->> 'tenant_id' is null or tenant.id = (run.selection ->> 'tenant_id')::uuid)
                and exists (select from operations
                    where subject_id = tenant.id and state in ('queued', 'running'))) as has_unborn,
        run.dry_run is null and not run.ignores_served_versions and exists (select from data_plane_replicas
            where expires_at > clock_timestamp()
                and not run.target_version between oldest_version and newest_version) as is_not_served,
        case when run.max_error_rate is not null then (select json_build_object('tenant', tenant.id, 'name', tenant.name,
                'errors', counted.errors, 'requests', counted.requests, 'most', run.max_error_rate)
            from migration_canaries counted join tenants tenant on tenant.id = counted.tenant_id
            where counted.run_id = run.id and counted.requests >= $2
                and counted.errors * 100.0 / counted.requests > run.max_error_rate
            order by counted.errors * 100.0 / counted.requests desc limit 1) end as unhealthy
    from migration_runs run where id = $1";

const HALT: &str = "
    update migration_runs set state = 'halted', reason = $2 where id = $1";
const SOAK: &str = "
    update migration_runs set phase = 'soak', waits_until = now() + make_interval(secs => soak_seconds) where id = $1";
const FOLLOW: &str = "
    update migration_runs set phase = 'fleet', waits_until = null, begun_in_batch = 0 where id = $1";
const PAUSE: &str = "
    update migration_runs set waits_until = now() + make_interval(secs => pause_seconds), begun_in_batch = 0 where id = $1";
const GO_ON: &str = "update migration_runs set waits_until = null where id = $1";
const END: &str = "update migration_runs set state = 'done', ended_at = now() where id = $1";

/// Who claims.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimant<'a> {
    pub(super) name: &'a str,
    pub(super) settings: &'a Migrations,
    /// The newest version that it knows. What is newer can be taken back only by another one.
    pub(super) newest: i32,
}

/// Claims at most `most` schemas of a run, those of dead workers first. Nothing where none may be begun now.
pub(super) async fn claim(
    connection: &mut PlatformConnection,
    run: MigrationRunId,
    claimant: Claimant<'_>,
    most: i64,
    sighted: &mut Sighted,
) -> Result<Vec<Task>> {
    let Claimant { name: worker, settings, newest } = claimant;
    let lease = settings.lease;
    let tx = connection.transaction().await?;
    store::lock(&tx, run).await?;
    let mut tasks = Vec::new();
    loop {
        let row = tx.query_one(STANDING, &[&run, &FEWEST_REQUESTS]).await.context("looking at a run of migrations")?;
        if row.column("has_abandoned")? {
            tasks.extend(take_over(&tx, run, claimant, most - count(&tasks)).await?);
        }
        let ahead = sighted.of_run(&tx, run, most.max(1)).await?;
        let standing = standing(&row, !ahead.is_empty())?;
        let mut ahead = known(ahead, newest)?;
        let decision = rules::next(&standing, row.column::<Timestamp>("now")?);
        let change = match decision {
            Step::Begin(some) => {
                ahead.truncate(usize::try_from(some.min(most - count(&tasks))).unwrap_or(0));
                let begun = begin(&tx, run, worker, lease, &ahead).await?;
                if standing.pause_seconds > 0 {
                    tx.execute(COUNT_BEGUN, &[&run, &count(&begun)]).await.context("counting a batch")?;
                }
                sighted.begun(&begun.iter().map(|task| task.schema).collect::<Vec<_>>());
                tasks.extend(begun);
                break;
            }
            Step::Wait => break,
            Step::Halt | Step::HaltForCanary | Step::HaltForReplica => {
                let reason = reason(&tx, &row, &standing, decision).await?;
                tx.execute(HALT, &[&run, &reason]).await.context("halting a run")?;
                follow(&tx, run, settings).await?;
                tracing::error!(run.id = %run, failed = standing.failed, reason, "a run of migrations halted");
                break;
            }
            Step::End => {
                store::settle(&tx, run).await?;
                tx.execute(END, &[&run]).await.context("ending a run")?;
                follow(&tx, run, settings).await?;
                tracing::info!(run.id = %run, "a run of migrations is done");
                break;
            }
            Step::Soak => SOAK,
            Step::Follow => FOLLOW,
            Step::Pause => PAUSE,
            Step::GoOn => GO_ON,
        };
        tx.execute(change, &[&run]).await.context("bringing a run on")?;
    }
    tx.commit().await?;
    Ok(tasks)
}

/// Has what a run has migrated compared with its template.
pub(super) async fn follow(tx: &impl Sql, run: MigrationRunId, settings: &Migrations) -> Result<()> {
    if settings.verify_after_runs { sweeps::follow(tx, run).await } else { Ok(()) }
}

/// Those of some schemas that are at no newer version.
fn known(rows: Vec<Row>, newest: i32) -> Result<Vec<Row>> {
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        if row.column::<i32>("schema_version")? <= newest {
            known.push(row);
        }
    }
    Ok(known)
}

fn count(tasks: &[Task]) -> i64 {
    i64::try_from(tasks.len()).unwrap_or(i64::MAX)
}

async fn reason(tx: &impl Sql, row: &Row, standing: &Standing, decision: Step) -> Result<String> {
    if decision == Step::HaltForReplica {
        let replicas = serving::without(tx, row.column("target_version")?).await?;
        return Ok(format!("a data plane is up that does not serve the target: {}", serving::said(&replicas)));
    }
    let unhealthy = row.column::<Option<Value>>("unhealthy")?.map(|one| said_of_canary(&one));
    Ok(unhealthy.unwrap_or_else(|| said_of_failures(standing, decision)))
}

fn said_of_failures(standing: &Standing, decision: Step) -> String {
    if decision == Step::HaltForCanary {
        return format!("{} of {} canaries failed", standing.failed_as_canaries, standing.begun_as_canaries);
    }
    format!("{} schemas failed; the run stops at {}", standing.failed, standing.max_failures)
}

fn said_of_canary(canary: &Value) -> String {
    let id = canary["tenant"].as_str().and_then(|text| text.parse().ok()).map(TenantId::from_uuid);
    format!(
        "the data plane failed {} of {} requests of {} ({}), a canary; {} % may fail",
        canary["errors"],
        canary["requests"],
        canary["name"].as_str().unwrap_or_default(),
        id.map(|id| id.to_string()).unwrap_or_default(),
        canary["most"],
    )
}

fn standing(row: &Row, has_more: bool) -> Result<Standing> {
    Ok(Standing {
        state: row.column("state")?,
        phase: row.column("phase")?,
        canaries: row.column("canaries")?,
        batch_size: row.column("batch_size")?,
        pause_seconds: row.column("pause_seconds")?,
        parallelism: row.column("parallelism")?,
        max_failures: row.column("max_failures")?,
        waits_until: row.column("waits_until")?,
        begun_in_batch: row.column("begun_in_batch")?,
        begun_as_canaries: row.column("begun_as_canaries")?,
        failed_as_canaries: row.column("failed_as_canaries")?,
        running: row.column("running")?,
        failed: row.column("failed")?,
        has_unborn: row.column("has_unborn")?,
        is_not_served: row.column("is_not_served")?,
        is_unhealthy: row.column::<Option<Value>>("unhealthy")?.is_some(),
        has_more,
    })
}

const BEGIN: &str = "
    insert into migration_run_schemas (run_id, schema_id, name, phase, from_version, worker, leased_until)
    select run.id, one.schema_id, one.name, run.phase, one.version, $5, clock_timestamp() + make_interval(secs => $6)
    from migration_runs run,
        unnest($2::uuid[], $3::text[], $4::integer[]) as one (schema_id, name, version)
    where run.id = $1
    on conflict (run_id, schema_id) do update
    set state = 'running', phase = excluded.phase, attempts = migration_run_schemas.attempts + 1,
        from_version = excluded.from_version, worker = excluded.worker, leased_until = excluded.leased_until,
        error = null, sqlstate = null, rehearsed = null, note = null, is_due_again = false,
        started_at = clock_timestamp(), finished_at = null";
const COUNT_BEGUN: &str = "
    update migration_runs set begun_in_batch = begun_in_batch + $2::bigint::integer where id = $1";

async fn begin(tx: &impl Sql, run: MigrationRunId, worker: &str, lease: Duration, rows: &[Row]) -> Result<Vec<Task>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let tasks: Vec<Task> = rows.iter().map(|row| task(run, row)).collect::<Result<_>>()?;
    let schemas: Vec<Uuid> = tasks.iter().map(|task| task.schema).collect();
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let versions: Vec<i32> = tasks.iter().map(|task| task.from).collect();
    tx.execute(BEGIN, &[&run, &schemas, &names, &versions, &worker, &lease.as_secs_f64()])
        .await
        .context("beginning with schemas")?;
    Ok(tasks)
}

// A schema that is gone is none of the run's any more. One that is held back by now was begun, and is brought to an end.
const SKIP: &str = "
    update migration_run_schemas begun set state = 'skipped', worker = null, leased_until = null, finished_at = now()
    where run_id = $1 and state = 'running' and leased_until < clock_timestamp()
        and not exists (select from fleet_schemas fleet where fleet.schema_id = begun.schema_id)";
const TAKE_OVER: &str = "
    with abandoned as (
        select schema_id from migration_run_schemas
        where run_id = $1 and state = 'running' and leased_until < clock_timestamp()
            and (from_version <= $5 or exists (select from migration_runs run where run.id = $1 and run.ended_at is not null))
        order by leased_until limit $2 for no key update),
    taken as (
        update migration_run_schemas begun
        set worker = $3, leased_until = clock_timestamp() + make_interval(secs => $4), attempts = attempts + 1
        from abandoned where begun.run_id = $1 and begun.schema_id = abandoned.schema_id
        returning begun.schema_id, begun.attempts, begun.phase)
    select fleet.schema_id, fleet.name, fleet.cluster_id, fleet.database_name, fleet.schema_name, fleet.schema_version,
        case run.direction when 'up' then least(run.target_version, coalesce(hold.version, run.target_version))
            else run.target_version end as target,
        run.direction, run.lock_timeout_ms, run.statement_timeout_ms, run.dry_run, run.lock_cap_ms, run.verify, taken.attempts, taken.phase
    from migration_runs run, taken
    join fleet_schemas fleet on fleet.schema_id = taken.schema_id
    left join migration_holds hold on hold.schema_id = taken.schema_id
    where run.id = $1";

/// Schemas whose workers are dead. They are finished also in a run that was halted or cancelled: none is left in between.
async fn take_over(tx: &impl Sql, run: MigrationRunId, claimant: Claimant<'_>, most: i64) -> Result<Vec<Task>> {
    if most <= 0 {
        return Ok(Vec::new());
    }
    let Claimant { name: worker, settings, newest } = claimant;
    tx.execute(SKIP, &[&run]).await.context("passing by schemas that are gone")?;
    let rows = tx
        .query(TAKE_OVER, &[&run, &most, &worker, &settings.lease.as_secs_f64(), &newest])
        .await
        .context("taking over from dead workers")?;
    rows.iter().map(|row| task(run, row)).collect()
}

fn task(run: MigrationRunId, row: &Row) -> Result<Task> {
    let milliseconds = |column: &str| -> Result<Duration> {
        Ok(Duration::from_millis(u64::try_from(row.column::<i32>(column)?).unwrap_or_default()))
    };
    let is_canary = row.column::<MigrationPhase>("phase")? == MigrationPhase::Canary;
    Ok(Task {
        run,
        direction: row.column("direction")?,
        target: row.column("target")?,
        schema: row.column("schema_id")?,
        is_canary,
        is_verified: is_canary || row.column::<MigrationVerify>("verify")? == MigrationVerify::All,
        name: row.column("name")?,
        cluster: row.column("cluster_id")?,
        database: row.column("database_name")?,
        schema_name: row.column("schema_name")?,
        from: row.column("schema_version")?,
        attempts: row.column("attempts")?,
        lock_timeout: milliseconds("lock_timeout_ms")?,
        statement_timeout: milliseconds("statement_timeout_ms")?,
        dry_run: row.column("dry_run")?,
        lock_cap: milliseconds("lock_cap_ms")?,
        stop: Stop::default(),
    })
}

const STILL: &str = "select id from migration_runs where id = any($1) and state <> 'running'";

/// Those of some runs that are to begin with nothing further.
pub(super) async fn stopped(db: &impl Sql, runs: &[MigrationRunId]) -> Result<Vec<MigrationRunId>> {
    let runs: Vec<Uuid> = runs.iter().map(MigrationRunId::as_uuid).collect();
    let rows = db.query(STILL, &[&runs]).await.context("looking for runs that were told to stop")?;
    rows.iter().map(|row| row.column("id")).collect()
}

const EXTEND: &str = "
    update migration_run_schemas set leased_until = clock_timestamp() + make_interval(secs => $2)
    where worker = $1 and state = 'running'
        and (run_id, schema_id) in (select * from unnest($3::uuid[], $4::uuid[]))";

/// Says that a worker is alive, and what it is at work on: whatever else was claimed in its name is left to others.
pub(super) async fn extend(
    db: &impl Sql,
    worker: &str,
    lease: Duration,
    in_hand: &[(MigrationRunId, Uuid)],
) -> Result<()> {
    let (runs, schemas): (Vec<Uuid>, Vec<Uuid>) = in_hand.iter().map(|(run, schema)| (run.as_uuid(), *schema)).unzip();
    let extended = db.execute(EXTEND, &[&worker, &lease.as_secs_f64(), &runs, &schemas]).await;
    extended.context("extending a worker's lease").map(drop)
}

// The version counts also where the platform's server crashed and lost the claim itself: nobody would come to the schema again.
// One that failed is claimed again. Where the lease was lost to somebody, of this run or of a later one, that one says what it
// has: this may be old by now. Where that one failed, as whoever finds the schema locked for too long, a schema that was brought
// to its target is there all the same. The group's row is locked before those of its tenants, as by whoever joins it.
const RECORD: &str = "
    with claimed as (
        update migration_run_schemas
        set state = $5, to_version = $4, steps = steps || $6::jsonb, error = $7, sqlstate = $8, rehearsed = $9, note = $10,
            worker = null, leased_until = null, finished_at = clock_timestamp(), is_verified = $15,
            is_due_again = $14 and exists (select from migration_runs run where run.id = $1 and run.ended_at is null)
        where run_id = $1 and schema_id = $2 and worker = $3 and state = 'running'
        returning run_id),
    locked as (select id from group_databases where id = $2 for no key update),
    known as (
        select from (select count(*) from locked) first, claimed union all
        select from (select count(*) from locked) first
        where not exists (select from migration_run_schemas later
            join migration_runs run on run.id = later.run_id and run.dry_run is null
            where later.schema_id = $2 and later.run_id >= $1
                and (later.run_id > $1 or later.state in ('running', 'done') or $5::schema_migration_state <> 'done'))),
    own as (
        update tenants set schema_version = $4 where id = $2 and schema_version <> $4 and exists (select from known)),
    shared as (
        update group_databases set schema_version = $4
        where id = $2 and schema_version <> $4 and exists (select from known)),
    sharing as (
        update tenants set schema_version = $4
        where group_id = $2 and isolation = 'shared' and schema_version <> $4 and exists (select from known))
    insert into migration_run_schemas (run_id, schema_id, name, phase, from_version, to_version, state, steps, rehearsed,
        note, finished_at, is_verified)
    select run.id, $2, $11, $12, $13, $4, $5, $6, $9, $10, clock_timestamp(), $15
    from migration_runs run
    where run.id = $1 and run.ended_at is null and $5::schema_migration_state = 'done' and not exists (select from claimed)
    on conflict (run_id, schema_id) do nothing";

/// Writes down what came of a schema.
pub(super) async fn record(db: &impl Sql, task: &Task, worker: &str, outcome: &Outcome) -> Result<()> {
    let phase = if task.is_canary { MigrationPhase::Canary } else { MigrationPhase::Fleet };
    db.execute(
        RECORD,
        &[
            &task.run,
            &task.schema,
            &worker,
            &outcome.version,
            &outcome.state,
            &outcome.steps,
            &outcome.error,
            &outcome.sqlstate,
            &outcome.rehearsed,
            &outcome.note,
            &task.name,
            &phase,
            &task.from,
            &outcome.is_due_again,
            &outcome.is_verified,
        ],
    )
    .await
    .context("recording what came of a schema")
    .map(drop)
}
