//! One runner a schema. refinery takes no lock: two runners would both do the work, and one would lose all of it.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use crate::{Error, Set};

const TRY_LOCK: &str =
    "select pg_try_advisory_lock(hashtextextended('rowhouse.migrations.' || $1 || '.' || current_schema(), 0))";
const UNLOCK: &str =
    "select pg_advisory_unlock(hashtextextended('rowhouse.migrations.' || $1 || '.' || current_schema(), 0))";

/// Takes the lock of the set in the current schema, trying until `deadline` has passed.
///
/// It belongs to the session, so a runner that dies gives it back. Never the form that blocks: waiting inside a
/// statement holds a snapshot, which `create index concurrently` waits for in turn.
pub(crate) async fn take(client: &Client, set: Set, deadline: Duration, pause: Duration) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let row = client
            .query_one(TRY_LOCK, &[&set.as_str()])
            .await
            .map_err(Error::database("taking the lock for migrations"))?;
        // No value: the search path names no schema that exists, so there is none to migrate.
        let taken: Option<bool> = row.try_get(0).map_err(Error::database("taking the lock for migrations"))?;
        match taken {
            Some(true) => return Ok(()),
            Some(false) if started.elapsed() + pause < deadline => tokio::time::sleep(pause).await,
            Some(false) => return Err(Error::Locked { waited: started.elapsed() }),
            None => return Err(Error::Divergent { detail: "the search path names no schema that exists".to_owned() }),
        }
    }
}

/// Gives the lock back. A connection that fails here is lost, and the lock with it.
pub(crate) async fn release(client: &Client, set: Set) {
    if let Err(error) = client.query_one(UNLOCK, &[&set.as_str()]).await {
        tracing::warn!(error = %error, migrations.set = set.as_str(), "the lock for migrations was not given back");
    }
}
