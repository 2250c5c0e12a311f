//! The steps of a purge, for each way in which tenants are kept apart.

use rowhouse_database::{AdminConnection, Described, quote_ident, quote_literal};
use rowhouse_domain::{Isolation, TenantStatus};
use rowhouse_problem::{Error, Result};

use super::catalog::{Thing, is_there};
use super::{objects, rows};
use crate::clusters::{self, ClusterLink};
use crate::operations::{Outcome, Work};
use crate::tenants::model::{Place, Tenant};
use crate::tenants::{login, provision, store};

/// Runs a step of an operation of this kind.
pub(crate) async fn run_step(work: &Work, step: &str) -> Result<Outcome> {
    let (context, id) = (&work.context, work.tenant()?);
    let tenant = store::find(&context.platform.get().await?, id).await?;
    let tenant = tenant.ok_or_else(|| Error::not_found("tenant", id))?;
    match tenant.status {
        TenantStatus::Purged => return Ok(Outcome::Finished),
        TenantStatus::Deleted if tenant.is_being_purged => {}
        TenantStatus::Provisioning
        | TenantStatus::Active
        | TenantStatus::Inactive
        | TenantStatus::Suspended
        | TenantStatus::Deleted
        | TenantStatus::Failed => return Ok(Outcome::Obsolete),
    }
    match step {
        "objects" => objects::delete(context, id).await?,
        "tombstone" => return Ok(Outcome::AtTheEnd),
        // Deleted before it had a place: there is nothing of it anywhere.
        _ if tenant.place.is_none() => {}
        "close" | "rights" | "data" | "role" => {
            let Some(place) = &tenant.place else { return Ok(Outcome::Done) };
            let link = clusters::find_link(&context.platform.get().await?, place.cluster).await?;
            let grave = Grave { work, tenant: &tenant, place, link };
            match step {
                "close" => grave.close().await?,
                "rights" => grave.take_rights().await?,
                "data" => grave.drop_data().await?,
                _ => grave.drop_role().await?,
            }
        }
        other => return Err(Error::internal(format!("no step {other:?}"))),
    }
    Ok(Outcome::Done)
}

/// A tenant that is being removed, and from where.
struct Grave<'a> {
    work: &'a Work,
    tenant: &'a Tenant,
    place: &'a Place,
    link: ClusterLink,
}

impl Grave<'_> {
    fn mark(&self) -> String {
        provision::mark(self.tenant.id)
    }

    /// Nobody gets in any more, and nobody is in.
    async fn close(&self) -> Result<()> {
        if self.tenant.isolation == Isolation::Shared {
            return Ok(());
        }
        let context = &self.work.context;
        let admin = context.administer_cluster(&self.link).await?;
        let in_turn = login::in_turn(&self.place.role);
        if is_there(&admin, Thing::Role, &self.place.role, &self.mark()).await? {
            let shut = format!("{in_turn}; alter role {} nologin", quote_ident(&self.place.role));
            admin.run(&shut).await.context("shutting a login")?;
        }
        if self.tenant.isolation == Isolation::Dedicated
            && is_there(&admin, Thing::Database, &self.place.database, &self.mark()).await?
        {
            let closed = format!(
                "begin; {in_turn}; set local role rowhouse_owner; alter database {} allow_connections false; commit",
                quote_ident(&self.place.database)
            );
            admin.run(&closed).await.context("closing a database")?;
        }
        admin.give_back();
        login::end_sessions_of(context, &self.link, &self.place.role).await
    }

    /// What the login was granted beside others is taken back: a role with rights can't be dropped.
    async fn take_rights(&self) -> Result<()> {
        if self.tenant.isolation != Isolation::Schema {
            return Ok(());
        }
        let admin = self.work.context.administer_cluster(&self.link).await?;
        let is_left = is_there(&admin, Thing::Role, &self.place.role, &self.mark()).await?;
        admin.give_back();
        if !is_left {
            return Ok(());
        }
        let inside = self.inside().await?;
        let (role, database) = (quote_ident(&self.place.role), quote_ident(&self.place.database));
        let mut taken = format!(
            "{}; revoke all on schema extensions from {role}; revoke all on database {database} from {role}",
            provision::ONE_AT_A_TIME
        );
        if is_there(&inside, Thing::Schema, &self.place.schema, &self.mark()).await? {
            taken.push_str(&format!("; revoke all on schema {} from {role}", quote_ident(&self.place.schema)));
        }
        inside.run(&taken).await.context("taking a login's rights")
    }

    async fn drop_data(&self) -> Result<()> {
        match self.tenant.isolation {
            Isolation::Dedicated => self.drop_database().await,
            Isolation::Schema => {
                let inside = self.inside().await?;
                if is_there(&inside, Thing::Schema, &self.place.schema, &self.mark()).await? {
                    let dropped = format!("drop schema {} cascade", quote_ident(&self.place.schema));
                    inside.run(&dropped).await.context("dropping a schema")?;
                }
                Ok(())
            }
            Isolation::Shared => rows::delete(&self.inside().await?, self.tenant.id).await,
        }
    }

    async fn drop_database(&self) -> Result<()> {
        let admin = self.work.context.administer_cluster(&self.link).await?;
        if is_there(&admin, Thing::Database, &self.place.database, &self.mark()).await? {
            admin.run("set role rowhouse_owner").await.context("becoming the owner")?;
            // Whoever is still in it is the control plane itself, looking: everybody else was shut out before.
            let dropped = format!("drop database if exists {} with (force)", quote_ident(&self.place.database));
            admin.run(&dropped).await.context("dropping a database")?;
            admin.run("reset role").await.context("being oneself again")?;
        }
        admin.give_back();
        Ok(())
    }

    async fn drop_role(&self) -> Result<()> {
        if self.tenant.isolation == Isolation::Shared {
            return Ok(());
        }
        let admin = self.work.context.administer_cluster(&self.link).await?;
        if is_there(&admin, Thing::Role, &self.place.role, &self.mark()).await? {
            let dropped = format!("drop role {}", quote_ident(&self.place.role));
            admin.run(&dropped).await.context("dropping a login")?;
        }
        admin.give_back();
        Ok(())
    }

    /// A connection to the database that the tenant shares with others, as its owner.
    async fn inside(&self) -> Result<AdminConnection> {
        let inside = self.link.open(&self.work.context, &self.place.database).await?;
        // A large tenant takes longer than what one call may take otherwise; the step has a limit of its own.
        let path = format!(
            "set role rowhouse_owner; set search_path = {}, extensions, pg_temp; set statement_timeout = {}",
            quote_ident(&self.place.schema),
            quote_literal("60s"),
        );
        inside.run(&path).await.context("becoming the owner")?;
        Ok(inside)
    }
}
