//! Drops databases behind the tests' backs, one after the other, so that no test waits for it.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use rowhouse_database::{AdminConnection, quote_ident};

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

const DATABASES: &str = "
    select database_name, port from clusters join (
        select cluster_id, database_name from tenants where database_name is not null
        union select cluster_id, database_name from group_databases
        union select cluster_id, database_name from stock_databases) database on database.cluster_id = clusters.id";

async fn drop_one(admin: &AdminConnection, sql: &str) {
    // Nobody waits for it, and the cluster goes with the process.
    let _ = admin.run(sql).await;
}

async fn drop_all(leftover: Leftover) {
    let cluster = TestCluster::get();
    let admin = cluster.admin("postgres").await;
    let mut doomed = Vec::new();
    match leftover {
        Leftover::Database(database) => doomed.push((database, cluster.port())),
        Leftover::Platform(platform) => {
            let connection = cluster.admin(&platform).await;
            let databases = connection.query(DATABASES, &[]).await.unwrap_or_default();
            doomed.extend(databases.iter().filter_map(|row| {
                let port: i32 = row.try_get(1).ok()?;
                Some((row.try_get::<_, String>(0).ok()?, u16::try_from(port).ok()?))
            }));
            doomed.push((platform, cluster.port()));
        }
    }
    let second = match TestCluster::second_if_started() {
        Some(second) => Some((second.port(), second.admin("postgres").await)),
        None => None,
    };
    for (database, port) in doomed {
        let drop = format!("drop database if exists {} with (force)", quote_ident(&database));
        match &second {
            Some((second, admin)) if *second == port => drop_one(admin, &drop).await,
            // A private cluster's databases go with it.
            _ if port == cluster.port() => drop_one(&admin, &drop).await,
            _ => {}
        }
    }
}
