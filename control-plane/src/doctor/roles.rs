//! Logins: missing, left over, able to do more than they should, or shut where they should be open.

use rowhouse_database::{quote_ident, quote_literal};
use rowhouse_domain::Isolation;
use rowhouse_settings::Provisioning;

use super::catalog::{Catalog, Role};
use super::databases::{is_settled, marked_tenant};
use super::finding::{Finding, Repair};
use super::store::{Recorded, Rows};
use crate::tenants;

/// Compares the logins of a cluster.
pub(super) fn compare(cluster: &str, rows: &Rows, catalog: &Catalog, settings: &Provisioning) -> Vec<Finding> {
    let mut findings = Vec::new();
    let own = rows.tenants.iter().filter(|tenant| tenant.isolation != Isolation::Shared && is_settled(tenant));
    for tenant in own {
        let Some(role) = catalog.roles.get(&tenant.role) else {
            let detail =
                format!("The login of tenant {} is missing. Resume or restore the tenant to have it made.", tenant.id);
            findings.push(Finding::new("role.missing", Some(cluster), &tenant.role, detail));
            continue;
        };
        let wanted = tenants::login::may_log_in(tenant.status);
        if role.may_log_in != wanted {
            let word = if wanted { "login" } else { "nologin" };
            let detail = format!("Tenant {} is {}, and its login does not follow.", tenant.id, tenant.status);
            let sql = format!("alter role {} {word}", quote_ident(&tenant.role));
            let finding = Finding::new("role.login", Some(cluster), &tenant.role, detail);
            findings.push(finding.fixed_by("let it in, or shut it out", Repair::AsControl(sql)));
        }
        rights(cluster, &tenant.role, role, &mut findings);
        limits(cluster, &tenant.role, role, settings, &mut findings);
        // Settings of a login in a database go with the database.
        if catalog.databases.contains_key(&tenant.database) {
            pin(cluster, tenant, catalog, &mut findings);
        }
    }
    for group in &rows.groups {
        let Some(name) = &group.role else { continue };
        let Some(role) = catalog.roles.get(name) else {
            let detail =
                "The login of a shared database is missing. Its tenants are not served until it is made again.";
            findings.push(Finding::new("role.missing", Some(cluster), name, detail));
            continue;
        };
        rights(cluster, name, role, &mut findings);
        let pins = catalog.pins.get(&(name.clone(), group.database.clone()));
        if pins.is_some_and(|pins| pins.iter().any(|pin| pin.starts_with("app.tenant_id="))) {
            let detail = "A login that tenants share is pinned to one of them.";
            let sql = format!(
                "alter role {} in database {} reset app.tenant_id",
                quote_ident(name),
                quote_ident(&group.database)
            );
            let finding = Finding::new("role.pin", Some(cluster), name, detail);
            findings.push(finding.fixed_by("take the pin away", Repair::AsControl(sql)));
        }
    }
    for (name, role) in &catalog.roles {
        let Some(id) = marked_tenant(&role.comment).filter(|id| rows.purged_tenants.contains(id)) else { continue };
        let is_accounted_for = rows.tenants.iter().any(|tenant| tenant.id == id)
            || rows.stock.iter().any(|(_, stocked, _)| *stocked == id);
        if !is_accounted_for {
            let finding = Finding::new("role.orphan", Some(cluster), name, "It is the login of a purged tenant.");
            let sql = format!("drop role if exists {}", quote_ident(name));
            findings.push(finding.fixed_by("drop it", Repair::AsControl(sql)));
        }
    }
    findings
}

fn rights(cluster: &str, name: &str, role: &Role, findings: &mut Vec<Finding>) {
    if !role.is_plain {
        let detail = "It has an attribute (SUPERUSER, CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS) or lacks INHERIT. \
            Only a superuser can change that.";
        findings.push(Finding::new("role.attributes", Some(cluster), name, detail));
    }
    if role.memberships != ["tenant_app"] {
        let detail = format!("It is a member of {:?} instead of tenant_app alone.", role.memberships);
        let mut sql = format!("grant tenant_app to {}", quote_ident(name));
        for other in role.memberships.iter().filter(|other| *other != "tenant_app") {
            sql.push_str(&format!("; revoke {} from {}", quote_ident(other), quote_ident(name)));
        }
        let finding = Finding::new("role.memberships", Some(cluster), name, detail);
        findings.push(finding.fixed_by("make it a member of tenant_app alone", Repair::AsControl(sql)));
    }
}

fn limits(cluster: &str, name: &str, role: &Role, settings: &Provisioning, findings: &mut Vec<Finding>) {
    let quoted = quote_ident(name);
    let wanted = [
        ("statement_timeout", format!("{}ms", settings.statement_timeout.as_millis())),
        ("idle_in_transaction_session_timeout", format!("{}ms", settings.idle_in_transaction_timeout.as_millis())),
        ("temp_file_limit", format!("{}MB", settings.temp_file_limit_mib)),
    ];
    let missing: Vec<_> =
        wanted.iter().filter(|(key, value)| !role.settings.contains(&format!("{key}={value}"))).collect();
    if missing.is_empty() && role.connection_limit == settings.connection_limit {
        return;
    }
    let mut sql = format!("alter role {quoted} connection limit {}", settings.connection_limit);
    for (key, value) in &wanted {
        sql.push_str(&format!("; alter role {quoted} set {key} = {}", quote_literal(value)));
    }
    let detail = "Its limits are not those of the settings.";
    let finding = Finding::new("role.limits", Some(cluster), name, detail);
    findings.push(finding.fixed_by("set the limits", Repair::AsControl(sql)));
}

fn pin(cluster: &str, tenant: &Recorded, catalog: &Catalog, findings: &mut Vec<Finding>) {
    let id = tenant.id.as_uuid();
    let wanted = [format!("app.tenant_id={id}"), format!("search_path={}, extensions, pg_temp", tenant.schema)];
    let found = catalog.pins.get(&(tenant.role.clone(), tenant.database.clone()));
    if found.is_some_and(|found| wanted.iter().all(|setting| found.contains(setting))) {
        return;
    }
    let sql = format!(
        "alter role {role} in database {database} set app.tenant_id = {pin};
        alter role {role} in database {database} set search_path = {schema}, extensions, pg_temp",
        role = quote_ident(&tenant.role),
        database = quote_ident(&tenant.database),
        pin = quote_literal(&id.to_string()),
        schema = quote_ident(&tenant.schema),
    );
    let detail = format!("The login of tenant {} is not pinned to it in its database.", tenant.id);
    let finding = Finding::new("role.pin", Some(cluster), &tenant.role, detail);
    findings.push(finding.fixed_by("pin it", Repair::AsControl(sql)));
}
