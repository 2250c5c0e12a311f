//! Proof that a fresh connection leads where it should.
//!
//! A truncated name, a restored database or a stale row could lead to another tenant's data; the
//! server is asked whose database this is before the connection's first use.

use deadpool_postgres::ClientWrapper;
use rowhouse_domain::TenantId;

use crate::error::ConnectError;

/// What a connection of one tenant must find.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) tenant: TenantId,
    pub(crate) database: String,
    pub(crate) role: String,
}

const WHO_AM_I: &str = "select current_database()::text as database, current_user::text as role,
       coalesce(current_setting('app.tenant_id', true), '') as pin,
       exists (select from tenant_identity where tenant_id = $1) as identified";

impl Identity {
    /// Asks the server, and refuses the connection where any answer differs.
    pub(crate) async fn verify(&self, client: &ClientWrapper) -> Result<(), ConnectError> {
        let row = client.query_one(WHO_AM_I, &[&self.tenant]).await.map_err(ConnectError::Connect)?;
        let read = |column: &str| row.try_get::<_, String>(column).map_err(ConnectError::Connect);
        let pin = self.tenant.as_uuid().to_string();
        for (column, expected) in [("database", &self.database), ("role", &self.role), ("pin", &pin)] {
            let found = read(column)?;
            if found != *expected {
                return Err(ConnectError::Identity(format!("{column} is {found:?} where {expected:?} was expected")));
            }
        }
        if row.try_get("identified").map_err(ConnectError::Connect)? {
            Ok(())
        } else {
            Err(ConnectError::Identity(format!("database {:?} does not know tenant {}", self.database, self.tenant)))
        }
    }
}
