//! Connections that make and change databases: provisioning, migrations, bootstrap.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, NoTls};

use crate::cancel::Canceller;
use crate::error::{Described, QueryError};
use crate::link::{SERVER_KEEPALIVES, connection_config};
use crate::tls::Tls;
use rowhouse_problem::{Error, Result};

/// Where a server listens and who logs in.
#[derive(Debug, Clone)]
pub struct ServerAddress {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The login.
    pub user: String,
    /// Its password.
    pub password: SecretString,
}

/// A connection for DDL. It belongs to one task, is never pooled, and closes when dropped.
pub struct AdminConnection {
    client: Client,
    tls: Tls,
}

/// Opening takes milliseconds; a server that takes longer than this is treated as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest single call, cloning a large template, takes seconds. Migrations set limits of their own.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Waiting for a lock blocks those who come after.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

impl AdminConnection {
    /// Connects to `database`.
    ///
    /// # Errors
    /// Unavailable, where the server refuses or does not answer within five seconds.
    pub async fn open(address: &ServerAddress, database: &str, tls: &Tls) -> Result<Self> {
        Self::open_with(address, database, tls, &[]).await
    }

    /// The same with parameters of the session, such as `role`, which would cost another round trip afterwards.
    ///
    /// # Errors
    /// The same.
    pub async fn open_with(
        address: &ServerAddress,
        database: &str,
        tls: &Tls,
        parameters: &[(&str, &str)],
    ) -> Result<Self> {
        let mut config =
            connection_config(&address.host, address.port, database, &address.user, "rowhouse_admin", CONNECT_TIMEOUT);
        config.password(address.password.expose_secret());
        let limits = [("statement_timeout", CALL_TIMEOUT), ("lock_timeout", LOCK_TIMEOUT)];
        let limits = limits.map(|(name, limit)| option(name, &limit.as_millis().to_string()));
        let further = parameters.iter().map(|(name, value)| option(name, value));
        let options = [SERVER_KEEPALIVES.to_owned()].into_iter().chain(limits).chain(further);
        config.options(options.collect::<Vec<_>>().join(" "));
        tls.apply(&mut config);
        let connect = async {
            match tls {
                Tls::Disabled => {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(log_end(connection));
                    Ok::<_, tokio_postgres::Error>(client)
                }
                Tls::Verified(connector) => {
                    let (client, connection) = config.connect(connector.clone()).await?;
                    tokio::spawn(log_end(connection));
                    Ok(client)
                }
            }
        };
        // The driver's own limit covers only TCP; a server may accept and stay silent.
        let client = tokio::time::timeout(CONNECT_TIMEOUT, connect)
            .await
            .map_err(Error::unavailable)?
            .context("connecting as an administrator")?;
        Ok(Self { client, tls: tls.clone() })
    }

    /// Runs statements that take no parameters. Identifiers and constants in them went through
    /// [`quote_ident`](crate::quote_ident) and [`quote_literal`](crate::quote_literal).
    ///
    /// # Errors
    /// What the server says.
    pub async fn run(&self, sql: &str) -> Result<(), QueryError> {
        within_deadline(self.client.batch_execute(sql)).await
    }

    /// Whether the server has ended the connection, as far as was heard.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// What ends its statements while the connection itself is in other hands.
    pub fn canceller(&self) -> Canceller {
        Canceller::new(self.client.cancel_token(), &self.tls)
    }

    /// The client, for a migration runner that needs the whole connection.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The rows of a query.
    ///
    /// # Errors
    /// What the server says.
    pub async fn query(
        &self,
        sql: &str,
        parameters: crate::sql::Parameters<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, QueryError> {
        within_deadline(self.client.query(sql, parameters)).await
    }
}

/// A parameter of the session as the server reads it at the start: white space and backslashes are escaped.
/// Source: PostgreSQL, "Message Formats", `StartupMessage`, `options`.
fn option(name: &str, value: &str) -> String {
    let escaped: String = value
        .chars()
        .flat_map(|character| {
            let needs_escape = character.is_whitespace() || character == '\\';
            needs_escape.then_some('\\').into_iter().chain([character])
        })
        .collect();
    format!("-c {name}={escaped}")
}

/// The server's own limit ends a statement that runs; this one also ends the wait for a server that has stopped.
async fn within_deadline<T>(call: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, QueryError> {
    match tokio::time::timeout(CALL_TIMEOUT + CONNECT_TIMEOUT, call).await {
        Ok(result) => result.map_err(QueryError::Database),
        Err(elapsed) => Err(QueryError::Recognised(Error::unavailable(elapsed))),
    }
}

async fn log_end(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an administrative connection ended");
    }
}
