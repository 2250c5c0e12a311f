//! Proof that a fresh connection leads where it should.
//!
//! A truncated name, a restored database or a stale row could lead to another tenant's data; the
//! server is asked whose database this is before the connection's first use.

use deadpool_postgres::ClientWrapper;
use rowhouse_domain::{Isolation, TenantId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::placement::Placement;
use crate::error::ConnectError;

/// What a connection must find.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    database: String,
    schema: String,
    role: String,
    /// The tenant that the login is pinned to; none where tenants share it.
    tenant: Option<TenantId>,
}

// A new server process reads the catalog for whatever is said to it, so little is said.
const WHO_AM_I: &str = "select current_database() as database, current_user as role, current_schema() as schema,
       current_setting('app.tenant_id', true) as pin";
const IDENTIFIED: &str = "select from tenant_identity where tenant_id = $1";

impl Identity {
    /// What connections to a placement must find.
    pub(crate) fn of(placement: &Placement) -> Self {
        Self {
            database: placement.database.clone(),
            schema: placement.schema.clone(),
            role: placement.role.clone(),
            tenant: match placement.isolation {
                Isolation::Dedicated | Isolation::Schema => Some(placement.tenant),
                Isolation::Shared => None,
            },
        }
    }

    /// Asks the server, and refuses the connection where any answer differs.
    pub(crate) async fn verify(&self, client: &ClientWrapper) -> Result<(), ConnectError> {
        // Both questions are under way at once, unprepared: each would be asked once in the connection's life.
        let who = client.query_typed_one(WHO_AM_I, &[]);
        let identified = async {
            match &self.tenant {
                // Where tenants share a login, each is looked for when it first borrows a connection.
                None => Ok(true),
                Some(tenant) => Ok(client.query_typed_opt(IDENTIFIED, &[(tenant, Type::UUID)]).await?.is_some()),
            }
        };
        let (who, identified) = tokio::join!(who, identified);
        self.compare(&who.map_err(ConnectError::Connect)?)?;
        match self.tenant {
            Some(tenant) if !identified.map_err(ConnectError::Connect)? => {
                Err(ConnectError::Identity(format!("database {:?} does not know tenant {tenant}", self.database)))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn compare(&self, who: &Row) -> Result<(), ConnectError> {
        let pin = self.tenant.map_or_else(String::new, |tenant| tenant.as_uuid().to_string());
        let expectations =
            [("database", &self.database), ("role", &self.role), ("schema", &self.schema), ("pin", &pin)];
        for (column, expected) in expectations {
            let found: Option<&str> = who.try_get(column).map_err(ConnectError::Connect)?;
            let found = found.unwrap_or_default();
            if found != expected {
                return Err(ConnectError::Identity(format!("{column} is {found:?} where {expected:?} was expected")));
            }
        }
        Ok(())
    }
}
