//! One connection to `saas_platform`, and how its pool makes, checks and replaces it.

use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::{ClientWrapper, ManagerConfig, RecyclingMethod};
use rowhouse_settings as settings;
use tokio_postgres::NoTls;

use crate::cancel::Canceller;
use crate::error::ConnectError;
use crate::tls::Tls;

/// Settings of a session, said at its start, by which the server finds out that we are gone, also in the middle of a statement, when
/// nobody reads from the connection: what it holds, a migration's locks or a place among the connections, is free within half a
/// minute. Our own keepalives tell only us, and by itself a server's system waits for hours (PostgreSQL manual, 20.3.2).
pub(crate) const SERVER_KEEPALIVES: &str = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 \
                                            -c tcp_keepalives_count=3 -c tcp_user_timeout=20000 \
                                            -c client_connection_check_interval=5000";

/// A connection with what it holds on to for as long as it lives.
pub(crate) struct Link {
    pub(crate) client: ClientWrapper,
    tls: Tls,
    expires: Instant,
}

impl Link {
    /// Asks the server to end what the connection is running; it may come too late.
    pub(crate) async fn cancel(self) {
        Canceller::new(self.client.cancel_token(), &self.tls).cancel().await;
    }
}

/// Makes connections of one login to one database.
pub(crate) struct LinkManager {
    inner: deadpool_postgres::Manager,
    tls: Tls,
    max_lifetime: Duration,
}

impl LinkManager {
    pub(crate) fn new(mut config: tokio_postgres::Config, tls: &Tls, max_lifetime: Duration) -> Self {
        tls.apply(&mut config);
        // `Fast` adds no round trip; `Session` never returns a connection that did not end cleanly.
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let inner = match tls {
            Tls::Disabled => deadpool_postgres::Manager::from_config(config, NoTls, manager),
            Tls::Verified(connector) => deadpool_postgres::Manager::from_config(config, connector.clone(), manager),
        };
        Self { inner, tls: tls.clone(), max_lifetime }
    }
}

impl Manager for LinkManager {
    type Type = Link;
    type Error = ConnectError;

    async fn create(&self) -> Result<Link, ConnectError> {
        let client = self.inner.create().await.map_err(ConnectError::Connect)?;
        Ok(Link { client, tls: self.tls.clone(), expires: Instant::now() + jittered(self.max_lifetime) })
    }

    async fn recycle(&self, link: &mut Link, metrics: &Metrics) -> RecycleResult<ConnectError> {
        if link.expires <= Instant::now() {
            return Err(RecycleError::message("the connection has reached its age limit"));
        }
        self.inner.recycle(&mut link.client, metrics).await.map_err(|error| match error {
            RecycleError::Backend(error) => RecycleError::Backend(ConnectError::Connect(error)),
            RecycleError::Message(message) => RecycleError::Message(message),
        })
    }

    fn detach(&self, link: &mut Link) {
        self.inner.detach(&mut link.client);
    }
}

/// Up to a fifth less, so that connections made together are not all replaced together.
pub(crate) fn jittered(lifetime: Duration) -> Duration {
    let mut random = [0u8; 1];
    // Without random bytes the jitter is nil, which is no harm.
    let _ = getrandom::fill(&mut random);
    lifetime.mul_f64(1.0 - f64::from(random[0]) / 1280.0)
}

/// What every connection has in common: a name, time limits, and a TCP that notices a silent server.
pub(crate) fn connection_config(
    host: &str,
    port: u16,
    database: &str,
    user: &str,
    application: &str,
    connect_timeout: Duration,
) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host(host)
        .port(port)
        .dbname(database)
        .user(user)
        .application_name(application)
        .connect_timeout(connect_timeout)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(20));
    config
}

/// The timeouts of a pool: waiting for a turn, connecting (which `connect_timeout` covers only as far as TCP), checking.
pub(crate) fn pool_timeouts(checkout: Duration, connect: Duration) -> deadpool::managed::Timeouts {
    deadpool::managed::Timeouts { wait: Some(checkout), create: Some(connect), recycle: Some(connect) }
}

/// The settings' address of `saas_platform` as a connection's.
pub(crate) fn platform_config(platform: &settings::Platform, user: &str, application: &str) -> tokio_postgres::Config {
    connection_config(&platform.host, platform.port, &platform.database, user, application, platform.connect_timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_were_made_together_are_not_replaced_together() {
        let lifetime = Duration::from_secs(1800);
        let all: Vec<Duration> = (0..200).map(|_| jittered(lifetime)).collect();
        let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!(*least >= lifetime.mul_f64(0.8) && *most <= lifetime, "{least:?} to {most:?}");
        assert!(*most - *least > lifetime / 10, "{least:?} to {most:?}");
    }
}
