//! A connection of its own that hears what is said on a channel (`LISTEN`, PostgreSQL manual).
//!
//! It is never pooled and must lead to the server itself, or through a pooler in session mode: what is said on a channel is
//! said to a session.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::poll_fn;
use rowhouse_problem::{Error, Result};
use rowhouse_settings as settings;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Row};

use crate::error::{Described, QueryError};
use crate::identifier::quote_ident;
use crate::link::platform_config;
use crate::sql::{Parameters, Sql};
use crate::tls::Tls;

/// How such connections are named in `pg_stat_activity`.
const APPLICATION: &str = "rowhouse_listener";
/// A server that takes longer for one of the small questions asked here has stopped.
const PATIENCE: Duration = Duration::from_secs(4);

/// A session that listens. Dropping it ends it.
pub struct Listener {
    client: Client,
    heard: UnboundedReceiver<String>,
    driver: JoinHandle<()>,
}

impl Listener {
    /// Connects to `saas_platform` and listens; `default_user` is the service's own login.
    ///
    /// # Errors
    /// Unavailable, where the server refuses or does not answer.
    pub async fn open(platform: &settings::Platform, default_user: &str, channel: &str) -> Result<Self> {
        let tls = Tls::from_settings(platform).map_err(Error::internal)?;
        let user = if platform.user.is_empty() { default_user } else { &platform.user };
        let mut config = platform_config(platform, user, APPLICATION);
        config.password(platform.password.expose_secret());
        config.options(format!("-c statement_timeout={}", PATIENCE.as_millis()));
        tls.apply(&mut config);
        // Not bounded: the driver must never wait for the reader, who may wait for an answer that the driver brings. What
        // is said here is small, and taken at once.
        let (say, heard) = unbounded_channel();
        let connect = async {
            match tls {
                Tls::Disabled => {
                    let (client, connection) = config.connect(NoTls).await?;
                    Ok::<_, tokio_postgres::Error>((client, tokio::spawn(drive(connection, say))))
                }
                Tls::Verified(connector) => {
                    let (client, connection) = config.connect(connector).await?;
                    Ok((client, tokio::spawn(drive(connection, say))))
                }
            }
        };
        // The driver's own limit covers only TCP; a server may accept and stay silent.
        let connected = tokio::time::timeout(platform.connect_timeout, connect).await.map_err(Error::unavailable)?;
        let (client, driver) = connected.context("connecting to listen")?;
        let this = Self { client, heard, driver };
        let listen = format!("listen {}", quote_ident(channel));
        within_patience(this.client.batch_execute(&listen)).await.context("listening")?;
        Ok(this)
    }

    /// What is said next; nothing any more where the connection has ended.
    pub async fn next(&mut self) -> Option<String> {
        self.heard.recv().await
    }

    /// What was said already and not taken yet.
    pub fn waiting(&mut self) -> Option<String> {
        self.heard.try_recv().ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Sql for Listener {
    async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        within_patience(self.client.query(sql, parameters)).await
    }

    async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        within_patience(self.client.execute(sql, parameters)).await
    }
}

async fn within_patience<T>(call: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, QueryError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(result) => result.map_err(QueryError::Database),
        Err(elapsed) => Err(QueryError::Recognised(Error::unavailable(elapsed))),
    }
}

/// Moves bytes until the connection ends, and passes on what is said.
async fn drive<S, T>(mut connection: Connection<S, T>, say: UnboundedSender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut messages = poll_fn(|context| connection.poll_message(context));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notification(notice)) => {
                // Nobody is there to hear it while the listener is dropped.
                let _ = say.send(notice.payload().to_owned());
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a listening connection ended");
                return;
            }
        }
    }
}
