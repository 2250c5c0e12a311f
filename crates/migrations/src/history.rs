//! refinery's history table, `refinery_schema_history` in the schema that it describes.

use tokio_postgres::Client;

use crate::Error;

/// `current_schema()` and not the search path: a table of the same name further along it is another schema's.
const EXISTS: &str =
    "select exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                      where c.relname = 'refinery_schema_history' and n.nspname = current_schema())";
const LIST: &str = "select version, applied_on, checksum from refinery_schema_history order by version";
const NEWEST: &str = "select max(version) from refinery_schema_history";

/// The number of the newest migration applied to the current schema; none where nothing was.
pub async fn current_version(client: &Client) -> Result<Option<u32>, Error> {
    const DOING: &str = "reading the schema's version";
    if !exists(client).await? {
        return Ok(None);
    }
    let row = client.query_one(NEWEST, &[]).await.map_err(Error::database(DOING))?;
    let version: Option<i32> = row.try_get(0).map_err(Error::database(DOING))?;
    version
        .map(|version| {
            u32::try_from(version)
                .map_err(|_| Error::DamagedHistory { version, detail: "a version is never negative".to_owned() })
        })
        .transpose()
}

/// Looks at every row before refinery does, which panics on one that it can't read.
pub(crate) async fn check(client: &Client) -> Result<(), Error> {
    const DOING: &str = "reading the history of migrations";
    if !exists(client).await? {
        return Ok(());
    }
    for row in client.query(LIST, &[]).await.map_err(Error::database(DOING))? {
        let version: i32 = row.try_get(0).map_err(Error::database(DOING))?;
        let damaged = |detail: &str| Error::DamagedHistory { version, detail: detail.to_owned() };
        let applied_on: Option<String> = row.try_get(1).map_err(Error::database(DOING))?;
        let checksum: Option<String> = row.try_get(2).map_err(Error::database(DOING))?;
        let applied_on = applied_on.ok_or_else(|| damaged("it has no time"))?;
        applied_on.parse::<jiff::Timestamp>().map_err(|_| damaged("its time is not RFC 3339"))?;
        let checksum = checksum.ok_or_else(|| damaged("it has no checksum"))?;
        checksum.parse::<u64>().map_err(|_| damaged("its checksum is not a number"))?;
    }
    Ok(())
}

async fn exists(client: &Client) -> Result<bool, Error> {
    const DOING: &str = "looking for the history of migrations";
    let row = client.query_one(EXISTS, &[]).await.map_err(Error::database(DOING))?;
    row.try_get(0).map_err(Error::database(DOING))
}
