//! Platform tables `operations` and `operation_steps`. Owns their SQL; decides nothing.

use std::time::Duration;

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{OperationId, OrganizationId, TenantId};
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::Row;
use uuid::Uuid;

use super::hands::Hand;
use super::model::{Kind, Operation, OperationState, OperationStep};
use crate::audit::Requester;

// One of a kind at a time for a subject: a wish that comes while one runs makes that one start over.
const ENQUEUE: &str = "
    with operation as (
        insert into operations (id, kind, subject_kind, subject_id, organization_id, tenant_id, requested_by_kind,
            requested_by, request_id)
        values ($1, $2, 'tenant', $3, $4, $3, $5, $6, $7)
        on conflict (subject_id, kind) where state in ('queued', 'running')
        do update set input = operations.input || '{\"again\": true}', run_at = least(operations.run_at, now())
        returning id),
    steps as (
        insert into operation_steps (operation_id, position, name)
        select operation.id, (step.position - 1)::integer, step.name
        from operation, unnest($8::text[]) with ordinality as step (name, position)
        on conflict do nothing)
    select id from operation";
const ENQUEUE_STEPS: &str = "
    insert into operation_steps (operation_id, position, name)
    select $1, (step.position - 1)::integer, step.name from unnest($2::text[]) with ordinality as step (name, position)
    on conflict do nothing";

/// Records the wish for an operation on a tenant, in the transaction that gives the reason.
pub(crate) async fn enqueue(
    tx: &impl Sql,
    kind: Kind,
    tenant: TenantId,
    organization: OrganizationId,
    requester: &Requester,
) -> Result<OperationId> {
    let row = tx
        .query_one(
            ENQUEUE,
            &[
                &OperationId::new(),
                &kind.as_str(),
                &tenant,
                &organization,
                &requester.actor.kind,
                &requester.actor.id,
                &requester.request_id,
                &kind.steps(),
            ],
        )
        .await
        .context("recording an operation")?;
    row.column("id")
}

// Its subject is new, so that nothing else can be under way for it. The clock's time: the transaction may be older.
const ENQUEUE_CLAIMED: &str = "
    with operation as (
        insert into operations (id, kind, subject_kind, subject_id, organization_id, tenant_id, requested_by_kind,
            requested_by, request_id, state, attempts, locked_by, locked_until, started_at)
        values ($1, $2, 'tenant', $3, $4, $3, $5, $6, $7, 'running', 1, $9,
            clock_timestamp() + make_interval(secs => $10), now())
        returning id)
    insert into operation_steps (operation_id, position, name, state, attempts, started_at)
    select operation.id, (step.position - 1)::integer, step.name,
        case when step.position = 1 then 'running'::operation_step_state else 'pending' end,
        case when step.position = 1 then 1 else 0 end, case when step.position = 1 then now() end
    from operation, unnest($8::text[]) with ordinality as step (name, position)";

/// Records an operation on a new tenant as already begun by a hand of this process.
pub(crate) async fn enqueue_claimed(
    tx: &impl Sql,
    kind: Kind,
    tenant: TenantId,
    organization: OrganizationId,
    requester: &Requester,
    hand: &Hand,
) -> Result<Claimed> {
    let (id, leased_until) = (OperationId::new(), Instant::now() + hand.lease);
    tx.execute(
        ENQUEUE_CLAIMED,
        &[
            &id,
            &kind.as_str(),
            &tenant,
            &organization,
            &requester.actor.kind,
            &requester.actor.id,
            &requester.request_id,
            &kind.steps(),
            &hand.holder,
            &hand.lease.as_secs_f64(),
        ],
    )
    .await
    .context("recording an operation")?;
    Ok(Claimed {
        id,
        kind: kind.as_str().to_owned(),
        tenant: Some(tenant),
        attempts: 1,
        failures: 0,
        input: Value::Object(serde_json::Map::new()),
        begun: kind.steps().first().map(|step| (*step).to_owned()),
        holder: hand.holder.clone(),
        leased_until,
    })
}

const ENQUEUE_DOCTOR: &str = "
    insert into operations (id, kind, subject_kind, subject_id, input, requested_by_kind, requested_by, request_id)
    values ($1, $2, 'platform', $3, $4, $5, $6, $7)
    on conflict (subject_id, kind) where state in ('queued', 'running') do nothing returning id";

