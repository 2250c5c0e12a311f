//! TCP to a server, closed so that we know when the server has let go of the connection.
//!
//! A backend keeps its socket open until its process is gone, so that a client that waits for the end of the stream knows
//! that the backend no longer counts (PostgreSQL source, `pqcomm.c`, `socket_close`). The driver does not wait for it.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, NoTls};

use crate::tls::Tls;

/// After so long without an answer to what was sent, the other side counts as gone.
const SILENCE: Duration = Duration::from_secs(20);
/// Idle connections are asked for a sign of life.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// A lost packet that was to begin a connection is sent again after a second, then after two, four (RFC 6298), which is longer than
/// a server's return should go unnoticed.
const EAGER: Duration = Duration::from_millis(300);

/// A stream whose shutdown is done when the other side has closed it too.
pub(crate) struct Wire {
    stream: TcpStream,
    is_shut: bool,
    has_heard: Arc<AtomicBool>,
}

impl Wire {
    /// Connects, and bounds how long the other side may be silent.
    pub(crate) async fn open(host: &str, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_INTERVAL)?;
        sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(&stream, u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX))?;
        Ok(Self { stream, is_shut: false, has_heard: Arc::default() })
    }

    /// The same, where packets may be lost now and not a moment later: beside the first attempt there is always a young one.
    pub(crate) async fn open_eagerly(host: &str, port: u16) -> io::Result<Self> {
        let mut first = pin!(Self::open(host, port));
        if let Ok(outcome) = tokio::time::timeout(EAGER, &mut first).await {
            return outcome;
        }
        loop {
            tokio::select! {
                outcome = &mut first => return outcome,
                young = tokio::time::timeout(EAGER, Self::open(host, port)) => if let Ok(outcome) = young {
                    return outcome;
                },
            }
        }
    }

    /// Becomes true with the first byte that the other side says.
    pub(crate) fn has_heard(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_heard)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.has_heard.store(true, Ordering::Release);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.is_shut = true;
        }
        let mut unread = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut unread);
            // An error tells as much as the end of the stream: nothing more will come.
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Err(error) if is_silence(&error) => return Poll::Ready(Err(error)),
                // An error tells as much as the end of the stream: nothing more will come.
                Err(_) => return Poll::Ready(Ok(())),
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Ok(()) => {}
            }
        }
    }
}

/// A client, and the task that moves its bytes: done when the server has let go of the connection.
pub(crate) type Carried = (Client, JoinHandle<Ending>);

/// Logs in.
pub(crate) async fn log_in(
    wire: Wire,
    config: &tokio_postgres::Config,
    host: &str,
    tls: &Tls,
) -> Result<Carried, ConnectFailure> {
    match tls {
        Tls::Disabled => {
            let (client, connection) = config.connect_raw(wire, NoTls).await.map_err(ConnectFailure::Server)?;
            Ok((client, tokio::spawn(log_end(connection))))
        }
        Tls::Verified(connector) => {
            let connect = tls_to(connector, host).map_err(ConnectFailure::Network)?;
            let (client, connection) = config.connect_raw(wire, connect).await.map_err(ConnectFailure::Server)?;
            Ok((client, tokio::spawn(log_end(connection))))
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    /// Nobody listens, or nobody is there.
    #[error("reaching the server")]
    Network(#[source] io::Error),
    /// The server said no, or fell silent.
    #[error("logging in")]
    Server(#[source] tokio_postgres::Error),
}

impl ConnectFailure {
    /// Whether the network gave up: to the server there may be a session.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            Self::Network(error) => is_silence(error),
            Self::Server(error) => has_ended_in_silence(error),
        }
    }
}

/// Asks a server to end what a connection is running; returns when the server has taken note.
pub(crate) async fn cancel(token: CancelToken, host: &str, port: u16, tls: &Tls) -> Result<(), ConnectFailure> {
    let wire = Wire::open(host, port).await.map_err(ConnectFailure::Network)?;
    let sent = match tls {
        Tls::Disabled => token.cancel_query_raw(wire, NoTls).await,
        Tls::Verified(connector) => {
            token.cancel_query_raw(wire, tls_to(connector, host).map_err(ConnectFailure::Network)?).await
        }
    };
    sent.map_err(ConnectFailure::Server)
}

type Connector = tokio_postgres_rustls::MakeRustlsConnect;

fn tls_to(connector: &Connector, host: &str) -> io::Result<<Connector as MakeTlsConnect<Wire>>::TlsConnect> {
    MakeTlsConnect::<Wire>::make_tls_connect(&mut connector.clone(), host).map_err(io::Error::other)
}

/// What is known of a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The other side closed the connection.
    Seen,
    /// Nothing came any more: to the server the session may live.
    Silence,
}

async fn log_end(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) -> Ending {
    let Err(error) = connection.await else { return Ending::Seen };
    tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended");
    if has_ended_in_silence(&error) { Ending::Silence } else { Ending::Seen }
}

fn has_ended_in_silence(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(is_silence)
}

/// Whether the network gave up, not the other side.
fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
    matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown)
}
