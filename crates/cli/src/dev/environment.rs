//! Signals.

use tokio::signal::unix::{SignalKind, signal};

/// Completes when the user or the system asks this process to end.
pub(crate) async fn interrupted() {
    let mut terminate = signal(SignalKind::terminate()).expect("a handler for SIGTERM can be set");
    let mut hangup = signal(SignalKind::hangup()).expect("a handler for SIGHUP can be set");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