/// Records the wish for an examination of everything; none where one is under way.
pub(crate) async fn enqueue_doctor(tx: &impl Sql, input: &Value, requester: &Requester) -> Result<Option<OperationId>> {
    let (id, kind) = (OperationId::new(), Kind::Doctor);
    let row = tx
        .query_opt(
            ENQUEUE_DOCTOR,
            &[
                &id,
                &kind.as_str(),
                &Uuid::nil(),
                input,
                &requester.actor.kind,
                &requester.actor.id,
                &requester.request_id,
            ],
        )
        .await
        .context("recording an operation")?;
    if row.is_none() {
        return Ok(None);
    }
    tx.execute(ENQUEUE_STEPS, &[&id, &kind.steps()]).await.context("recording an operation's steps")?;
    Ok(Some(id))
}

const SET_RESULT: &str = "update operations set result = $3 where id = $1 and locked_by = $2 and state = 'running'";

/// Leaves what came of an operation with it.
pub(crate) async fn set_result(db: &impl Sql, claimed: &Claimed, result: &Value) -> Result<()> {
    let written = db.execute(SET_RESULT, &[&claimed.id, &claimed.holder, &result]).await;
    written.context("recording an operation's result").map(drop)
}

const FIND: &str = "
    select id, kind, state::text as state, organization_id, tenant_id, requested_by_kind, requested_by, request_id,
        attempts, error_code, error, result, created_at, started_at, finished_at, updated_at
    from operations where id = $1";
const STEPS: &str = "
    select name, state::text as state, attempts, error, started_at, finished_at
    from operation_steps where operation_id = $1 order by position";

/// An operation with its steps.
pub(crate) async fn find(db: &impl Sql, id: OperationId) -> Result<Option<Operation>> {
    let Some(row) = db.query_opt(FIND, &[&id]).await.context("reading an operation")? else { return Ok(None) };
    let steps = db.query(STEPS, &[&id]).await.context("reading an operation's steps")?;
    Ok(Some(Operation {
        id: row.column("id")?,
        kind: row.column("kind")?,
        state: state(&row)?,
        organization_id: row.column("organization_id")?,
        tenant_id: row.column("tenant_id")?,
        requested_by_kind: row.column("requested_by_kind")?,
        requested_by: row.column("requested_by")?,
        request_id: row.column("request_id")?,
        attempts: row.column("attempts")?,
        error_code: row.column("error_code")?,
        error: row.column("error")?,
        result: row.column("result")?,
        steps: steps.iter().map(step).collect::<Result<_>>()?,
        created_at: row.column("created_at")?,
        started_at: row.column("started_at")?,
        finished_at: row.column("finished_at")?,
        updated_at: row.column("updated_at")?,
    }))
}

fn state(row: &Row) -> Result<OperationState> {
    let text: String = row.column("state")?;
    OperationState::parse(&text).ok_or_else(|| Error::internal(format!("unknown operation state {text:?}")))
}

fn step(row: &Row) -> Result<OperationStep> {
    Ok(OperationStep {
        name: row.column("name")?,
        state: row.column("state")?,
        attempts: row.column("attempts")?,
        error: row.column("error")?,
        started_at: row.column("started_at")?,
        finished_at: row.column("finished_at")?,
    })
}

const FIND_STATE: &str = "select state::text as state from operations where id = $1";

/// How an operation stands, without the rest of it.
pub(super) async fn find_state(db: &impl Sql, id: OperationId) -> Result<Option<OperationState>> {
    let row = db.query_opt(FIND_STATE, &[&id]).await.context("reading an operation's state")?;
    row.as_ref().map(state).transpose()
}

/// An operation that this process has the lease of.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) id: OperationId,
    pub(crate) kind: String,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) attempts: i32,
    /// How many of the attempts before this one have failed; the others' holders have died.
    pub(super) failures: i32,
    /// What exactly was wished for.
    pub(crate) input: Value,
    /// The step that was begun with the claim: the first one, at the first attempt.
    pub(super) begun: Option<String>,
    /// Whose lease it is; every later write asks for it.
    pub(crate) holder: String,
    /// When the lease runs out, by this process's clock: not after the server takes it for run out.
    pub(super) leased_until: Instant,
}

