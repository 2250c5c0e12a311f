//! The whole API on one screen. What each route takes and answers is written at its handler; who may call it, in `access`.

use actix_web::web::{self, ServiceConfig};
use rowhouse_web::{ProblemDocument, no_such_route};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::{api_keys, audit, clusters, doctor, fleet, members, operations, organizations, sweeps, tenants, usage};

/// A path with all its methods is one resource, so that another method is answered 405 with `Allow`; the same rows
/// make the OpenAPI document.
macro_rules! api {
    ($($path:literal => { $($method:ident $($handler:ident)::+),+ $(,)? })+) => {
        #[derive(OpenApi)]
        #[openapi(
            info(title = "Rowhouse control plane", description = "Organizations, tenants, people, keys, clusters, migrations, operations and audit."),
            paths($($($($handler)::+),+),+),
            components(schemas(ProblemDocument)),
            modifiers(&BearerKey),
        )]
        struct Document;

        /// Every route, for the test that compares them with the access table.
        #[cfg(test)]
        pub(crate) const ROUTES: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),+];

        fn resources(config: &mut ServiceConfig) {
            $(config.service(web::resource($path)$(.route(web::$method().to($($handler)::+)))+);)+
        }
    };
}

api! {
    "/v1/organizations" => {
        post organizations::routes::create_organization,
        get organizations::routes::list_organizations,
    }
    "/v1/organizations/{org}" => {
        get organizations::routes::get_organization,
        patch organizations::routes::update_organization,
        delete organizations::routes::delete_organization,
    }
    "/v1/organizations/{org}/members" => {
        post members::routes::create_member,
        get members::routes::list_members,
    }
    "/v1/organizations/{org}/members/{mem}" => {
        get members::routes::get_member,
        patch members::routes::update_member,
        delete members::routes::delete_member,
    }
    "/v1/organizations/{org}/api-keys" => {
        post api_keys::organization_routes::create_organization_api_key,
        get api_keys::organization_routes::list_organization_api_keys,
    }
    "/v1/organizations/{org}/api-keys/{key}" => {
        get api_keys::organization_routes::get_organization_api_key,
        delete api_keys::organization_routes::revoke_organization_api_key,
    }
    "/v1/organizations/{org}/usage" => { get usage::routes::get_organization_usage }
    "/v1/organizations/{org}/tenants" => {
        post tenants::routes::create_tenant,
        get tenants::routes::list_tenants,
    }
    "/v1/tenants/{ten}" => {
        get tenants::routes::get_tenant,
        patch tenants::routes::update_tenant,
        delete tenants::routes::delete_tenant,
    }
    "/v1/tenants/{ten}/suspend" => { post tenants::routes::suspend_tenant }
    "/v1/tenants/{ten}/resume" => { post tenants::routes::resume_tenant }
    "/v1/tenants/{ten}/restore" => { post tenants::routes::restore_tenant }
    "/v1/tenants/{ten}/purge" => { post tenants::routes::purge_tenant }
    "/v1/tenants/{ten}/database" => { get tenants::routes::get_tenant_database }
    "/v1/tenants/{ten}/api-keys" => {
        post api_keys::tenant_routes::create_tenant_api_key,
        get api_keys::tenant_routes::list_tenant_api_keys,
    }
    "/v1/tenants/{ten}/api-keys/{key}" => {
        get api_keys::tenant_routes::get_tenant_api_key,
        patch api_keys::tenant_routes::update_tenant_api_key,
        delete api_keys::tenant_routes::revoke_tenant_api_key,
    }
    "/v1/operations/{op}" => { get operations::routes::get_operation }
    "/v1/doctor" => { post doctor::routes::examine }
    "/v1/api-keys" => {
        post api_keys::platform_routes::create_platform_api_key,
        get api_keys::platform_routes::list_platform_api_keys,
    }
    "/v1/api-keys/{key}" => {
        get api_keys::platform_routes::get_platform_api_key,
        delete api_keys::platform_routes::revoke_platform_api_key,
    }
    "/v1/audit-logs" => { get audit::routes::list_audit_logs }
    "/v1/clusters" => {
        post clusters::routes::create_cluster,
        get clusters::routes::list_clusters,
    }
    "/v1/clusters/{clu}" => {
        get clusters::routes::get_cluster,
        patch clusters::routes::update_cluster,
        delete clusters::routes::delete_cluster,
    }
    "/v1/migrations" => { get fleet::routes::get_fleet_status }
    "/v1/migrations/plan" => { get fleet::routes::plan_migration_run }
    "/v1/migration-runs" => {
        post fleet::routes::start_migration_run,
        get fleet::routes::list_migration_runs,
    }
    "/v1/migration-runs/{mig}" => { get fleet::routes::get_migration_run }
    "/v1/migration-runs/{mig}/schemas" => { get fleet::routes::list_migration_run_schemas }
    "/v1/migration-runs/{mig}/pause" => { post fleet::routes::pause_migration_run }
    "/v1/migration-runs/{mig}/resume" => { post fleet::routes::resume_migration_run }
    "/v1/migration-runs/{mig}/cancel" => { post fleet::routes::cancel_migration_run }
    "/v1/migration-runs/{mig}/retry" => { post fleet::routes::retry_migration_run }
    "/v1/schema-sweeps" => {
        post sweeps::routes::start_schema_sweep,
        get sweeps::routes::list_schema_sweeps,
    }
    "/v1/schema-sweeps/{swp}" => { get sweeps::routes::get_schema_sweep }
    "/v1/schema-checks" => { get sweeps::routes::list_schema_checks }
    "/v1/tenants/{ten}/migration-hold" => {
        put fleet::routes::put_migration_hold,
        delete fleet::routes::delete_migration_hold,
    }
    "/v1/tenants/{ten}/schema-acceptance" => {
        put sweeps::routes::put_schema_acceptance,
        delete sweeps::routes::delete_schema_acceptance,
    }
}

/// How callers show who they are, in the OpenAPI document.
struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        const NAME: &str = "api_key";
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A platform key (`rhp_…`) or an organization's key (`rho_…`)."))
            .build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme(NAME, SecurityScheme::Http(scheme));
        document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(NAME, [])]);
    }
}

/// The OpenAPI document.
pub fn documentation() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Every resource, and the answer for addresses that are none.
pub(crate) fn configure(config: &mut ServiceConfig) {
    resources(config);
    config.default_service(web::route().to(no_such_route));
}
