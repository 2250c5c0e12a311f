//! What a run would do, without doing any of it.

use std::sync::Arc;

use rowhouse_domain::MigrationDirection;
use rowhouse_migration_files::{Finding, lint};
use rowhouse_migrations::{Kind, Migration, UndoKind};
use rowhouse_problem::{Error, Result};
use rowhouse_web::Listing;

use super::model::{Plan, PlannedMigration, PlannedVersion, Warning};
use super::requests::{StartRun, Wanted};
use super::{ahead, overlap, store};
use crate::context::Context;

/// Most held schemas that a plan names.
const HELD: i64 = 100;

/// Plans a run, with a page of its schemas behind the first `offset` ones.
pub(super) async fn plan(context: &Context, request: &StartRun, limit: i64, offset: i64) -> Result<Plan> {
    let connection = context.platform.get().await?;
    let selection = request.selection.resolve(&connection).await?;
    let schemas = store::count_selected(&connection, &selection).await?;
    let wanted = Wanted::parse(request, selection, &context.tenant_migrations, schemas)?;
    let versions = ahead::versions(&connection, &wanted).await?;
    let held = ahead::held(&connection, &wanted, HELD).await?;
    let blocked = ahead::blocked(&connection, &wanted).await?;
    let page = ahead::planned(&connection, &wanted, limit + 1, offset).await?;
    let rivals = overlap::rivals(&connection, &wanted.selection).await?;
    drop(connection);
    let migrations = migrations(context, &wanted, &versions).await?;
    Ok(Plan {
        direction: wanted.direction,
        target_version: wanted.target,
        selection: wanted.selection,
        order: wanted.order,
        canaries: wanted.canaries,
        soak_seconds: wanted.soak_seconds,
        batch_size: wanted.batch_size,
        pause_seconds: wanted.pause_seconds,
        parallelism: wanted.parallelism,
        max_failures: wanted.max_failures,
        ahead: versions.iter().map(|one| one.schemas).sum(),
        versions,
        held,
        blocked,
        migrations,
        waits_for: rivals.iter().map(|run| run.id).collect(),
        schemas: Listing::new(page, limit, |schema| schema.position),
    })
}

/// Those that a schema before the run lacks, or has too many of.
async fn migrations(context: &Context, wanted: &Wanted, versions: &[PlannedVersion]) -> Result<Vec<PlannedMigration>> {
    let (Some(first), Some(last)) = (versions.first(), versions.last()) else { return Ok(Vec::new()) };
    let is_up = wanted.direction == MigrationDirection::Up;
    let (above, most) = if is_up { (first.version, wanted.target) } else { (wanted.target, last.version) };
    let all = Arc::clone(&context.tenant_migrations);
    // Parsing them all is work for a processor.
    let findings = tokio::task::spawn_blocking(move || lint(&all)).await.map_err(Error::internal)?;
    let mut planned: Vec<PlannedMigration> = context
        .tenant_migrations
        .list()
        .iter()
        .filter(|one| i32::try_from(one.version).is_ok_and(|version| version > above && version <= most))
        .map(|one| if is_up { forward(one, &findings) } else { backward(one, &findings) })
        .collect();
    if !is_up {
        planned.reverse();
    }
    Ok(planned)
}

fn forward(migration: &Migration, findings: &[Finding]) -> PlannedMigration {
    let kind = match migration.kind {
        Kind::Transactional => "transactional",
        Kind::NoTransaction => "no-transaction",
        Kind::Backfill(_) => "backfill",
    };
    shown(migration, kind, migration.sql(), &format!("{migration}.sql"), findings)
}

fn backward(migration: &Migration, findings: &[Finding]) -> PlannedMigration {
    let undo = migration.undo.as_ref();
    let is_outside = undo.is_some_and(|undo| undo.kind == UndoKind::NoTransaction);
    let kind = if is_outside { "no-transaction" } else { "transactional" };
    let file = format!("undo/{}__{}.sql", migration.version, migration.name);
    shown(migration, kind, undo.map_or("", |undo| &undo.sql), &file, findings)
}

fn shown(migration: &Migration, kind: &'static str, sql: &str, file: &str, findings: &[Finding]) -> PlannedMigration {
    let warning = |finding: &Finding| Warning {
        line: finding.line,
        rule: finding.rule.clone(),
        message: finding.message.clone(),
        safe_way: finding.safe_way.clone(),
    };
    PlannedMigration {
        version: migration.version,
        name: migration.name.clone(),
        kind,
        sql: sql.to_owned(),
        warnings: findings.iter().filter(|finding| finding.file == file).map(warning).collect(),
    }
}
