//! Databases of a test's own, cloned from the templates, for tests below HTTP.

use std::sync::{Arc, OnceLock};

use rowhouse_database::{
    ActivePlacement, AdminConnection, Credential, Placement, Server, ServerAddress, ServerTls, Tls, quote_ident,
    quote_literal,
};
use rowhouse_domain::{ClusterId, Isolation, TenantId};
use rowhouse_keys::{MasterKey, scram_verifier};
use rowhouse_migrations::Set;
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::cluster::{PLATFORM_TEMPLATE, TENANT_TEMPLATE, TestCluster};
use crate::janitor::{Leftover, dispose};

/// The master key of this test process.
pub fn master_key() -> Arc<MasterKey> {
    static KEY: OnceLock<Arc<MasterKey>> = OnceLock::new();
    Arc::clone(KEY.get_or_init(|| Arc::new(MasterKey::generate())))
}

/// A database of a test's own, dropped with this value.
pub struct OwnDatabase {
    /// Its name.
    pub name: String,
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        dispose(Leftover::Database(self.name.clone()));
    }
}

/// Makes a migrated `saas_platform` under a name of its own, with nothing around it.
pub async fn platform_database() -> OwnDatabase {
    OwnDatabase { name: clone_platform().await }
}

/// Makes a migrated `saas_platform` that the caller disposes of, and gives its name.
pub(crate) async fn clone_platform() -> String {
    let name = format!("saas_platform_{}", Uuid::now_v7().simple());
    clone(PLATFORM_TEMPLATE, &name, &["rowhouse_control", "rowhouse_data"]).await;
    name
}

pub(crate) async fn clone(template: &str, name: &str, logins: &[&str]) {
    let admin = TestCluster::get().admin("postgres").await;
    let quoted = quote_ident(name);
    let mut statements = vec![
        format!("create database {quoted} owner rowhouse_owner template {} strategy wal_log", quote_ident(template)),
        format!("revoke all on database {quoted} from public"),
    ];
    statements
        .extend(logins.iter().map(|login| format!("grant connect on database {quoted} to {}", quote_ident(login))));
    for sql in statements {
        admin.run(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

/// A tenant database without a platform around it, with the tenant's own login.
pub struct TenantDatabase {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name, which is also its login's.
    pub name: String,
}

impl TenantDatabase {
    /// The tenant's login.
    pub fn address(&self) -> ServerAddress {
        let password = master_key().tenant_database_password(self.tenant, 1);
        TestCluster::get().address(&self.name, password.expose_secret())
    }

    /// Where it is, as the data plane would have read it.
    pub fn placement(&self) -> Placement {
        let address = self.address();
        Placement {
            tenant: self.tenant,
            generation: 1,
            isolation: Isolation::Dedicated,
            server: Server {
                // All databases of a test process lie on one cluster.
                cluster: ClusterId::from_uuid(Uuid::nil()),
                host: address.host,
                port: address.port,
                tls: ServerTls::Disabled,
            },
            database: self.name.clone(),
            schema: "public".to_owned(),
            role: self.name.clone(),
            credential: Credential::Tenant { version: 1 },
        }
    }

    /// The same, vouched for.
    pub fn active(&self) -> ActivePlacement {
        ActivePlacement::vouch(self.placement())
    }

    /// A connection as the tenant's login.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub async fn connect(&self) -> AdminConnection {
        AdminConnection::open(&self.address(), &self.name, &Tls::Disabled)
            .await
            .unwrap_or_else(|error| panic!("connecting as the tenant: {}", error.chain()))
    }
}

impl Drop for TenantDatabase {
    fn drop(&mut self) {
        dispose(Leftover::Database(self.name.clone()));
    }
}

/// Makes a tenant database as provisioning does: cloned, closed to the public, pinned, identified.
pub async fn tenant_database() -> TenantDatabase {
    let tenant = TenantId::new();
    let uuid = tenant.as_uuid();
    let name = format!("tenant_test_{}", uuid.simple());
    clone(TENANT_TEMPLATE, &name, &["rowhouse_control"]).await;
    let admin = TestCluster::get().admin(&name).await;
    let verifier = scram_verifier(&master_key().tenant_database_password(tenant, 1));
    let (role, pin, verifier) = (quote_ident(&name), quote_literal(&uuid.to_string()), quote_literal(&verifier));
    for sql in [
        format!("create role {role} login password {verifier} in role tenant_app"),
        format!("grant connect on database {role} to {role}"),
        format!("alter role {role} in database {role} set app.tenant_id = {pin}"),
        format!("alter role {role} in database {role} set search_path = public, extensions, pg_temp"),
        format!("grant usage on schema public to {role}"),
        format!("insert into tenant_identity (tenant_id, isolation) values ({pin}, 'dedicated')"),
    ] {
        admin.run(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    TenantDatabase { tenant, name }
}

/// Applies a set of migrations as the services do: logged in as `rowhouse_control`, acting as the owner.
pub(crate) async fn migrate(control: &ServerAddress, database: &str, schema: &str, set: Set) {
    let mut connection = AdminConnection::open(control, database, &Tls::Disabled)
        .await
        .unwrap_or_else(|error| panic!("connecting to {database}: {}", error.chain()));
    let path = format!("set role rowhouse_owner; set search_path = {}, extensions, pg_temp", quote_ident(schema));
    connection.run(&path).await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
    rowhouse_migrations::run(
        connection.client(),
        set.migrations(),
        &rowhouse_migrations::Options::default(),
        &rowhouse_migrations::unobserved,
    )
    .await
    .unwrap_or_else(|error| panic!("migrating {database}: {error:?}"));
}
