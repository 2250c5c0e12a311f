//! SQL of background work: `jobs` of a tenant, and through functions the marks, usage and quota of `saas_platform`.

use std::time::Duration;

use jiff::Timestamp;
use rowhouse_database::{Columns, Described, Sql};
use rowhouse_domain::{JobId, TenantId};
use rowhouse_problem::{Error, Result};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::model::{Job, JobKind, NewJob, UsageEvent};

const INSERT: &str = "insert into jobs (id, kind, subject_id, payload) values ($1, $2, $3, $4)";

/// Queues a job in the transaction that causes it.
///
/// # Errors
/// Whatever the server says.
pub async fn enqueue(transaction: &impl Sql, job: &NewJob) -> Result<()> {
    transaction
        .execute(INSERT, &[&job.id, &job.kind.as_str(), &job.subject, &job.payload])
        .await
        .context("queueing a job")?;
    Ok(())
}

const INSERT_ALL: &str = "
    insert into jobs (id, kind, subject_id, payload) select job.id, job.kind, job.subject, job.payload
    from unnest($1::uuid[], $2::text[], $3::uuid[], $4::jsonb[]) job (id, kind, subject, payload)";

/// Queues jobs in the transaction that causes them.
///
/// # Errors
/// Whatever the server says.
pub async fn enqueue_all(transaction: &impl Sql, jobs: &[NewJob]) -> Result<()> {
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let kinds: Vec<&str> = jobs.iter().map(|job| job.kind.as_str()).collect();
    let subjects: Vec<Option<Uuid>> = jobs.iter().map(|job| job.subject).collect();
    let payloads: Vec<&Value> = jobs.iter().map(|job| &job.payload).collect();
    transaction.execute(INSERT_ALL, &[&ids, &kinds, &subjects, &payloads]).await.context("queueing jobs")?;
    Ok(())
}

// The attempt counts before it is made, so that a crash counts too. A job whose holder is gone comes first, then one that somebody
// sits and waits for, in the words of `jobs_awaited_idx`: behind a thousand files that are indexed it would take minutes. One at a
// time, so that the others have the rest of the workers. The id comes from one scalar subquery: of an expression around several of
// them the planner makes a filter over all jobs.
const CLAIM: &str = "
    with abandoned as (
        select id from jobs where tenant_id = app_tenant_id() and state = 'running' and locked_until < now() and kind = any($3)
        order by locked_until, id limit 1 for update skip locked
    ), awaited as (
        select id from jobs where tenant_id = app_tenant_id() and state = 'queued' and run_at <= now()
            and kind in ('delete_tree', 'restore_tree', 'copy_tree')
            and not exists (select from jobs other where tenant_id = app_tenant_id() and state = 'running'
                and locked_until >= now() and kind in ('delete_tree', 'restore_tree', 'copy_tree'))
        order by run_at, id limit 1 for update skip locked
    ), due as (
        select id from jobs where tenant_id = app_tenant_id() and state = 'queued' and run_at <= now() and kind = any($3)
        order by run_at, id limit 1 for update skip locked
    )
    update jobs set state = 'running', attempts = attempts + 1, locked_by = $1,
        locked_until = now() + make_interval(secs => $2)
    where tenant_id = app_tenant_id() and id = (
        select id from abandoned union all select id from awaited union all select id from due limit 1)
    returning id, kind, subject_id, payload, attempts, created_at";

/// Takes on the job whose turn it is, for as long as the lease lasts; none that reports usage.
pub(super) async fn claim(tenant: &impl Sql, worker: &str, lease: Duration) -> Result<Option<Job>> {
    let kinds: Vec<&str> = known_kinds().into_iter().filter(|kind| *kind != JobKind::Usage.as_str()).collect();
    let row = tenant.query_opt(CLAIM, &[&worker, &lease.as_secs_f64(), &kinds]).await.context("claiming a job")?;
    row.as_ref().map(from_row).transpose()
}

// The same for usage alone, in the words of `jobs_usage_idx`: it finds some at once behind any number of other jobs.
const CLAIM_USAGE: &str = "
    with abandoned as (
        select id from jobs where tenant_id = app_tenant_id() and state = 'running' and locked_until < now() and kind = 'usage'
        order by locked_until, id limit $3 for update skip locked
    ), due as (
        select id from jobs where tenant_id = app_tenant_id() and state = 'queued' and run_at <= now() and kind = 'usage'
        order by run_at, id limit $3 for update skip locked
    )
    update jobs set state = 'running', attempts = attempts + 1, locked_by = $1,
        locked_until = now() + make_interval(secs => $2)
    where tenant_id = app_tenant_id() and id = any(array(select id from abandoned union all select id from due limit $3))
    returning id, kind, subject_id, payload, attempts, created_at";

