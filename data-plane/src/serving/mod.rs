//! Tells `saas_platform` that this replica is up, and which versions of tenants' schemas its build serves: whoever migrates them
//! to another one is warned.

mod store;

use std::time::Duration;

use rowhouse_database::{PlatformPool, Replica};
use rowhouse_problem::Result;

/// How long it is believed. A replica that is up and can't reach `saas_platform` for that long is not known of.
const TTL: Duration = Duration::from_secs(30);
/// How often it is said.
const PERIOD: Duration = Duration::from_secs(5);

/// Says so for as long as the process lives. The row goes with the replica's leases when it ends.
pub(crate) async fn tell(platform: PlatformPool, replica: Replica, port: u16) {
    let host = format!("{}:{port}", rustix::system::uname().nodename().to_string_lossy());
    loop {
        if let Err(error) = say(&platform, &replica, &host).await {
            tracing::debug!(error = error.chain(), "saas_platform could not be told which versions are served here");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn say(platform: &PlatformPool, replica: &Replica, host: &str) -> Result<()> {
    store::serves(&platform.get().await?, replica, host, TTL).await
}
