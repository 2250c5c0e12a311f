//! What a run takes of its connection before the first migration, and gives back after the last, in one round trip each.
//!
//! One runner a schema. refinery takes no lock: two runners would both do the work, and one would lose all of it.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::history::{self, Applied};
use crate::{Error, Options, Set};

/// What tells the two sets apart in the key of a schema's lock: "migr" and a number.
pub(crate) const fn seed(set: Set) -> i64 {
    match set {
        Set::Platform => 0x6d69_6772_0001,
        Set::Tenant => 0x6d69_6772_0002,
    }
}

/// Never the form that blocks: waiting inside a statement holds a snapshot, which `create index concurrently` waits for.
///
/// A new session pays for each function and operator that it meets the first time, more than for all else here, so there are
/// few of them.
fn take(set: Set, options: &Options) -> String {
    format!(
        "set lock_timeout = '{}'; set statement_timeout = '{}';
        select pg_try_advisory_lock(hashtextextended(current_schema(), {})), current_schema(); show search_path",
        in_milliseconds(options.lock_timeout),
        in_milliseconds(options.statement_timeout.unwrap_or_default()),
        seed(set)
    )
}

/// The session that holds it. What it calls itself and since when it is there is shown only to whoever may see it.
const HOLDER: &str = "
    with wanted as (select hashtextextended(current_schema(), $1) as key)
    select 'pid ' || activity.pid || coalesce(
        format(' (%s, since %s)', nullif(activity.application_name, ''), to_char(activity.backend_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')), '')
    from wanted
    join pg_catalog.pg_locks held on held.locktype = 'advisory' and held.objsubid = 1 and held.granted
        and (held.classid::bigint << 32) | held.objid::bigint = wanted.key
        and held.database = (select oid from pg_catalog.pg_database where datname = current_database())
    join pg_catalog.pg_stat_activity activity on activity.pid = held.pid";
const RESET: &str = "reset lock_timeout; reset statement_timeout";

/// Takes the lock of the set in the current schema, sets the time limits and reads the history.
///
/// The lock belongs to the connection, so a runner that dies gives it back. None for a history that does not exist yet.
pub(crate) async fn begin(client: &Client, set: Set, options: &Options) -> Result<Option<Vec<Applied>>, Error> {
    const DOING: &str = "taking the lock for migrations";
    let started = Instant::now();
    let take = take(set, options);
    loop {
        let answer = async { client.simple_query(&take).await.map_err(Error::database(DOING)) };
        // Sent together. The server reads the history after it has decided on the lock.
        let (answer, history) = futures::future::join(answer, history::read(client)).await;
        let answer = answer?;
        let mut rows =
            answer.iter().filter_map(|one| if let SimpleQueryMessage::Row(row) = one { Some(row) } else { None });
        let (taken, schema) = rows.next().map_or((None, None), |row| (row.get(0), row.get(1)));
        let path = rows.next().and_then(|row| row.get(0)).unwrap_or_default();
        // Where the schema is gone, the current one is the next of the path, which would take all of it: `extensions`, or that
        // of temporary tables.
        let has_schema = schema.is_some_and(|schema| schema == first_of(path));
        if taken == Some("t") {
            let history = match history {
                _ if !has_schema => Err(Error::NoSchema),
                Ok(_) if !leads_nowhere_else(path) => history::read_of_schema(client).await,
                history => history,
            };
            if history.is_err() {
                end(client, set).await;
            }
            return history;
        }
        if !has_schema {
            reset(client).await;
            return Err(Error::NoSchema);
        }
        if started.elapsed() + options.lock_pause >= options.lock_deadline {
            let holder = holder(client, set).await;
            reset(client).await;
            return Err(Error::Locked { waited: started.elapsed(), holder });
        }
        tokio::time::sleep(options.lock_pause).await;
    }
}

/// The schema that a search path begins with.
fn first_of(path: &str) -> String {
    match path.strip_prefix('"') {
        // Two quotation marks stand for one.
        Some(quoted) => {
            let end = quoted.replace("\"\"", "\0\0").find('"').unwrap_or(quoted.len());
            quoted[..end].replace("\"\"", "\"")
        }
        None => path.split(',').next().unwrap_or_default().trim().to_owned(),
    }
}

/// Whether a search path has no schema behind its first that could have a history.
fn leads_nowhere_else(path: &str) -> bool {
    path.split(',').skip(1).all(|name| matches!(name.trim(), "extensions" | "pg_temp"))
}

/// Best effort: it may be gone by now.
async fn holder(client: &Client, set: Set) -> Option<String> {
    let rows = client.query_typed(HOLDER, &[(&seed(set), Type::INT8)]).await.ok()?;
    rows.first()?.try_get(0).ok()
}

/// Gives lock and limits back. A failure to is logged: the run itself is decided by then, and a lost connection has lost both.
pub(crate) async fn end(client: &Client, set: Set) {
    let unlock = format!("select pg_advisory_unlock(hashtextextended(current_schema(), {})); {RESET}", seed(set));
    if let Err(error) = client.batch_execute(&unlock).await {
        tracing::warn!(%error, migrations.set = set.as_str(), "the lock for migrations was not given back");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_begins_with_a_schema() {
        for (path, first) in [
            ("public", "public"),
            ("public, extensions, pg_temp", "public"),
            ("\"tenant-1, x\", pg_temp", "tenant-1, x"),
            ("\"a\"\"b\",public", "a\"b"),
            ("\"$user\", public", "$user"),
            ("", ""),
        ] {
            assert_eq!(first_of(path), first, "{path}");
        }
    }

    #[test]
    fn a_search_path_leads_nowhere_else_with_what_has_no_history_behind_it() {
        for path in ["public", "public, extensions, pg_temp", "\"tenant-1\",pg_temp"] {
            assert!(leads_nowhere_else(path), "{path}");
        }
        for path in ["one, public", "\"$user\", public", "one, \"extensions, x\""] {
            assert!(!leads_nowhere_else(path), "{path}");
        }
    }
}
