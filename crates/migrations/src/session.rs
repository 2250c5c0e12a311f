//! What a run takes of its connection before the first migration, and gives back after the last, in one round trip each.
//!
//! One runner a schema. refinery takes no lock: two runners would both do the work, and one would lose all of it.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::history::{self, Applied};
use crate::{Error, Options, Set};

/// Never the form that blocks: waiting inside a statement holds a snapshot, which `create index concurrently` waits for.
/// Where the search path's schema is gone, the current one is that of temporary tables, which would take all of it.
const TAKE: &str = "
    select case when not starts_with(current_schema()::text, 'pg_') then
            pg_try_advisory_lock(hashtextextended('rowhouse.migrations.' || $1 || '.' || current_schema(), 0))
        end,
        set_config('lock_timeout', $2, false), set_config('statement_timeout', $3, false)";
/// The session that holds it. What it calls itself and since when it is there is shown only to whoever may see it.
const HOLDER: &str = "
    with wanted as (select hashtextextended('rowhouse.migrations.' || $1 || '.' || current_schema(), 0) as key)
    select 'pid ' || activity.pid || coalesce(
        format(' (%s, since %s)', nullif(activity.application_name, ''), to_char(activity.backend_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')), '')
    from wanted
    join pg_catalog.pg_locks held on held.locktype = 'advisory' and held.objsubid = 1 and held.granted
        and (held.classid::bigint << 32) | held.objid::bigint = wanted.key
        and held.database = (select oid from pg_catalog.pg_database where datname = current_database())
    join pg_catalog.pg_stat_activity activity on activity.pid = held.pid";
const UNLOCK: &str =
    "select pg_advisory_unlock(hashtextextended('rowhouse.migrations.' || $1 || '.' || current_schema(), 0))";
const RESET: &str = "reset lock_timeout; reset statement_timeout";

/// Takes the lock of the set in the current schema, sets the time limits and reads the history.
///
/// The lock belongs to the connection, so a runner that dies gives it back. None for a history that does not exist yet.
pub(crate) async fn begin(client: &Client, set: Set, options: &Options) -> Result<Option<Vec<Applied>>, Error> {
    const DOING: &str = "taking the lock for migrations";
    let started = Instant::now();
    let (lock_timeout, statement_timeout) =
        (in_milliseconds(options.lock_timeout), in_milliseconds(options.statement_timeout.unwrap_or_default()));
    loop {
        let take = async {
            let name = set.as_str();
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
                [(&name, Type::TEXT), (&lock_timeout, Type::TEXT), (&statement_timeout, Type::TEXT)];
            client.query_typed(TAKE, &parameters).await.map_err(Error::database(DOING))
        };
        // Sent together. The server reads the history after it has decided on the lock.
        let (taken, history) = futures::future::join(take, history::read(client)).await;
        let taken: Option<bool> = match taken?.first() {
            Some(row) => row.try_get(0).map_err(Error::database(DOING))?,
            None => None,
        };
        match taken {
            Some(true) => match history {
                Ok(history) => return Ok(history),
                Err(error) => {
                    end(client, set).await;
                    return Err(error);
                }
            },
            Some(false) if started.elapsed() + options.lock_pause < options.lock_deadline => {
                tokio::time::sleep(options.lock_pause).await;
            }
            Some(false) => {
                let holder = holder(client, set).await;
                reset(client).await;
                return Err(Error::Locked { waited: started.elapsed(), holder });
            }
            // No value: the search path names no schema that exists.
            None => return Err(Error::NoSchema),
        }
    }
}

/// Best effort: it may be gone by now.
async fn holder(client: &Client, set: Set) -> Option<String> {
    let name = set.as_str();
    let rows = client.query_typed(HOLDER, &[(&name, Type::TEXT)]).await.ok()?;
    rows.first()?.try_get(0).ok()
}

/// Gives lock and limits back. A failure to is logged: the run itself is decided by then, and a lost connection has lost both.
pub(crate) async fn end(client: &Client, set: Set) {
    let name = set.as_str();
    let unlock = async { client.query_typed(UNLOCK, &[(&name, Type::TEXT)]).await };
    let (unlocked, ()) = futures::future::join(unlock, reset(client)).await;
    if let Err(error) = unlocked {
        tracing::warn!(%error, migrations.set = name, "the lock for migrations was not given back");
    }
}

async fn reset(client: &Client) {
    if let Err(error) = client.batch_execute(RESET).await {
        tracing::warn!(%error, "the time limits of a migration run stay with its connection");
    }
}

/// As PostgreSQL reads a time limit.
pub(crate) fn in_milliseconds(limit: Duration) -> String {
    format!("{}ms", limit.as_millis())
}
