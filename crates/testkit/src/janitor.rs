//! Drops databases behind the tests' backs, one after the other, so that no test waits for it.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use rowhouse_database::quote_ident;

use crate::cluster::{TestCluster, block_on};

/// What a test leaves behind.
pub(crate) enum Leftover {
    /// A platform database and the tenant databases that it knows of.
    Platform(String),
    /// One database.
    Database(String),
}

/// Hands a leftover to the janitor.
pub(crate) fn dispose(leftover: Leftover) {
    static QUEUE: OnceLock<Sender<Leftover>> = OnceLock::new();
    let queue = QUEUE.get_or_init(|| {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for leftover in receiver {
                block_on(drop_all(leftover));
            }
        });
        sender
    });
    // The janitor is gone only when the process is ending, and then the whole cluster goes.
    let _ = queue.send(leftover);
}

async fn drop_all(leftover: Leftover) {
    let cluster = TestCluster::get();
    let admin = cluster.admin("postgres").await;
    let mut doomed = Vec::new();
    match leftover {
        Leftover::Database(database) => doomed.push(database),
        Leftover::Platform(platform) => {
            let connection = cluster.admin(&platform).await;
            let tenants = connection
                .query("select database_name from tenants where database_name is not null", &[])
                .await
                .unwrap_or_default();
            doomed.extend(tenants.iter().filter_map(|row| row.try_get::<_, String>(0).ok()));
            doomed.push(platform);
        }
    }
    for database in doomed {
        let _ = admin.run(&format!("drop database if exists {} with (force)", quote_ident(&database))).await;
    }
}
