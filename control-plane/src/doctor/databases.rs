//! Databases: missing, left over, somebody else's, open to whom they should not be.

use std::collections::{HashMap, HashSet};

use rowhouse_database::{quote_ident, quote_literal};
use rowhouse_domain::{Isolation, TenantId, TenantStatus};
use rowhouse_migrations::Migrations;
use uuid::Uuid;

use super::catalog::{Catalog, Database};
use super::finding::{Finding, Repair};
use super::store::{Recorded, Rows};
use crate::clusters::OWNER;
use crate::{fleet, groups, templates, tenants};

/// A database that a row speaks of.
struct Expected {
    mark: String,
    guests: HashSet<String>,
    /// None where it may be either.
    is_open: Option<bool>,
    is_template: bool,
}

/// Compares the databases of a cluster.
pub(super) fn compare(migrations: &Migrations, cluster: &str, rows: &Rows, catalog: &Catalog) -> Vec<Finding> {
    let mut findings = Vec::new();
    let expected = expected(migrations, rows);
    for (name, expected) in &expected {
        match catalog.databases.get(name) {
            None => findings.push(Finding::new(
                "database.missing",
                Some(cluster),
                name,
                "A row speaks of this database, and there is none. Restore it from a backup, or purge its tenants.",
            )),
            Some(found) => one(cluster, name, expected, found, &mut findings),
        }
    }
    for (name, found) in &catalog.databases {
        if !expected.contains_key(name) {
            findings.extend(left_over(cluster, rows, name, found));
        }
    }
    findings
}

/// Whether a tenant's things are looked at: those that something happens to are not.
pub(super) fn is_settled(tenant: &Recorded) -> bool {
    !tenant.is_busy
        && !tenant.is_being_purged
        && !matches!(tenant.status, TenantStatus::Provisioning | TenantStatus::Failed)
}

fn expected(migrations: &Migrations, rows: &Rows) -> HashMap<String, Expected> {
    let mut expected = HashMap::new();
    for tenant in rows.tenants.iter().filter(|tenant| is_settled(tenant)) {
        if tenant.isolation == Isolation::Dedicated {
            let mark = tenants::provision::mark(tenant.id);
            let guests = HashSet::from([tenant.role.clone()]);
            let is_open = (tenant.status != TenantStatus::Deleted).then_some(true);
            expected.insert(tenant.database.clone(), Expected { mark, guests, is_open, is_template: false });
        }
    }
    for group in &rows.groups {
        let mut guests: HashSet<String> = group.role.iter().cloned().collect();
        let members = rows.tenants.iter().filter(|tenant| tenant.database == group.database);
        guests.extend(members.map(|tenant| tenant.role.clone()));
        let mark = groups::mark(group.id);
        expected.insert(group.database.clone(), Expected { mark, guests, is_open: Some(true), is_template: false });
    }
    for (name, id, is_waiting) in &rows.stock {
        if *is_waiting {
            let (mark, guests) = (tenants::provision::mark(*id), HashSet::from([name.clone()]));
            expected.insert(name.clone(), Expected { mark, guests, is_open: Some(false), is_template: false });
        }
    }
    for name in &rows.templates {
        let mark = templates::mark_of(migrations, name).unwrap_or_default();
        let expectation = Expected { mark, guests: HashSet::new(), is_open: Some(false), is_template: true };
        expected.insert(name.clone(), expectation);
    }
    expected
}

