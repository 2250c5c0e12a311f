//! Platform table `migration_notices`. Owns its SQL; decides nothing.

use rowhouse_database::{Columns, Described, Sql};
use rowhouse_problem::Result;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Notice;

// Due again already, should whoever has claimed it die.
const CLAIM: &str = "
    with due as (
        select id from migration_notices where due_at <= now() order by due_at limit $2 for no key update skip locked),
    claimed as (
        update migration_notices notice
        set attempts = attempts + 1, due_at = now() + make_interval(secs => ($1::double precision[])[attempts + 1])
        from due where notice.id = due.id
        returning notice.*)
    select claimed.id, claimed.run_id, claimed.state, claimed.reason, claimed.counts, claimed.created_at, claimed.attempts,
        run.direction, run.target_version, run.dry_run
    from claimed join migration_runs run on run.id = claimed.run_id
    order by claimed.created_at, claimed.id";

/// Takes notices that are due, each to be tried again after the pause that is its turn; after the last pause never.
pub(super) async fn claim(db: &impl Sql, pauses: &[f64], most: i64) -> Result<Vec<Notice>> {
    let rows = db.query(CLAIM, &[&pauses, &most]).await.context("looking for notices to deliver")?;
    let read = |row: &Row| {
        Ok(Notice {
            id: row.column("id")?,
            run: row.column("run_id")?,
            direction: row.column("direction")?,
            target: row.column("target_version")?,
            dry_run: row.column("dry_run")?,
            state: row.column("state")?,
            reason: row.column("reason")?,
            counts: row.column("counts")?,
            happened_at: row.column("created_at")?,
            attempts: row.column("attempts")?,
        })
    };
    rows.iter().map(read).collect()
}

const RECORD: &str = "
    update migration_notices
    set delivered_at = case when $2::text is null then now() end, error = $2,
        due_at = case when $2::text is not null then due_at end
    where id = $1";

/// Writes down what came of an attempt.
pub(super) async fn record(db: &impl Sql, id: Uuid, error: Option<&str>) -> Result<()> {
    db.execute(RECORD, &[&id, &error]).await.context("recording a notice").map(drop)
}

const FORGET_DUE: &str = "
    update migration_notices set due_at = null, error = 'there is nobody to be told' where due_at is not null";

/// Nobody is to be told.
pub(super) async fn forget_due(db: &impl Sql) -> Result<()> {
    db.execute(FORGET_DUE, &[]).await.context("passing by notices").map(drop)
}