const CLAIM: &str = "
    with due as (
        select id from operations
        where state in ('queued', 'running') and run_at <= now() and (locked_until is null or locked_until < now())
            and kind = any ($4)
            -- One after the other for a subject: what was wished for later must not overtake.
            and not exists (
                select from operations earlier
                where earlier.subject_id = operations.subject_id and earlier.id < operations.id
                    and earlier.state in ('queued', 'running'))
        order by run_at, id limit $1 for update skip locked
    ),
    claimed as (
        update operations set state = 'running', attempts = attempts + 1, locked_by = $2,
            locked_until = now() + make_interval(secs => $3), started_at = coalesce(started_at, now())
        from due where operations.id = due.id
        returning operations.id, operations.kind, operations.tenant_id, operations.attempts, operations.failures,
            operations.input),
    begun as (
        update operation_steps step set state = 'running', attempts = step.attempts + 1, started_at = now()
        from claimed
        where step.operation_id = claimed.id and claimed.attempts = 1 and step.position = 0 and step.state = 'pending'
        returning step.operation_id, step.name)
    select claimed.id, claimed.kind, claimed.tenant_id, claimed.attempts, claimed.failures, claimed.input,
        begun.name as begun
    from claimed left join begun on begun.operation_id = claimed.id";

/// Takes operations that are due, or whose holder was not heard of for a lease. Kinds that only a later release knows are
/// left to it.
pub(super) async fn claim(db: &impl Sql, most: i64, hand: &Hand) -> Result<Vec<Claimed>> {
    let kinds = Kind::ALL.map(Kind::as_str);
    let leased_until = Instant::now() + hand.lease;
    let rows = db
        .query(CLAIM, &[&most, &hand.holder, &hand.lease.as_secs_f64(), &kinds.as_slice()])
        .await
        .context("claiming operations")?;
    rows.iter()
        .map(|row| {
            Ok(Claimed {
                id: row.column("id")?,
                kind: row.column("kind")?,
                tenant: row.column("tenant_id")?,
                attempts: row.column("attempts")?,
                failures: row.column("failures")?,
                input: row.column("input")?,
                begun: row.column("begun")?,
                holder: hand.holder.clone(),
                leased_until,
            })
        })
        .collect()
}

const EXTEND: &str = "
    update operations set locked_until = now() + make_interval(secs => $3)
    where id = $1 and locked_by = $2 and state = 'running'";

/// Extends the lease; false where somebody else has taken the operation over.
pub(super) async fn extend(db: &impl Sql, claimed: &Claimed, lease: Duration) -> Result<bool> {
    let touched =
        db.execute(EXTEND, &[&claimed.id, &claimed.holder, &lease.as_secs_f64()]).await.context("extending a lease")?;
    Ok(touched == 1)
}

const START_AGAIN: &str = "
    update operation_steps set state = 'pending', finished_at = null
    where operation_id = $1 and state <> 'pending'
        and exists (select from operations where id = $1 and locked_by = $2 and state = 'running')";

/// Begins with the first step again. All of them may run twice, and what made the last attempt fail may have undone what
/// was done before it.
pub(super) async fn start_again(db: &impl Sql, claimed: &Claimed) -> Result<()> {
    db.execute(START_AGAIN, &[&claimed.id, &claimed.holder]).await.context("beginning an operation again").map(drop)
}

const ADVANCE: &str = "
    with mine as (select id from operations where id = $1 and locked_by = $2 and state = 'running'),
    done as (
        update operation_steps set state = 'done', finished_at = now(), started_at = coalesce(started_at, now()),
            attempts = greatest(attempts, 1)
        where operation_id in (select id from mine) and state <> 'done'
            and position <= (select max(position) from operation_steps where operation_id = $1 and name = $3)),
    begun as (
        update operation_steps set state = 'running', attempts = attempts + 1, error = null,
            started_at = coalesce(started_at, now())
        where operation_id in (select id from mine)
            and position = (
                select min(position) from operation_steps
                where operation_id = $1 and state not in ('done', 'skipped')
                    and position > coalesce(
                        (select max(position) from operation_steps where operation_id = $1 and name = $3), -1))
        returning name)
    select exists (select from mine) as is_ours, (select name from begun) as name";

/// Where an operation goes on.
pub(super) enum Next {
    /// With this step, which has begun.
    Step(String),
    /// Nowhere: all steps are done.
    End,
    /// Somewhere else: the lease is lost.
    Lost,
}

/// Records that all steps up to the named one are done, if one is named, and begins the next.
pub(super) async fn advance(db: &impl Sql, claimed: &Claimed, done: Option<&str>) -> Result<Next> {
    let row = db.query_one(ADVANCE, &[&claimed.id, &claimed.holder, &done]).await.context("recording a step")?;
    if !row.column::<bool>("is_ours")? {
        return Ok(Next::Lost);
    }
    Ok(row.column::<Option<String>>("name")?.map_or(Next::End, Next::Step))
}

const STEP_FAILED: &str = "
    update operation_steps set state = 'failed', error = $4
    where operation_id = $1 and name = $3
        and exists (select from operations where id = $1 and locked_by = $2 and state = 'running')";

