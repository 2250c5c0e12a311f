//! Changes of data that are too long for one transaction: batch by batch along a table's primary key.
//!
//! A batch and the position behind it are committed together, so that a runner that dies loses nothing and repeats nothing.
//! The position lives in a table that is there only while a backfill is under way. Rows that are added meanwhile with keys
//! that have been passed are not looked at: whoever adds them must write them in the new form already.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::directive::Backfill;
use crate::error::Database;
use crate::patience::Patience;
use crate::{Error, Event, Migration, Observer, transaction};

/// Drops what a backfill remembers: it is through, or taken back. Mostly there is nothing, which is not worth a notice.
pub(crate) const FORGET: &str = "set local client_min_messages = warning; drop table if exists rowhouse_backfill";

const DOING: &str = "preparing a backfill";
const KEYS: &str = "
    select attribute.attname::text, pg_catalog.format_type(attribute.atttypid, attribute.atttypmod)
    from pg_catalog.pg_index index
    join pg_catalog.pg_class class on class.oid = index.indrelid
    join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
    cross join unnest(index.indkey::smallint[]) with ordinality key (number, place)
    join pg_catalog.pg_attribute attribute on attribute.attrelid = class.oid and attribute.attnum = key.number
    where class.relname = $1 and namespace.nspname = current_schema() and index.indisprimary
    order by key.place";
const MAKE_TABLE: &str = "
    set local client_min_messages = warning;
    create table if not exists rowhouse_backfill (
        version integer primary key,
        checksum text not null,
        position text[],
        rows bigint not null default 0,
        updated_at timestamptz not null default now())";
const BEGIN: &str = "insert into rowhouse_backfill (version, checksum) values ($1, $2) on conflict do nothing";
const POSITION: &str = "select checksum, position, rows from rowhouse_backfill where version = $1";

/// What tells the answer of a batch from the rows that its statement may return.
const ROWS: &str = "rowhouse_backfill_rows";

/// A column of the primary key: its name, quoted, and its type.
struct Key {
    name: String,
    kind: String,
}

struct Position {
    values: Option<Vec<String>>,
    rows: u64,
}

/// Goes through all batches that are left, then records the migration.
pub(crate) async fn apply(
    client: &Client,
    migration: &Migration,
    walk: &Backfill,
    observer: Observer<'_>,
    patience: &mut Patience<'_>,
) -> Result<(), Error> {
    let keys = keys(client, migration, walk).await?;
    let mut position = begin(client, migration, &keys).await?;
    let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    let table = escape_identifier(&walk.table);
    let make_batch = format!(
        "set local client_min_messages = warning;
        drop table if exists pg_temp.batch;
        create temporary table batch on commit delete rows as select {} from {table} with no data",
        names.join(", ")
    );
    while let Err(error) = transaction::run(client, &[&make_batch]).await {
        patience.wait_after(error.into()).await?;
    }
    loop {
        let next = loop {
            match batch(client, migration, walk, &keys, &position).await {
                Ok(next) => break next,
                Err(error) => patience.wait_after(error).await?,
            }
        };
        patience.renew();
        let Some(next) = next else { break };
        let is_last = next.rows < position.rows + u64::from(walk.batch);
        position = next;
        observer(Event::Batch { migration, rows: position.rows });
        if is_last {
            break;
        }
        if !patience.is_stopped() {
            tokio::time::sleep(walk.pause).await;
        }
        if patience.is_stopped() {
            client.batch_execute("drop table pg_temp.batch").await.map_err(Error::database(DOING))?;
            return Err(Error::Stopped { migration: migration.to_string(), rows: position.rows });
        }
    }
    client.batch_execute("drop table pg_temp.batch").await.map_err(Error::database(DOING))?;
    while let Err(error) = transaction::record(client, migration, FORGET).await {
        patience.wait_after(error).await?;
    }
    Ok(())
}

