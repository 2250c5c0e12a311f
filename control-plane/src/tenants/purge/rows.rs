//! The rows of a tenant that shares its tables with others.

use rowhouse_database::{AdminConnection, Columns, Described, quote_ident};
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};

/// Rows deleted by one statement: short enough to hold nobody up.
const BATCH: i64 = 5_000;

const TABLES: &str = "
    select class.oid::regclass::text as name, class.oid::bigint as id
    from pg_class class
    join pg_attribute attribute on attribute.attrelid = class.oid and attribute.attname = 'tenant_id'
    where class.relnamespace = 'public'::regnamespace and class.relkind in ('r', 'p') and not class.relispartition
        and not attribute.attisdropped
    order by class.oid";
// A reference that cascades holds nothing up, and files and their versions refer to each other.
const REFERENCES: &str = "
    select distinct conrelid::bigint as from_id, confrelid::bigint as to_id from pg_constraint
    where contype = 'f' and conrelid <> confrelid and confdeltype <> 'c' and connamespace = 'public'::regnamespace";

struct Table {
    name: String,
    id: i64,
}

/// Deletes every row of a tenant, those that refer to others first. The connection acts as the owner, whom no policy
/// binds, so each statement names the tenant.
pub(super) async fn delete(inside: &AdminConnection, tenant: TenantId) -> Result<()> {
    for table in in_order(inside).await? {
        // A parent in the same table may come before its child, so a batch that fails is followed by the whole.
        let table = quote_qualified(&table.name);
        let batch = format!(
            "delete from {table} where tenant_id = $1 and ctid = any (array(
                select ctid from {table} where tenant_id = $1 limit {BATCH})) returning 1 as one"
        );
        loop {
            match inside.query(&batch, &[&tenant]).await {
                Ok(rows) if rows.is_empty() => break,
                Ok(_) => {}
                Err(error) if error.sqlstate().is_some_and(|state| state.code() == "23503") => {
                    let whole = format!("delete from {table} where tenant_id = $1 returning 1 as one");
                    inside.query(&whole, &[&tenant]).await.context("deleting a tenant's rows")?;
                    break;
                }
                Err(error) => return Err(error).context("deleting a tenant's rows"),
            }
        }
    }
    Ok(())
}

/// The tables with tenants' rows, each before those that it refers to.
async fn in_order(inside: &AdminConnection) -> Result<Vec<Table>> {
    let rows = inside.query(TABLES, &[]).await.context("listing tables")?;
    let mut left: Vec<Table> = Vec::new();
    for row in &rows {
        left.push(Table { name: row.column("name")?, id: row.column("id")? });
    }
    let rows = inside.query(REFERENCES, &[]).await.context("listing references")?;
    let mut references: Vec<(i64, i64)> = Vec::new();
    for row in &rows {
        references.push((row.column("from_id")?, row.column("to_id")?));
    }
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let (free, held): (Vec<Table>, Vec<Table>) =
            left.into_iter().partition(|table| references.iter().all(|(_, to)| *to != table.id));
        if free.is_empty() {
            return Err(Error::internal("tables refer to each other in a circle"));
        }
        references.retain(|(from, _)| free.iter().all(|table| table.id != *from));
        ordered.extend(free);
        left = held;
    }
    Ok(ordered)
}

/// A name as `regclass` prints it is quoted where it has to be; of ours none has to.
fn quote_qualified(name: &str) -> String {
    quote_ident(name.trim_matches('"'))
}
