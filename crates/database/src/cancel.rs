//! Ends what a connection is running, from outside.

use std::fmt::Display;
use std::time::Duration;

use tokio_postgres::CancelToken;

use crate::tls::Tls;

/// How long a server may take to hear of it; it may be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ends what one connection is running, while the connection itself is in other hands.
pub struct Canceller {
    token: CancelToken,
    tls: Tls,
}

impl Canceller {
    pub(crate) fn new(token: CancelToken, tls: &Tls) -> Self {
        Self { token, tls: tls.clone() }
    }

    /// Asks the server to; it may come too late, or not at all.
    pub async fn cancel(&self) {
        in_time(self.tls.cancel(self.token.clone())).await;
    }
}

/// Waits for a request to cancel, not for long.
pub(crate) async fn in_time<E: Display>(request: impl Future<Output = Result<(), E>>) {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a statement could not be cancelled"),
        Err(_) => tracing::debug!("the server did not take the request to cancel a statement"),
    }
}