/// Records that a step failed, for this time. False where the lease is lost.
pub(super) async fn step_failed(db: &impl Sql, claimed: &Claimed, step: &str, error: &str) -> Result<bool> {
    let touched = db
        .execute(STEP_FAILED, &[&claimed.id, &claimed.holder, &step, &error])
        .await
        .context("recording a step's failure")?;
    Ok(touched == 1)
}

const RETRY: &str = "
    update operations set state = 'queued', run_at = now() + make_interval(secs => $3), locked_by = null,
        locked_until = null, failures = failures + 1, error_code = $4, error = $5
    where id = $1 and locked_by = $2 and state = 'running'";

/// Puts an operation back for another attempt.
pub(super) async fn retry(db: &impl Sql, claimed: &Claimed, pause: Duration, error: &Error) -> Result<()> {
    let seconds = pause.as_secs_f64();
    db.execute(RETRY, &[&claimed.id, &claimed.holder, &seconds, &error.code().as_str(), &error.detail()])
        .await
        .context("putting an operation back")
        .map(drop)
}

// The attempt does not count: nothing went wrong.
const RELEASE: &str = "
    update operations set state = 'queued', run_at = now(), locked_by = null, locked_until = null,
        attempts = attempts - 1
    where id = $1 and locked_by = $2 and state = 'running'";

/// Gives an operation to whoever comes next: this process stops.
pub(super) async fn release(db: &impl Sql, claimed: &Claimed) -> Result<()> {
    db.execute(RELEASE, &[&claimed.id, &claimed.holder]).await.context("releasing an operation").map(drop)
}

const FINISH: &str = "
    with last_steps as (
        update operation_steps set state = 'done', finished_at = now(), started_at = coalesce(started_at, now()),
            attempts = greatest(attempts, 1)
        where $3 = 'succeeded' and operation_id = $1 and state <> 'done'
            and exists (
                select from operations
                where id = $1 and locked_by = $2 and state = 'running' and not input ? 'again'))
    update operations set state = $3::text::operation_state, finished_at = now(), locked_by = null, locked_until = null,
        error_code = $4, error = $5
    where id = $1 and locked_by = $2 and state = 'running' and not input ? 'again'";
const START_OVER: &str = "
    update operations set state = 'queued', run_at = now(), locked_by = null, locked_until = null, attempts = 0,
        failures = 0, input = input - 'again'
    where id = $1 and locked_by = $2 and state = 'running' and input ? 'again'";
const RESET_STEPS: &str = "update operation_steps set state = 'pending', finished_at = null where operation_id = $1";

/// How an operation ended.
pub(super) enum End {
    Succeeded,
    Cancelled,
    Failed(Error),
}

/// Whether it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finished {
    ForGood,
    /// It was wished for again in the meantime, and starts over.
    ForNow,
    /// The lease is lost.
    Not,
}

/// Ends an operation, or starts it over.
pub(super) async fn finish(tx: &impl Sql, claimed: &Claimed, end: &End) -> Result<Finished> {
    let (state, error) = match end {
        End::Succeeded => (OperationState::Succeeded, None),
        End::Cancelled => (OperationState::Cancelled, None),
        End::Failed(error) => (OperationState::Failed, Some(error)),
    };
    let code = error.map(|error| error.code().as_str());
    let detail = error.map(|error| error.detail());
    let finished = tx
        .execute(FINISH, &[&claimed.id, &claimed.holder, &state.as_str(), &code, &detail])
        .await
        .context("ending an operation")?;
    if finished == 1 {
        return Ok(Finished::ForGood);
    }
    let again = tx.execute(START_OVER, &[&claimed.id, &claimed.holder]).await.context("starting an operation over")?;
    if again == 0 {
        return Ok(Finished::Not);
    }
    tx.execute(RESET_STEPS, &[&claimed.id]).await.context("resetting an operation's steps")?;
    Ok(Finished::ForNow)
}

const REAP: &str = "
    update operations set state = 'queued', locked_by = null, locked_until = null, run_at = now()
    where state = 'running' and locked_until < now()
    returning id, kind, attempts";

/// Puts back what its holder was not heard of for a lease, and says what that was.
pub(super) async fn reap(db: &impl Sql) -> Result<Vec<(OperationId, String)>> {
    let rows = db.query(REAP, &[]).await.context("looking for operations whose holder is gone")?;
    rows.iter().map(|row| Ok((row.column("id")?, row.column("kind")?))).collect()
}