/// Takes on the usage events that waited longest, for as long as the lease lasts, in the order in which they were queued.
pub(super) async fn claim_usage(tenant: &impl Sql, worker: &str, lease: Duration, limit: usize) -> Result<Vec<Job>> {
    let limit = i64::try_from(limit).map_err(Error::internal)?;
    let rows = tenant.query(CLAIM_USAGE, &[&worker, &lease.as_secs_f64(), &limit]).await.context("claiming usage")?;
    let mut jobs = rows.iter().map(from_row).collect::<Result<Vec<_>>>()?;
    jobs.sort_by_key(|job| (job.created_at, job.id));
    Ok(jobs)
}

// Of the next jobs only, so that it costs the same however many others wait.
const CLAIM_LABELS: &str = "
    with next as materialized (
        select id, kind, attempts from jobs where tenant_id = app_tenant_id() and state = 'queued' and run_at <= now()
        order by run_at, id limit 4 * $3::bigint
    ), due as (
        select jobs.id from next join jobs on jobs.tenant_id = app_tenant_id() and jobs.id = next.id
        where next.kind = 'index_label' and next.attempts = 0 and jobs.state = 'queued' and jobs.attempts = 0
            and jobs.run_at <= now() and jobs.last_error is null
        order by jobs.id limit $3 for update of jobs skip locked
    )
    update jobs set state = 'running', attempts = attempts + 1, locked_by = $1,
        locked_until = now() + make_interval(secs => $2)
    where tenant_id = app_tenant_id() and id = any(array(select id from due))
    returning id, kind, subject_id, payload, attempts, created_at";

/// Takes on labels that are among the next jobs and that nobody has tried before.
pub(super) async fn claim_labels(tenant: &impl Sql, worker: &str, lease: Duration, limit: usize) -> Result<Vec<Job>> {
    let limit = i64::try_from(limit).map_err(Error::internal)?;
    let rows = tenant.query(CLAIM_LABELS, &[&worker, &lease.as_secs_f64(), &limit]).await.context("claiming labels")?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<Job> {
    let kind: &str = row.column("kind")?;
    Ok(Job {
        id: row.column("id")?,
        kind: JobKind::from_text(kind).ok_or_else(|| Error::internal(format!("claimed a job of kind {kind:?}")))?,
        subject: row.column("subject_id")?,
        payload: row.column("payload")?,
        attempts: row.column("attempts")?,
        created_at: row.column("created_at")?,
    })
}

/// Jobs that a later release has queued are left to it.
fn known_kinds() -> Vec<&'static str> {
    JobKind::ALL.map(JobKind::as_str).to_vec()
}

const EXTEND: &str = "
    update jobs set locked_until = now() + make_interval(secs => $3)
    from unnest($1::uuid[], $4::integer[]) held (id, attempts)
    where jobs.tenant_id = app_tenant_id() and jobs.id = held.id and jobs.attempts = held.attempts
        and jobs.state = 'running' and jobs.locked_by = $2";

/// Prolongs the leases. Says whether any was still held.
pub(super) async fn extend(tenant: &impl Sql, jobs: &[Job], worker: &str, lease: Duration) -> Result<bool> {
    let (ids, attempts): (Vec<JobId>, Vec<i32>) = jobs.iter().map(|job| (job.id, job.attempts)).unzip();
    let touched = tenant
        .execute(EXTEND, &[&ids, &worker, &lease.as_secs_f64(), &attempts])
        .await
        .context("prolonging leases of jobs")?;
    Ok(touched > 0)
}

const FINISH: &str = "
    delete from jobs where tenant_id = app_tenant_id() and id = $1 and state = 'running' and locked_by = $2 and attempts = $3";

const FINISH_ALL: &str = "
    delete from jobs using unnest($1::uuid[], $3::integer[]) finished (id, attempts)
    where jobs.tenant_id = app_tenant_id() and jobs.id = finished.id and jobs.attempts = finished.attempts
        and jobs.state = 'running' and jobs.locked_by = $2";

