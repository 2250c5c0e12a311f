//! Who may call what: the one table that the guards consult.
//!
//! A route that is missing here can't be called by anybody: its handler asks for a guard, and a guard is
//! only made for a row of this table. A test compares the rows with the routes and the OpenAPI document.

use actix_web::http::Method;
use rowhouse_domain::Scope;

/// Who may call a route. A platform key may call every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Platform keys only.
    Platform,
    /// Any key of the organization that the address names, too.
    Organization,
    /// A key of the organization that the address names, too, if it has the scope.
    OrganizationWith(Scope),
}

/// One route and its callers.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// The HTTP method.
    pub method: &'static str,
    /// The path with its parameters, as in the OpenAPI document.
    pub path: &'static str,
    /// Who may call it.
    pub callers: Callers,
}

const fn row(method: &'static str, path: &'static str, callers: Callers) -> Access {
    Access { method, path, callers }
}

const ANY_KEY: Callers = Callers::Organization;
const PLATFORM: Callers = Callers::Platform;
const TENANTS: Callers = Callers::OrganizationWith(Scope::ManageTenants);
const MEMBERS: Callers = Callers::OrganizationWith(Scope::ManageMembers);
const KEYS: Callers = Callers::OrganizationWith(Scope::ManageApiKeys);
const USAGE: Callers = Callers::OrganizationWith(Scope::ReadUsage);

/// Every route of the API.
pub const TABLE: &[Access] = &[
    row("POST", "/v1/organizations", PLATFORM),
    row("GET", "/v1/organizations", PLATFORM),
    row("GET", "/v1/organizations/{org}", ANY_KEY),
    row("PATCH", "/v1/organizations/{org}", PLATFORM),
    row("DELETE", "/v1/organizations/{org}", PLATFORM),
    row("POST", "/v1/organizations/{org}/members", MEMBERS),
    row("GET", "/v1/organizations/{org}/members", MEMBERS),
    row("GET", "/v1/organizations/{org}/members/{mem}", MEMBERS),
    row("PATCH", "/v1/organizations/{org}/members/{mem}", MEMBERS),
    row("DELETE", "/v1/organizations/{org}/members/{mem}", MEMBERS),
    row("POST", "/v1/organizations/{org}/api-keys", KEYS),
    row("GET", "/v1/organizations/{org}/api-keys", KEYS),
    row("GET", "/v1/organizations/{org}/api-keys/{key}", KEYS),
    row("DELETE", "/v1/organizations/{org}/api-keys/{key}", KEYS),
    row("GET", "/v1/organizations/{org}/usage", USAGE),
    row("POST", "/v1/organizations/{org}/tenants", TENANTS),
    row("GET", "/v1/organizations/{org}/tenants", TENANTS),
    row("GET", "/v1/tenants/{ten}", TENANTS),
    row("PATCH", "/v1/tenants/{ten}", TENANTS),
    row("DELETE", "/v1/tenants/{ten}", TENANTS),
    row("POST", "/v1/tenants/{ten}/suspend", TENANTS),
    row("POST", "/v1/tenants/{ten}/resume", TENANTS),
    row("POST", "/v1/tenants/{ten}/restore", TENANTS),
    row("POST", "/v1/tenants/{ten}/purge", PLATFORM),
    row("GET", "/v1/tenants/{ten}/database", TENANTS),
    row("POST", "/v1/tenants/{ten}/api-keys", KEYS),
    row("GET", "/v1/tenants/{ten}/api-keys", KEYS),
    row("GET", "/v1/tenants/{ten}/api-keys/{key}", KEYS),
    row("PATCH", "/v1/tenants/{ten}/api-keys/{key}", PLATFORM),
    row("DELETE", "/v1/tenants/{ten}/api-keys/{key}", KEYS),
    row("GET", "/v1/operations/{op}", TENANTS),
    row("POST", "/v1/doctor", PLATFORM),
    row("POST", "/v1/api-keys", PLATFORM),
    row("GET", "/v1/api-keys", PLATFORM),
    row("GET", "/v1/api-keys/{key}", PLATFORM),
    row("DELETE", "/v1/api-keys/{key}", PLATFORM),
    row("GET", "/v1/audit-logs", PLATFORM),
    row("POST", "/v1/clusters", PLATFORM),
    row("GET", "/v1/clusters", PLATFORM),
    row("GET", "/v1/clusters/{clu}", PLATFORM),
    row("PATCH", "/v1/clusters/{clu}", PLATFORM),
    row("DELETE", "/v1/clusters/{clu}", PLATFORM),
    row("GET", "/v1/migrations", PLATFORM),
    row("GET", "/v1/migrations/plan", PLATFORM),
    row("POST", "/v1/migration-runs", PLATFORM),
    row("GET", "/v1/migration-runs", PLATFORM),
    row("GET", "/v1/migration-runs/{mig}", PLATFORM),
    row("GET", "/v1/migration-runs/{mig}/schemas", PLATFORM),
    row("POST", "/v1/migration-runs/{mig}/pause", PLATFORM),
    row("POST", "/v1/migration-runs/{mig}/resume", PLATFORM),
    row("POST", "/v1/migration-runs/{mig}/cancel", PLATFORM),
    row("POST", "/v1/migration-runs/{mig}/retry", PLATFORM),
    row("POST", "/v1/schema-sweeps", PLATFORM),
    row("GET", "/v1/schema-sweeps", PLATFORM),
    row("GET", "/v1/schema-sweeps/{swp}", PLATFORM),
    row("GET", "/v1/schema-checks", PLATFORM),
    row("PUT", "/v1/tenants/{ten}/migration-hold", PLATFORM),
    row("DELETE", "/v1/tenants/{ten}/migration-hold", PLATFORM),
    row("PUT", "/v1/tenants/{ten}/schema-acceptance", PLATFORM),
    row("DELETE", "/v1/tenants/{ten}/schema-acceptance", PLATFORM),
];

/// The row of a route; none where the table does not know it.
pub fn find(method: &Method, path: &str) -> Option<&'static Access> {
    TABLE.iter().find(|access| access.path == path && access.method == method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_the_document_and_the_routes_name_the_same() {
        let table: BTreeSet<String> = TABLE.iter().map(|access| format!("{} {}", access.method, access.path)).collect();
        assert_eq!(table.len(), TABLE.len(), "a route appears twice");
        let document: BTreeSet<String> = serde_json::to_value(crate::documentation()).unwrap()["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                let methods: Vec<String> =
                    methods.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
                methods.into_iter().map(move |method| format!("{method} {path}"))
            })
            .collect();
        assert_eq!(table, document);
        let routes: BTreeSet<String> =
            crate::routes::ROUTES.iter().map(|(method, path)| format!("{} {path}", method.to_uppercase())).collect();
        assert_eq!(table, routes);
    }

    #[test]
    fn only_routes_that_name_an_organization_are_open_to_its_keys() {
        for access in TABLE.iter().filter(|access| access.callers != Callers::Platform) {
            assert!(
                ["{org}", "{ten}", "{op}"].iter().any(|owner| access.path.contains(owner)),
                "{} {} does not say whose it is",
                access.method,
                access.path
            );
        }
    }
}
