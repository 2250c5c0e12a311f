//! How the control plane gets into a cluster.

use rowhouse_database::{AdminConnection, Columns, Described, Server, ServerAddress, Sql, Tls, quote_ident};
use rowhouse_domain::ClusterId;
use rowhouse_problem::{Error, Result};
use secrecy::SecretString;
use tokio_postgres::Row;

use crate::context::Context;

/// The role that owns what tenants have. Nobody logs in as it.
pub(crate) const OWNER: &str = "rowhouse_owner";

/// A cluster as connections to it need it.
#[derive(Debug, Clone)]
pub(crate) struct ClusterLink {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) login: String,
    pub(crate) credential: Credential,
}

/// Where the password of the control plane's login is.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// It is the one that `saas_platform` is reached with.
    Platform,
    /// In the settings, under this name.
    Settings(String),
    /// In the cluster's row, sealed under the master key.
    Sealed(Vec<u8>),
}

const FIND: &str = "
    select id as cluster_id, name, host, port, tls_mode::text as tls_mode, tls_ca, login, credential_ref, sealed_password
    from clusters where id = $1";

/// How to get into the cluster with an id.
pub(crate) async fn find_link(db: &impl Sql, id: ClusterId) -> Result<ClusterLink> {
    let row = db.query_opt(FIND, &[&id]).await.context("reading how to reach a cluster")?;
    from_row(&row.ok_or_else(|| Error::internal("the cluster is not registered"))?)
}

const ALL: &str = "
    select id as cluster_id, name, host, port, tls_mode::text as tls_mode, tls_ca, login, credential_ref, sealed_password
    from clusters where status <> 'retired' order by id";

/// How to get into every cluster that is in use.
pub(crate) async fn all_links(db: &impl Sql) -> Result<Vec<ClusterLink>> {
    let rows = db.query(ALL, &[]).await.context("reading how to reach the clusters")?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<ClusterLink> {
    let (reference, sealed): (Option<String>, Option<Vec<u8>>) =
        (row.column("credential_ref")?, row.column("sealed_password")?);
    Ok(ClusterLink {
        name: row.column("name")?,
        server: Server::from_row(row)?,
        login: row.column("login")?,
        credential: match (sealed, reference) {
            (Some(sealed), _) => Credential::Sealed(sealed),
            (None, Some(reference)) => Credential::Settings(reference),
            (None, None) => Credential::Platform,
        },
    })
}

impl ClusterLink {
    /// The cluster's id.
    pub(crate) fn id(&self) -> ClusterId {
        self.server.cluster
    }

    /// A connection for DDL to one of its databases.
    pub(crate) async fn open(&self, context: &Context, database: &str) -> Result<AdminConnection> {
        let password = self.password(context)?;
        AdminConnection::open(&self.address(&self.login, password), database, &self.tls(context)?).await
    }

    /// The same as the owner of all that tenants have, with a schema first in its path.
    pub(crate) async fn open_in(&self, context: &Context, database: &str, schema: &str) -> Result<AdminConnection> {
        let path = format!("{}, extensions, pg_temp", quote_ident(schema));
        let parameters = [("role", OWNER), ("search_path", &path)];
        let (address, tls) = (self.address(&self.login, self.password(context)?), self.tls(context)?);
        AdminConnection::open_with(&address, database, &tls, &parameters).await
    }

    /// A connection as a tenant's own login, to see what it sees.
    pub(crate) async fn log_in_as(
        &self,
        context: &Context,
        database: &str,
        role: &str,
        password: SecretString,
    ) -> Result<AdminConnection> {
        AdminConnection::open(&self.address(role, password), database, &self.tls(context)?).await
    }

    fn address(&self, user: &str, password: SecretString) -> ServerAddress {
        ServerAddress { host: self.server.host.clone(), port: self.server.port, user: user.to_owned(), password }
    }

    fn tls(&self, context: &Context) -> Result<Tls> {
        Tls::of_server(&self.server.tls, &context.tls).map_err(Error::unavailable)
    }

    fn password(&self, context: &Context) -> Result<SecretString> {
        match &self.credential {
            Credential::Platform => Ok(context.settings.platform.password.clone()),
            Credential::Settings(name) => context
                .settings
                .cluster_credentials
                .get(name)
                .map(|credentials| credentials.password.clone())
                .ok_or_else(|| Error::unavailable(format!("the settings have no cluster_credentials.{name}"))),
            Credential::Sealed(sealed) => {
                context.master.open(SEAL, self.id().as_uuid().as_bytes(), sealed).map_err(Error::unavailable)
            }
        }
    }
}

/// What a cluster's password is sealed for.
pub(super) const SEAL: &str = "cluster-password";