/// Removes jobs that nobody waits for and that are done, but for those that another worker has taken over.
pub(super) async fn finish_all(tenant: &impl Sql, jobs: &[Job], worker: &str) -> Result<()> {
    let (ids, attempts): (Vec<JobId>, Vec<i32>) = jobs.iter().map(|job| (job.id, job.attempts)).unzip();
    tenant.execute(FINISH_ALL, &[&ids, &worker, &attempts]).await.context("finishing jobs")?;
    Ok(())
}

const KEEP: &str = "
    update jobs set state = 'done', finished_at = now(), locked_by = null, locked_until = null
    where tenant_id = app_tenant_id() and id = $1 and state = 'running' and locked_by = $2 and attempts = $3";

/// Removes a job that is done, or keeps it for those who wait for it, unless another worker has taken it over.
pub(super) async fn finish(tenant: &impl Sql, job: &Job, worker: &str) -> Result<()> {
    let sql = if job.kind.is_watched() { KEEP } else { FINISH };
    tenant.execute(sql, &[&job.id, &worker, &job.attempts]).await.context("finishing a job")?;
    Ok(())
}

const FORGET: &str = "
    delete from jobs where tenant_id = app_tenant_id() and state in ('done', 'cancelled') and updated_at < now() - interval '7 days'";

// What a cover waits for is tried again.
const FORGET_FAILED: &str = "
    delete from jobs where tenant_id = app_tenant_id() and state = 'failed' and kind = any($1) and updated_at < now() - interval '7 days'
        and not exists (select from covers where covers.job_id = jobs.id)";

/// Removes jobs that ended a week ago; of those that were given up the ones that somebody could wait for.
pub(super) async fn forget(tenant: &impl Sql) -> Result<()> {
    tenant.execute(FORGET, &[]).await.context("forgetting jobs")?;
    tenant.execute(FORGET_FAILED, &[&JobKind::watched()]).await.context("forgetting jobs that failed")?;
    Ok(())
}

const RETRY: &str = "
    update jobs set state = 'queued', run_at = now() + make_interval(secs => $4), locked_by = null, locked_until = null,
        last_error = left($5, 1000)
    where tenant_id = app_tenant_id() and id = $1 and state = 'running' and locked_by = $2 and attempts = $3";

/// Queues a job that failed again, for after a pause.
pub(super) async fn retry(tenant: &impl Sql, job: &Job, worker: &str, pause: Duration, error: &str) -> Result<()> {
    tenant
        .execute(RETRY, &[&job.id, &worker, &job.attempts, &pause.as_secs_f64(), &error])
        .await
        .context("queueing a job again")?;
    Ok(())
}

const POSTPONE: &str = "
    update jobs set state = 'queued', run_at = now() + make_interval(secs => $4), locked_by = null, locked_until = null,
        attempts = attempts - 1, last_error = left($5, 1000)
    where tenant_id = app_tenant_id() and id = $1 and state = 'running' and locked_by = $2 and attempts = $3";

/// Queues a job again whose failure was not its own: the attempt does not count.
pub(super) async fn postpone(tenant: &impl Sql, job: &Job, worker: &str, pause: Duration, error: &str) -> Result<()> {
    tenant
        .execute(POSTPONE, &[&job.id, &worker, &job.attempts, &pause.as_secs_f64(), &error])
        .await
        .context("postponing a job")?;
    Ok(())
}

const PARK: &str = "
    update jobs set state = 'failed', finished_at = now(), locked_by = null, locked_until = null, last_error = left($4, 1000)
    where tenant_id = app_tenant_id() and id = $1 and state = 'running' and locked_by = $2 and attempts = $3";

/// Gives a job up; it stays with its error for somebody to look at.
pub(super) async fn park(tenant: &impl Sql, job: &Job, worker: &str, error: &str) -> Result<()> {
    tenant.execute(PARK, &[&job.id, &worker, &job.attempts, &error]).await.context("parking a job")?;
    Ok(())
}

const NEXT_DUE: &str = "
    select least(
        (select min(run_at) from jobs where tenant_id = app_tenant_id() and state = 'queued' and kind = any($1)),
        (select min(locked_until) from jobs where tenant_id = app_tenant_id() and state = 'running' and kind = any($1))
    ) as due";

