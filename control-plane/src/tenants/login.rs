//! A tenant's login follows its status: only an active one's is let in.
//!
//! `NOLOGIN` does not end sessions that are open, so those are ended too, after the door is shut.

use std::time::Duration;

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident};
use rowhouse_domain::TenantStatus;
use rowhouse_problem::{Error, Result};

use super::model::Tenant;
use super::store;
use crate::clusters;
use crate::operations::{Outcome, Work};

/// Looks whether every session is gone, this often, before the step is left to another attempt.
const LOOKS: usize = 20;
/// A backend takes a moment to notice that it is to end.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Runs a step of an operation of this kind.
pub(crate) async fn run_step(work: &Work, step: &str) -> Result<Outcome> {
    match step {
        "login" => sync_login(work).await,
        "sessions" => end_sessions(work).await,
        other => return Err(Error::internal(format!("no step {other:?}"))),
    }
    .map(|()| Outcome::Done)
}

/// Lets the login in or shuts it out. The tenant's row stays locked meanwhile, so that what is done is what it says.
pub(super) async fn sync_login(work: &Work) -> Result<()> {
    let mut connection = work.context.platform.get().await?;
    let tx = connection.transaction().await?;
    let tenant = store::lock(&tx, work.tenant()?).await?;
    let Some(place) = &tenant.place else { return Ok(()) };
    let cluster = clusters::store::find(&tx, place.cluster).await?.ok_or_else(|| Error::internal("no such cluster"))?;
    let admin = work.context.administer_cluster(&cluster).await?;
    if role_exists(&admin, &place.role).await? {
        let word = if may_log_in(tenant.status) { "login" } else { "nologin" };
        admin.run(&format!("alter role {} {word}", quote_ident(&place.role))).await.context("changing a login")?;
    }
    tx.commit().await
}

/// Ends the sessions of a login that is shut out.
async fn end_sessions(work: &Work) -> Result<()> {
    let tenant = current(work).await?;
    let Some(place) = tenant.place.as_ref().filter(|_| !may_log_in(tenant.status)) else { return Ok(()) };
    let cluster = clusters::store::find(&work.context.platform.get().await?, place.cluster).await?;
    let admin = work.context.administer_cluster(&cluster.ok_or_else(|| Error::internal("no such cluster"))?).await?;
    // The control login does not inherit what it is a member of.
    admin.run("set role pg_signal_backend").await.context("taking the role that may end sessions")?;
    for _ in 0..LOOKS {
        let ended = admin.query(END_SESSIONS, &[&place.role]).await.context("ending sessions")?;
        if ended.is_empty() {
            return Ok(());
        }
        tracing::info!(sessions = ended.len(), "ending the sessions of a tenant's login");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(Error::unavailable("sessions of the tenant's login are still open"))
}

const END_SESSIONS: &str = "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1::text::name";

async fn current(work: &Work) -> Result<Tenant> {
    let id = work.tenant()?;
    store::find(&work.context.platform.get().await?, id).await?.ok_or_else(|| Error::not_found("tenant", id))
}

async fn role_exists(admin: &AdminConnection, role: &str) -> Result<bool> {
    let rows = admin
        .query("select exists (select from pg_roles where rolname = $1::text::name) as found", &[&role])
        .await
        .context("looking for a role")?;
    rows.first().map_or(Ok(false), |row| row.column("found"))
}

fn may_log_in(status: TenantStatus) -> bool {
    match status {
        // Provisioning ends with a login that tries the door.
        TenantStatus::Active | TenantStatus::Provisioning => true,
        TenantStatus::Inactive
        | TenantStatus::Suspended
        | TenantStatus::Deleted
        | TenantStatus::Purged
        | TenantStatus::Failed => false,
    }
}