fn one(cluster: &str, name: &str, expected: &Expected, found: &Database, findings: &mut Vec<Finding>) {
    let quoted = quote_ident(name);
    let finding = |check: &str, detail: &str| Finding::new(check, Some(cluster), name, detail);
    if found.is_invalid {
        let detail =
            "A DROP DATABASE was interrupted: it can't be connected to, only dropped. Restore it from a backup.";
        findings.push(finding("database.invalid", detail));
        return;
    }
    if found.owner != OWNER {
        findings
            .push(finding("database.owner", "It belongs to another role than rowhouse_owner. Find out who did that."));
        return;
    }
    if found.comment != expected.mark {
        let finding =
            finding("database.mark", "Its comment does not say whose it is. Look into it before anything else.");
        // What has no comment has lost it; another comment may be another tenant's.
        findings.push(if found.comment.is_empty() && !expected.is_template {
            let sql = format!("comment on database {quoted} is {}", quote_literal(&expected.mark));
            finding.fixed_by("write the comment", Repair::AsOwner(sql))
        } else {
            finding
        });
    }
    if found.is_public {
        let sql = format!("revoke all on database {quoted} from public");
        let finding = finding("database.public", "Every login of the cluster may connect to it.");
        findings.push(finding.fixed_by("revoke what PUBLIC has", Repair::AsOwner(sql)));
    }
    for guest in found.guests.iter().filter(|guest| !expected.guests.contains(*guest)) {
        let sql = format!("revoke all on database {quoted} from {}", quote_ident(guest));
        let detail = format!("The role {guest} may connect to it and should not.");
        let finding = finding("database.guest", &detail);
        findings.push(finding.fixed_by("revoke the role's rights", Repair::AsOwner(sql)));
    }
    for guest in expected.guests.iter().filter(|guest| !found.guests.contains(guest)) {
        let sql = format!("grant connect on database {quoted} to {}", quote_ident(guest));
        let detail = format!("The login {guest} should be able to connect to it and is not.");
        let finding = finding("database.grant", &detail);
        findings.push(finding.fixed_by("grant CONNECT", Repair::AsOwner(sql)));
    }
    if expected.is_open.is_some_and(|is_open| is_open != found.is_open) {
        let word = if found.is_open { "open" } else { "closed" };
        let sql = format!("alter database {quoted} allow_connections {}", !found.is_open);
        let finding = finding("database.connections", &format!("It is {word} to connections and should not be."));
        findings.push(finding.fixed_by("change ALLOW_CONNECTIONS", Repair::AsOwner(sql)));
    }
    if expected.is_template != found.is_template {
        let sql = format!("alter database {quoted} is_template {}", expected.is_template);
        let finding = finding("database.template", "It is marked as a template and is none, or the reverse.");
        findings.push(finding.fixed_by("change IS_TEMPLATE", Repair::AsOwner(sql)));
    }
    if found.has_old_collation {
        let detail = "Its collation version is not the operating system's. Rebuild its indexes on text, then \
            ALTER DATABASE … REFRESH COLLATION VERSION.";
        findings.push(finding("database.collation", detail));
    }
}

/// A database that no row speaks of, if it is ours.
fn left_over(cluster: &str, rows: &Rows, name: &str, found: &Database) -> Option<Finding> {
    let quoted = quote_ident(name);
    let dropped = || Repair::AsOwnerAlone(format!("drop database if exists {quoted} with (force)"));
    let finding = |check: &str, detail: &str| Finding::new(check, Some(cluster), name, detail);
    if found.owner != OWNER {
        return None;
    }
    if let Some(schema) = fleet::cloned_schema(name) {
        let is_ours = rows.known_tenants.contains(&TenantId::from_uuid(schema))
            || rows.groups.iter().any(|group| group.id.as_uuid() == schema);
        let finding = finding("database.rehearsal", "A dry run of migrations cloned it and is over.");
        let is_left = is_ours && !rows.rehearsed.contains(&schema);
        return is_left.then(|| finding.fixed_by("drop it", dropped()));
    }
    let id = marked_tenant(&found.comment)?;
    if !rows.known_tenants.contains(&id) {
        // Another installation's, for all that can be known.
        return None;
    }
    if let Some(tenant) = rows.tenants.iter().find(|tenant| tenant.id == id) {
        if !is_settled(tenant) || rows.stock.iter().any(|(_, stocked, _)| *stocked == id) {
            return None;
        }
        let detail = "It is marked as a tenant's that lives elsewhere. Compare the two before one is dropped.";
        return Some(finding("database.stray", detail));
    }
    if rows.stock.iter().any(|(_, stocked, _)| *stocked == id) {
        return None;
    }
    // Its row names another cluster, or no place at all: this may be the only copy of its data.
    if !rows.purged_tenants.contains(&id) {
        let detail = "It is marked as a tenant's that is not purged and whose row does not name it. Compare the two.";
        return Some(finding("database.stray", detail));
    }
    if found.is_invalid {
        let finding = finding("database.invalid", "A DROP DATABASE was interrupted, and nobody needs the rest.");
        return Some(finding.fixed_by("drop it", dropped()));
    }
    let finding = finding("database.orphan", "It is a purged tenant's.");
    Some(finding.fixed_by("drop it", dropped()))
}

/// The tenant that a comment names.
pub(super) fn marked_tenant(comment: &str) -> Option<TenantId> {
    let id = comment.strip_prefix("rowhouse tenant ")?;
    Uuid::parse_str(id).ok().map(TenantId::from_uuid)
}
