//! Connections for whole clusters that are kept open between uses.
//!
//! Connecting costs several times what a statement does, and provisioning needs one after the other. What is kept is
//! never trusted: a connection comes back only from a user who says that all of its statements succeeded and that it
//! stands as it was found, outside of any transaction and under its own login.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rowhouse_database::AdminConnection;
use rowhouse_domain::ClusterId;
use rowhouse_problem::Result;

use super::link::ClusterLink;
use crate::context::Context;

/// The database of every cluster that connections which belong to no tenant are made to.
const MAINTENANCE_DATABASE: &str = "postgres";
/// Idle connections to one cluster.
const MOST: usize = 4;
/// One that idled for longer is closed instead of used.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The idle connections of this process.
#[derive(Default)]
pub(crate) struct KeptConnections(Arc<Mutex<HashMap<ClusterId, Vec<Idle>>>>);

struct Idle {
    since: Instant,
    /// Of the row that it was opened by: a change of address or password makes it a stranger.
    link: String,
    connection: AdminConnection,
}

/// A connection to a cluster's maintenance database; closed when dropped, kept when [given back](Self::give_back).
pub(crate) struct Kept {
    home: Arc<Mutex<HashMap<ClusterId, Vec<Idle>>>>,
    cluster: ClusterId,
    link: String,
    connection: AdminConnection,
}

impl KeptConnections {
    /// An idle connection, or a new one.
    pub(crate) async fn take(&self, context: &Context, link: &ClusterLink) -> Result<Kept> {
        let (home, cluster) = (Arc::clone(&self.0), link.id());
        let described = format!("{:?} {} {:?}", link.server, link.login, link.credential);
        let idle = {
            let mut all = home.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = all.entry(cluster).or_default();
            idle.retain(|idle| {
                idle.since.elapsed() < IDLE_LIMIT && idle.link == described && !idle.connection.is_closed()
            });
            idle.pop()
        };
        let connection = match idle {
            Some(idle) => idle.connection,
            None => link.open(context, MAINTENANCE_DATABASE).await?,
        };
        Ok(Kept { home, cluster, link: described, connection })
    }
}

impl Kept {
    /// Keeps the connection for the next user: all statements succeeded, and it is as it was.
    pub(crate) fn give_back(self) {
        let mut all = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = all.entry(self.cluster).or_default();
        if idle.len() < MOST {
            idle.push(Idle { since: Instant::now(), link: self.link, connection: self.connection });
        }
    }
}

impl Deref for Kept {
    type Target = AdminConnection;

    fn deref(&self) -> &AdminConnection {
        &self.connection
    }
}