async fn keys(client: &Client, migration: &Migration, walk: &Backfill) -> Result<Vec<Key>, Error> {
    let rows = client.query_typed(KEYS, &[(&walk.table, Type::TEXT)]).await.map_err(Error::database(DOING))?;
    if rows.is_empty() {
        return Err(Error::backfill(migration, format!("there is no table `{}` with a primary key", walk.table)));
    }
    rows.iter()
        .map(|row| {
            let name: String = row.try_get(0).map_err(Error::database(DOING))?;
            let kind: String = row.try_get(1).map_err(Error::database(DOING))?;
            Ok(Key { name: escape_identifier(&name), kind })
        })
        .collect()
}

/// Where an earlier run stopped, or the beginning.
async fn begin(client: &Client, migration: &Migration, keys: &[Key]) -> Result<Position, Error> {
    let (version, checksum) = (migration.number(), migration.checksum().to_string());
    transaction::run(client, &[MAKE_TABLE]).await.map_err(Error::database(DOING))?;
    client
        .query_typed(BEGIN, &[(&version, Type::INT4), (&checksum, Type::TEXT)])
        .await
        .map_err(Error::database(DOING))?;
    let row = client.query_typed_one(POSITION, &[(&version, Type::INT4)]).await.map_err(Error::database(DOING))?;
    let begun: String = row.try_get(0).map_err(Error::database(DOING))?;
    let values: Option<Vec<String>> = row.try_get(1).map_err(Error::database(DOING))?;
    let rows: i64 = row.try_get(2).map_err(Error::database(DOING))?;
    let is_same_walk = values.as_ref().is_none_or(|values| values.len() == keys.len());
    if begun != checksum || !is_same_walk {
        let reason = format!(
            "{rows} rows were done by another text of it (checksum {begun}, in this build {checksum}); go on with that \
             one, or see to those rows and drop the table rowhouse_backfill"
        );
        return Err(Error::backfill(migration, reason));
    }
    Ok(Position { values, rows: rows.unsigned_abs() })
}

/// One batch in one transaction and one round trip; the new position, or none where no key was left.
async fn batch(
    client: &Client,
    migration: &Migration,
    walk: &Backfill,
    keys: &[Key],
    position: &Position,
) -> Result<Option<Position>, Database> {
    let list = |format: &dyn Fn(&Key) -> String| keys.iter().map(format).collect::<Vec<_>>().join(", ");
    let names = list(&|key| key.name.clone());
    let behind = position.values.as_ref().map_or_else(String::new, |values| {
        let constants: Vec<String> =
            keys.iter().zip(values).map(|(key, value)| format!("{}::{}", escape_literal(value), key.kind)).collect();
        format!("where ({names}) > ({})", constants.join(", "))
    });
    let fill = format!(
        "insert into pg_temp.batch select {names} from {} {behind} order by {names} limit {}",
        escape_identifier(&walk.table),
        walk.batch
    );
    let advance = format!(
        "update rowhouse_backfill set position = last.position, rows = rowhouse_backfill.rows + last.rows, updated_at = now()
        from (select array[{}] as position, count(*) over () as rows from pg_temp.batch order by {} limit 1) last
        where version = {} returning rowhouse_backfill.rows as {ROWS}, {}",
        list(&|key| format!("{}::text", key.name)),
        list(&|key| format!("{} desc", key.name)),
        migration.version,
        (1..=keys.len()).map(|place| format!("rowhouse_backfill.position[{place}]")).collect::<Vec<_>>().join(", "),
    );
    let messages = transaction::query(client, &[&fill, migration.sql(), &advance]).await?;
    let last = messages
        .iter()
        .rev()
        .find_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None });
    // Without a key left it is none of ours; the statement may have rows of its own.
    let is_ours = |row: &&SimpleQueryRow| row.columns().first().is_some_and(|column| column.name() == ROWS);
    let Some(row) = last.filter(is_ours) else { return Ok(None) };
    let values = (1..row.len()).map(|place| row.get(place).unwrap_or_default().to_owned()).collect();
    let rows = row.get(0).and_then(|rows| rows.parse().ok()).unwrap_or(position.rows);
    Ok(Some(Position { values: Some(values), rows }))
}
