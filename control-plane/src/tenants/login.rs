//! A tenant's login follows its status: only an active one's is let in.
//!
//! `NOLOGIN` does not end sessions that are open, so those are ended too, after the door is shut.

use std::time::Duration;

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident, quote_literal};
use rowhouse_domain::{ClusterId, Isolation, TenantStatus};
use rowhouse_problem::{Error, Result};

use super::model::Tenant;
use super::store;
use crate::clusters::{self, ClusterLink};
use crate::context::Context;
use crate::operations::{Outcome, Work};

/// A status that changes more often than this while it is followed is left to another attempt.
const CHANGES: usize = 10;
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

/// Lets the login in or shuts it out, until what was done is what the tenant's row says.
///
/// No lock on the row is held while the cluster is asked: it may be slow, and requests wait for the row. Instead the row
/// is read again afterwards. Of two that do this at the same time, the one that is last at the cluster reads last.
pub(super) async fn sync_login(work: &Work) -> Result<()> {
    let mut wanted = Wanted::of(&current(work).await?);
    for _ in 0..CHANGES {
        if let Some(wanted) = &wanted {
            wanted.establish(work).await?;
        }
        let now = Wanted::of(&current(work).await?);
        if now == wanted {
            return Ok(());
        }
        wanted = now;
    }
    Err(Error::unavailable("the tenant's status does not stay the same for long enough"))
}

/// The statement with which a transaction begins that changes a login, or the database that is its own.
///
/// PostgreSQL refuses one of two that change a role or a database at once ("tuple concurrently updated"), and a statement goes on
/// for a while after whoever began it was killed.
pub(super) fn in_turn(role: &str) -> String {
    let name = quote_literal(&format!("rowhouse.login {role}"));
    format!("select pg_advisory_xact_lock(hashtextextended({name}, 0))")
}

/// What a login is to be like.
#[derive(PartialEq, Eq)]
struct Wanted {
    cluster: ClusterId,
    role: String,
    generation: i64,
    may_log_in: bool,
}

impl Wanted {
    /// None where the tenant has no login of its own: it has no place, or shares its group's, which stays open for the
    /// others. Then it is its keys alone that are refused.
    fn of(tenant: &Tenant) -> Option<Self> {
        let place = tenant.place.as_ref().filter(|_| tenant.isolation != Isolation::Shared)?;
        Some(Self {
            cluster: place.cluster,
            role: place.role.clone(),
            generation: place.generation,
            may_log_in: may_log_in(tenant.status),
        })
    }

    async fn establish(&self, work: &Work) -> Result<()> {
        let link = clusters::find_link(&work.context.platform.get().await?, self.cluster).await?;
        let admin = work.context.administer_cluster(&link).await?;
        if !role_exists(&admin, &self.role).await? {
            admin.give_back();
            return Ok(());
        }
        // One simple query is one transaction.
        let changed = format!(
            "{lock}; alter role {role} {word}",
            lock = in_turn(&self.role),
            role = quote_ident(&self.role),
            word = if self.may_log_in { "login" } else { "nologin" },
        );
        admin.run(&changed).await.context("changing a login")?;
        admin.give_back();
        Ok(())
    }
}

/// Ends the sessions of a login that is shut out.
async fn end_sessions(work: &Work) -> Result<()> {
    let tenant = current(work).await?;
    if may_log_in(tenant.status) {
        return Ok(());
    }
    let Some(wanted) = Wanted::of(&tenant) else { return Ok(()) };
    let link = clusters::find_link(&work.context.platform.get().await?, wanted.cluster).await?;
    end_sessions_of(&work.context, &link, &wanted.role).await
}

/// Ends the sessions of a login that is shut out already.
pub(crate) async fn end_sessions_of(context: &Context, link: &ClusterLink, role: &str) -> Result<()> {
    let admin = context.administer_cluster(link).await?;
    // The control login does not inherit what it is a member of.
    admin.run("set role pg_signal_backend").await.context("taking the role that may end sessions")?;
    for _ in 0..LOOKS {
        let ended = admin.query(END_SESSIONS, &[&role]).await.context("ending sessions")?;
        if ended.is_empty() {
            admin.run("reset role").await.context("being oneself again")?;
            admin.give_back();
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

/// Whether the login of a tenant in this state is let in. Its organization's standing is the data plane's to look at.
pub(crate) fn may_log_in(status: TenantStatus) -> bool {
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
