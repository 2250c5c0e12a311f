//! What a run would do, without doing any of it.

use std::sync::Arc;

use rowhouse_domain::MigrationDirection;
use rowhouse_migration_files::{self as migration_files, Finding, Planned};
use rowhouse_problem::{Error, Result};
use rowhouse_web::Listing;

use super::model::{Plan, PlannedMigration, PlannedVersion, Warning};
use super::requests::{StartRun, Wanted};
use super::{ahead, overlap, serving};
use crate::context::Context;

/// Most held schemas that a plan names.
const HELD: i64 = 100;

/// Plans a run, with a page of its schemas behind the first `offset` ones.
pub(super) async fn plan(context: &Context, request: &StartRun, limit: i64, offset: i64) -> Result<Plan> {
    let connection = context.platform.get().await?;
    let selection = request.selection.resolve(&connection).await?;
    let wanted = ahead::wanted(&connection, request, selection, &context.tenant_migrations).await?;
    let versions = ahead::versions(&connection, &wanted).await?;
    let held = ahead::held(&connection, &wanted, HELD).await?;
    let blocked = ahead::blocked(&connection, &wanted).await?;
    let page = ahead::planned(&connection, &wanted, limit + 1, offset).await?;
    let rivals = overlap::rivals(&connection, &wanted.selection).await?;
    let not_served_by = serving::against(&connection, &wanted).await?;
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
        not_served_by,
        schemas: Listing::new(page, limit, |schema| schema.position),
    })
}

/// Those that a schema before the run lacks, or has too many of.
async fn migrations(context: &Context, wanted: &Wanted, versions: &[PlannedVersion]) -> Result<Vec<PlannedMigration>> {
    let (Some(first), Some(last)) = (versions.first(), versions.last()) else { return Ok(Vec::new()) };
    let from = if wanted.direction == MigrationDirection::Up { first.version } else { last.version };
    let number = |version: i32| u32::try_from(version).map_err(Error::internal);
    let (from, to, all) = (number(from)?, number(wanted.target)?, Arc::clone(&context.tenant_migrations));
    // Parsing them all is work for a processor.
    let planned = tokio::task::spawn_blocking(move || migration_files::plan(&all, from, to)).await;
    let planned = planned.map_err(Error::internal)?.map_err(Error::internal)?;
    Ok(planned.into_iter().map(shown).collect())
}

fn shown(planned: Planned) -> PlannedMigration {
    let warning = |finding: Finding| Warning {
        line: finding.line,
        rule: finding.rule,
        message: finding.message,
        safe_way: finding.safe_way,
    };
    let Planned { version, name, kind, sql, warnings } = planned;
    PlannedMigration { version, name, kind, sql, warnings: warnings.into_iter().map(warning).collect() }
}
