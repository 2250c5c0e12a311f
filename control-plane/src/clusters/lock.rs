//! What one process at a time does on a cluster.

use std::time::{Duration, Instant};

use rowhouse_database::{AdminConnection, Columns, Described};
use rowhouse_problem::{Error, Result};

/// How long to wait for another process.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Something that is made under its lock. On an error the connection is closed, and the lock goes with it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lock {
    /// Templates, and what their fingerprints are read from.
    Templates,
    /// Databases for several tenants.
    Groups,
}

impl Lock {
    fn name(self) -> &'static str {
        match self {
            Self::Templates => "rowhouse.template",
            Self::Groups => "rowhouse.group",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Templates => "the template",
            Self::Groups => "a group database",
        }
    }
}

// A holder that stands still is held to be gone by the server: it ends a session that says nothing for half a minute.
const TRY: &str = "
    select pg_try_advisory_lock(hashtextextended($1, 0)) as taken, set_config('idle_session_timeout', '30s', false)";
const GIVE_BACK: &str = "
    select pg_advisory_unlock(hashtextextended($1, 0)), set_config('idle_session_timeout', '0', false)";

/// Takes the lock, whenever its holder gives it back.
pub(crate) async fn wait_for(admin: &AdminConnection, lock: Lock) -> Result<()> {
    let begun = Instant::now();
    loop {
        let rows = admin.query(TRY, &[&lock.name()]).await.context("taking a lock on a cluster")?;
        if rows.first().map_or(Ok(false), |row| row.column("taken"))? {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let what = lock.what();
            return Err(Error::unavailable(format!("another process has been making {what} for a minute")));
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

/// Gives it back.
pub(crate) async fn give_back(admin: &AdminConnection, lock: Lock) -> Result<()> {
    admin.query(GIVE_BACK, &[&lock.name()]).await.context("giving a lock on a cluster back").map(drop)
}
