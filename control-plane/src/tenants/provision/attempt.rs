//! One attempt at making a tenant: what it learned at one step and needs at the next.

use rowhouse_database::AdminConnection;
use rowhouse_domain::{Isolation, TenantStatus};
use rowhouse_problem::{Error, Result};

use super::{Place, Site, database, login, pin, reserve, schema, verify};
use crate::clusters::{self, ClusterLink};
use crate::operations::{Outcome, Work};
use crate::stock::store::Stocked;
use crate::stock::{self, Adopted};
use crate::tenants::model::Tenant;
use crate::tenants::{login as logins, store};

/// An attempt; another one begins with nothing but what is recorded.
#[derive(Default)]
pub(crate) struct Attempt {
    found: Option<Found>,
    /// Opened ahead, while the owner's work is done.
    door: Option<AdminConnection>,
}

struct Found {
    tenant: Tenant,
    place: Place,
    link: ClusterLink,
    /// What the tenant took from the stock.
    stocked: Option<Stocked>,
}

impl Attempt {
    /// Runs a step.
    pub(crate) async fn run_step(&mut self, work: &Work, step: &str) -> Result<Outcome> {
        let context = &work.context;
        if self.found.is_none() {
            let id = work.tenant()?;
            let connection = context.platform.get().await?;
            let (tenant, stocked) =
                tokio::try_join!(store::find(&connection, id), stock::store::find_taken(&connection, id))?;
            drop(connection);
            let tenant = tenant.ok_or_else(|| Error::not_found("tenant", id))?;
            if tenant.status != TenantStatus::Provisioning {
                // Deleted in the meantime; or active, where the record of the last step was lost.
                logins::sync_login(work).await?;
                return Ok(if tenant.status == TenantStatus::Active { Outcome::Finished } else { Outcome::Obsolete });
            }
            let tenant = reserve::ensure(context, tenant).await?;
            let place = tenant.place.clone().ok_or_else(|| Error::internal("no place was reserved"))?;
            let link = clusters::find_link(&context.platform.get().await?, place.cluster).await?;
            self.found = Some(Found { tenant, place, link, stocked });
        }
        let Some(found) = &self.found else { return Err(Error::internal("no tenant is being made")) };
        let site = Site { context, tenant: &found.tenant, place: &found.place, link: &found.link };
        let isolation = found.tenant.isolation;
        match (step, isolation) {
            ("reserve", Isolation::Dedicated) => {
                // What was taken from the stock has been through all of this.
                if let Some(stocked) = &found.stocked {
                    match stock::adopt(context, &found.link, &found.place, stocked).await? {
                        Adopted::Now => {
                            verify::from_outside(&site).await?;
                            return Ok(Outcome::AtTheEnd);
                        }
                        // Verified as what was made the long way is.
                        Adopted::Before => return Ok(Outcome::Through("migrate")),
                        Adopted::Nothing => {}
                    }
                }
            }
            ("role", Isolation::Dedicated) => {
                // Neither needs the other, and cloning takes longest.
                let (login, database) = tokio::join!(login::ensure(&site), database::clone(&site));
                database?;
                login?;
            }
            ("role", Isolation::Schema) => login::ensure(&site).await?,
            ("database", Isolation::Dedicated) => database::ensure(&site).await?,
            ("database", Isolation::Schema) => schema::create(&site).await?,
            ("pin", Isolation::Dedicated) => pin::ensure(&site).await?,
            ("pin", Isolation::Schema) => pin::ensure(&site).await?,
            ("migrate", Isolation::Dedicated) => {
                let (filled, door) = tokio::join!(schema::ensure(&site), verify::open_door(&site));
                filled?;
                self.door = Some(door?);
            }
            ("migrate", Isolation::Schema | Isolation::Shared) => schema::ensure(&site).await?,
            ("verify", _) => verify::ensure(&site, self.door.take()).await?,
            ("activate", _) => return Ok(Outcome::AtTheEnd),
            // The group has its login, its database and its schema; only its tenants' rows are told apart.
            ("reserve" | "role" | "database" | "pin", _) => {}
            (other, _) => return Err(Error::internal(format!("no step {other:?}"))),
        }
        Ok(Outcome::Done)
    }
}
