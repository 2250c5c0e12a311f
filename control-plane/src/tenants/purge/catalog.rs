//! What of a tenant its cluster has, and whose the cluster says it is.

use rowhouse_database::{AdminConnection, Columns, Described};
use rowhouse_problem::{Error, Result};

const DATABASE: &str = "
    select coalesce(shobj_description(oid, 'pg_database'), '') as comment from pg_database where datname = $1::text::name";
const ROLE: &str = "
    select coalesce(shobj_description(oid, 'pg_authid'), '') as comment from pg_roles where rolname = $1::text::name";
const SCHEMA: &str = "
    select coalesce(obj_description(oid, 'pg_namespace'), '') as comment from pg_namespace where nspname = $1::text::name";

/// Something of a tenant's in a catalog.
#[derive(Debug, Clone, Copy)]
pub(super) enum Thing {
    Database,
    Role,
    /// Of the database that the connection is to.
    Schema,
}

/// Whether it is there. An error where something is that is not marked as this tenant's, or, where nothing was marked yet,
/// could be somebody else's.
pub(super) async fn is_there(admin: &AdminConnection, thing: Thing, name: &str, mark: &str) -> Result<bool> {
    let sql = match thing {
        Thing::Database => DATABASE,
        Thing::Role => ROLE,
        Thing::Schema => SCHEMA,
    };
    let rows = admin.query(sql, &[&name]).await.context("looking for what is to be purged")?;
    let Some(row) = rows.first() else { return Ok(false) };
    let comment: String = row.column("comment")?;
    // Provisioning that was interrupted before it could mark a database left one whose name holds the tenant's whole id.
    if comment == mark || (comment.is_empty() && mark_in_name(name, mark)) {
        return Ok(true);
    }
    Err(Error::internal(format!("{thing:?} {name:?} is marked {comment:?} and not {mark:?}: it is not dropped")))
}

/// Whether a name ends with the id that a mark ends with.
fn mark_in_name(name: &str, mark: &str) -> bool {
    let id: String = mark.rsplit(' ').next().unwrap_or_default().replace('-', "");
    id.len() == 32 && name.ends_with(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_speaks_for_itself_only_with_the_whole_id() {
        let mark = "rowhouse tenant 01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(mark_in_name("tenant_acme_01890a5dac96774bbcceb302099a8057", mark));
        assert!(!mark_in_name("tenant_acme_01890a5dac96774bbcceb302099a8058", mark));
        assert!(!mark_in_name("tenant_acme", mark));
        assert!(!mark_in_name("anything", "rowhouse tenant "));
    }
}