/// When the tenant is to be looked at next: a job's pause or lease ends. None where there is no job.
pub(super) async fn next_due(tenant: &impl Sql) -> Result<Option<Timestamp>> {
    let row = tenant.query_one(NEXT_DUE, &[&known_kinds()]).await.context("looking for the next job")?;
    row.column("due")
}

const MARK: &str = "select work_mark($1)";

/// Marks in `saas_platform` that the tenant is about to have work.
pub(super) async fn mark(platform: &impl Sql, tenant: TenantId) -> Result<()> {
    platform.query_one(MARK, &[&tenant]).await.context("marking work")?;
    Ok(())
}

const MARK_FOR: &str = "select work_mark($1, $2)";

/// Marks that the tenant has work from `due` on.
pub(super) async fn mark_for(platform: &impl Sql, tenant: TenantId, due: Timestamp) -> Result<()> {
    platform.query_one(MARK_FOR, &[&tenant, &due]).await.context("marking later work")?;
    Ok(())
}

const CLEAR: &str = "select work_clear($1, $2, $3)";

/// Takes the mark away where it is still the one that was seen, or moves it to `next`.
pub(super) async fn clear(
    platform: &impl Sql,
    tenant: TenantId,
    generation: i64,
    next: Option<Timestamp>,
) -> Result<()> {
    platform.query_one(CLEAR, &[&tenant, &generation, &next]).await.context("clearing a mark")?;
    Ok(())
}

const LIST: &str = "select tenant_id, generation from work_list($1)";

/// Marked tenants that are due, longest waiting first.
pub(super) async fn list(platform: &impl Sql, limit: i32) -> Result<Vec<(TenantId, i64)>> {
    let rows = platform.query(LIST, &[&limit]).await.context("listing marked tenants")?;
    rows.iter().map(|row| Ok((row.column("tenant_id")?, row.column("generation")?))).collect()
}

const ACTIVE_AFTER: &str = "
    select id, place, row_number() over (order by place desc) as remaining
    from (select id, hashtextextended(id::text, $1) as place from tenants where status = 'active') as active
    where $2::bigint is null or place > $2
    order by place limit $3";

/// A tenant of a walk over all of them.
pub(super) struct Next {
    pub(super) tenant: TenantId,
    /// Its place in the walk's order.
    pub(super) place: i64,
    /// Tenants from this one on.
    pub(super) left: u32,
}

/// Active tenants behind a place, in an order that `seed` makes.
pub(super) async fn active_after(platform: &impl Sql, seed: i64, after: Option<i64>, limit: i64) -> Result<Vec<Next>> {
    let rows = platform.query(ACTIVE_AFTER, &[&seed, &after, &limit]).await.context("listing active tenants")?;
    let next = |row: &Row| {
        let left: i64 = row.column("remaining")?;
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        Ok(Next { tenant: row.column("id")?, place: row.column("place")?, left })
    };
    rows.iter().map(next).collect()
}

const RECORD_USAGE: &str = "select usage_record_all($1, $2, $3, $4, $5, $6, $7, $8, $9) as recorded";

/// Records usage events of a tenant, all or none; the same events again change nothing.
pub(super) async fn record_usage(
    platform: &impl Sql,
    tenant: TenantId,
    events: &[(JobId, Timestamp, UsageEvent)],
) -> Result<()> {
    fn each<'a, T>(
        events: &'a [(JobId, Timestamp, UsageEvent)],
        part: impl Fn(&'a (JobId, Timestamp, UsageEvent)) -> T,
    ) -> Vec<T> {
        events.iter().map(part).collect()
    }
    platform
        .query_one(
            RECORD_USAGE,
            &[
                &tenant,
                &each(events, |(id, ..)| *id),
                &each(events, |(_, at, _)| *at),
                &each(events, |(.., event)| event.event_type.as_str()),
                &each(events, |(.., event)| event.quantity),
                &each(events, |(.., event)| event.unit.as_str()),
                &each(events, |(.., event)| Value::Object(event.details.clone())),
                &each(events, |(.., event)| event.reservation_id),
                &each(events, |(.., event)| event.account_id),
            ],
        )
        .await
        .context("recording usage")?;
    Ok(())
}

const EXPIRE: &str = "select quota_expire($1) as expired";

/// Gives back reservations that nobody came back for, and says how many.
pub(super) async fn expire_reservations(platform: &impl Sql, limit: i32) -> Result<i32> {
    platform.query_one(EXPIRE, &[&limit]).await.context("expiring reservations")?.column("expired")
}
