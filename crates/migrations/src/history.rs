//! refinery's history table, `refinery_schema_history` in the schema that it describes, held against what a build has.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::error::Divergence;
use crate::{Entry, Error, Migration, Migrations};

/// Its name in every schema.
pub(crate) const TABLE: &str = "refinery_schema_history";

const LIST: &str = "select version, name, applied_on, checksum from refinery_schema_history order by version";
/// Of the current schema alone: a table of the same name further along the search path is another schema's.
const LIST_OF_SCHEMA: &str = "
    select version, name, applied_on, checksum from refinery_schema_history
    where tableoid = to_regclass(quote_ident(current_schema()) || '.refinery_schema_history')
    order by version";
const IS_THERE: &str = "select to_regclass(quote_ident(current_schema()) || '.refinery_schema_history') is not null";

const DOING: &str = "reading the history of migrations";

/// What a schema says was applied to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) version: u32,
    pub(crate) name: String,
    pub(crate) checksum: u64,
}

/// The number of the newest migration applied to the current schema; none where nothing was.
pub async fn current_version(client: &Client) -> Result<Option<u32>, Error> {
    Ok(read_of_schema(client).await?.and_then(|rows| rows.last().map(|row| row.version)))
}

/// All rows in their order; none where there is no such table yet. Only for a search path that can't lead to another schema's:
/// it spares a new session a look into the catalog, which costs as much as a small migration.
pub(crate) async fn read(client: &Client) -> Result<Option<Vec<Applied>>, Error> {
    list(client, LIST).await
}

/// The same for any search path.
pub(crate) async fn read_of_schema(client: &Client) -> Result<Option<Vec<Applied>>, Error> {
    let rows = list(client, LIST_OF_SCHEMA).await?;
    if rows.as_ref().is_none_or(|rows| !rows.is_empty()) {
        return Ok(rows);
    }
    // Empty, or another schema's and none of it ours.
    let row = client.query_typed_one(IS_THERE, &[]).await.map_err(Error::database(DOING))?;
    let is_there: bool = row.try_get(0).map_err(Error::database(DOING))?;
    Ok(rows.filter(|_| is_there))
}

async fn list(client: &Client, sql: &str) -> Result<Option<Vec<Applied>>, Error> {
    let rows = match client.query_typed(sql, &[]).await {
        Ok(rows) => rows,
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(None),
        Err(error) => return Err(Error::database(DOING)(error)),
    };
    rows.iter()
        .map(|row| {
            let version: i32 = row.try_get(0).map_err(Error::database(DOING))?;
            let name: Option<String> = row.try_get(1).map_err(Error::database(DOING))?;
            let applied_on: Option<String> = row.try_get(2).map_err(Error::database(DOING))?;
            let checksum: Option<String> = row.try_get(3).map_err(Error::database(DOING))?;
            applied(version, name, applied_on, checksum)
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Some)
}

fn applied(
    number: i32,
    name: Option<String>,
    applied_on: Option<String>,
    checksum: Option<String>,
) -> Result<Applied, Error> {
    let damaged = |detail: &str| Error::DamagedHistory { version: number, detail: detail.to_owned() };
    let version = u32::try_from(number).map_err(|_| damaged("a version is never negative"))?;
    let name = name.ok_or_else(|| damaged("it has no name"))?;
    let applied_on = applied_on.ok_or_else(|| damaged("it has no time"))?;
    applied_on.parse::<jiff::Timestamp>().map_err(|_| damaged("its time is not RFC 3339"))?;
    let checksum = checksum.ok_or_else(|| damaged("it has no checksum"))?;
    let checksum = checksum.parse().map_err(|_| damaged("its checksum is not a number"))?;
    Ok(Applied { version, name, checksum })
}

impl Migrations {
    /// The history of a schema that these brought to a version.
    pub fn history(&self, version: u32) -> Vec<Entry> {
        let applied = self.list().iter().filter(|migration| migration.version <= version);
        applied.map(|one| entry(&one.version.to_string(), &one.name, &one.checksum().to_string())).collect()
    }
}

/// A row of a history, to be compared with another build's.
pub fn entry(version: &str, name: &str, checksum: &str) -> Entry {
    Entry {
        kind: "migration".to_owned(),
        name: format!("V{version}"),
        definition: format!("{name}, checksum {checksum}"),
    }
}

/// Refuses a history that is not a beginning of the build's own, and says where the two part.
pub(crate) fn compare(applied: &[Applied], migrations: &Migrations) -> Result<(), Error> {
    for row in applied {
        let (how, build) = match migrations.find(row.version) {
            Some(migration) if migration.name == row.name && migration.checksum() == row.checksum => continue,
            Some(migration) => (Divergence::Changed, Some(migration.checksum())),
            None if row.version > migrations.latest() => (Divergence::Newer, None),
            None => (Divergence::Missing, None),
        };
        return Err(Error::Divergent {
            how,
            version: row.version,
            name: row.name.clone(),
            applied: Some(row.checksum),
            build,
        });
    }
    let newest = applied.last().map_or(0, |row| row.version);
    let is_skipped = |migration: &&Migration| {
        migration.version < newest && !applied.iter().any(|row| row.version == migration.version)
    };
    match migrations.list().iter().find(is_skipped) {
        Some(migration) => Err(Error::Divergent {
            how: Divergence::Skipped,
            version: migration.version,
            name: migration.name.clone(),
            applied: None,
            build: Some(migration.checksum()),
        }),
        None => Ok(()),
    }
}
