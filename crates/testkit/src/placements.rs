//! Databases that several tenants live in, made as provisioning makes them, for tests below HTTP.

use rowhouse_database::{
    ActivePlacement, AdminConnection, Credential, Placement, Server, ServerTls, Tls, quote_ident, quote_literal,
};
use rowhouse_domain::{ClusterId, GroupId, Isolation, TenantId};
use rowhouse_keys::scram_verifier;
use rowhouse_migrations::Set;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::cluster::{TENANT_TEMPLATE, TestCluster};
use crate::databases::{clone, master_key, migrate};
use crate::janitor::{Leftover, dispose};

/// A database whose tenants share its tables and its login; dropped with this value.
pub struct SharedDatabase {
    group: GroupId,
    /// Its name, which is also its login's.
    pub name: String,
}

impl SharedDatabase {
    /// Lets a tenant in.
    pub async fn admit(&self) -> TenantId {
        let tenant = TenantId::new();
        let admin = TestCluster::get().admin(&self.name).await;
        run_all(&admin, &[identify(tenant, Isolation::Shared)]).await;
        tenant
    }

    /// Where a tenant of it is, at a generation of its placement.
    pub fn placement(&self, tenant: TenantId, generation: i64) -> ActivePlacement {
        ActivePlacement::vouch(Placement {
            tenant,
            generation,
            isolation: Isolation::Shared,
            server: server(),
            database: self.name.clone(),
            schema: "public".to_owned(),
            role: self.name.clone(),
            credential: Credential::Group { group: self.group, version: 1 },
        })
    }

    /// A connection as the login that the tenants share, pinned to none.
    pub async fn connect(&self) -> AdminConnection {
        log_in(&self.name, &self.name, &master_key().group_database_password(self.group, 1)).await
    }
}

impl Drop for SharedDatabase {
    fn drop(&mut self) {
        dispose(Leftover::Database(self.name.clone()));
    }
}

/// Makes a database for tenants that share everything, with none yet.
pub async fn shared_database() -> SharedDatabase {
    let group = GroupId::new();
    let name = format!("tenant_shared_{}", group.as_uuid().simple());
    clone(TENANT_TEMPLATE, &name, &["rowhouse_control"]).await;
    let admin = TestCluster::get().admin(&name).await;
    let login = create_login(&name, &master_key().group_database_password(group, 1));
    let role = quote_ident(&name);
    let path = format!("alter role {role} in database {role} set search_path = public, extensions, pg_temp");
    run_all(&admin, &[login, allow(&name, "public", &name), path]).await;
    SharedDatabase { group, name }
}

/// A database whose tenants have a schema each; dropped with this value.
pub struct GroupDatabase {
    /// Its name.
    pub name: String,
}

impl GroupDatabase {
    /// Makes a schema for a new tenant, with a login of its own.
    pub async fn admit(&self) -> SchemaTenant {
        let tenant = TenantId::new();
        let name = format!("tenant_test_{}", tenant.as_uuid().simple());
        let admin = TestCluster::get().admin(&self.name).await;
        let (database, role) = (quote_ident(&self.name), quote_ident(&name));
        let pin = quote_literal(&tenant.as_uuid().to_string());
        run_all(&admin, &[format!("create schema {role} authorization rowhouse_owner")]).await;
        migrate(&TestCluster::get().control(), &self.name, &name, Set::Tenant).await;
        let statements = [
            create_login(&name, &master_key().tenant_database_password(tenant, 1)),
            allow(&self.name, &name, &name),
            format!("alter role {role} in database {database} set app.tenant_id = {pin}"),
            format!("alter role {role} in database {database} set search_path = {role}, extensions, pg_temp"),
            format!("set search_path = {role}; {}", identify(tenant, Isolation::Schema)),
        ];
        run_all(&admin, &statements).await;
        SchemaTenant { tenant, database: self.name.clone(), name }
    }
}

impl Drop for GroupDatabase {
    fn drop(&mut self) {
        dispose(Leftover::Database(self.name.clone()));
    }
}

/// Makes a database for tenants with a schema each, with none yet.
pub async fn group_database() -> GroupDatabase {
    let name = format!("tenant_group_{}", Uuid::now_v7().simple());
    clone("rowhouse_base", &name, &["rowhouse_control"]).await;
    let admin = TestCluster::get().admin(&name).await;
    run_all(&admin, &["revoke all on schema public from public".to_owned()]).await;
    GroupDatabase { name }
}

/// A tenant with a schema among others'.
pub struct SchemaTenant {
    /// Whose it is.
    pub tenant: TenantId,
    /// The database that it is in.
    pub database: String,
    /// The schema's name, which is also its login's.
    pub name: String,
}

impl SchemaTenant {
    /// Where it is, as the data plane would have read it.
    pub fn placement(&self) -> ActivePlacement {
        ActivePlacement::vouch(Placement {
            tenant: self.tenant,
            generation: 1,
            isolation: Isolation::Schema,
            server: server(),
            database: self.database.clone(),
            schema: self.name.clone(),
            role: self.name.clone(),
            credential: Credential::Tenant { version: 1 },
        })
    }

    /// A connection as the tenant's login.
    pub async fn connect(&self) -> AdminConnection {
        log_in(&self.database, &self.name, &master_key().tenant_database_password(self.tenant, 1)).await
    }
}

fn server() -> Server {
    let address = TestCluster::get().data();
    let cluster = ClusterId::from_uuid(Uuid::nil());
    Server { cluster, host: address.host, port: address.port, tls: ServerTls::Disabled }
}

async fn log_in(database: &str, role: &str, password: &SecretString) -> AdminConnection {
    AdminConnection::open(&TestCluster::get().address(role, password.expose_secret()), database, &Tls::Disabled)
        .await
        .unwrap_or_else(|error| panic!("connecting as {role}: {}", error.chain()))
}

fn create_login(role: &str, password: &SecretString) -> String {
    let verifier = quote_literal(&scram_verifier(password));
    format!("create role {} login password {verifier} in role tenant_app", quote_ident(role))
}

fn allow(database: &str, schema: &str, role: &str) -> String {
    let (database, schema, role) = (quote_ident(database), quote_ident(schema), quote_ident(role));
    format!(
        "grant connect on database {database} to {role};
         grant usage on schema {schema} to {role};
         grant usage on schema extensions to {role}"
    )
}

fn identify(tenant: TenantId, isolation: Isolation) -> String {
    let tenant = quote_literal(&tenant.as_uuid().to_string());
    let isolation = quote_literal(isolation.as_str());
    format!("insert into tenant_identity (tenant_id, isolation) values ({tenant}, {isolation})")
}

async fn run_all(admin: &AdminConnection, statements: &[String]) {
    for sql in statements {
        admin.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}
