//! Every tenant's login at every database: it opens its own and nothing else.

use std::time::Duration;

use rowhouse_database::{AdminConnection, Tls};
use rowhouse_domain::TenantId;
use rowhouse_testkit::{TestCluster, TestHouse, master_key};
use secrecy::ExposeSecret;
use serde_json::json;

#[tokio::test]
async fn fifty_logins_open_their_own_databases_and_nothing_else() {
    let house = TestHouse::start_with(|settings| settings.provisioning.wait = Duration::from_secs(90)).await;
    let organization = crate::house::organization(&house).await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let (admin, path) = (&house.admin, &path);
    let made = (0..50).map(|number| async move {
        let isolation = if number % 5 == 0 { "schema" } else { "dedicated" };
        admin.post(path, &json!({"name": format!("tenant {number}"), "isolation": isolation})).await.expect(201)
    });
    futures::future::join_all(made).await;
    let rows = house.rows("select id, database_name, role_name, schema_name from tenants order by id").await;
    let tenants: Vec<(TenantId, String, String, String)> = rows
        .iter()
        .map(|row| {
            let text = |column: usize| row.try_get::<_, String>(column).unwrap();
            (row.try_get(0).unwrap(), text(1), text(2), text(3))
        })
        .collect();
    let mut databases: Vec<String> = tenants.iter().map(|(_, database, _, _)| database.clone()).collect();
    databases.sort();
    databases.dedup();
    databases.extend(["postgres", "template1", "rowhouse_base"].map(str::to_owned));
    databases.push(house.platform.clone());
    databases.push(format!("template_v{}", rowhouse_migrations::Set::Tenant.latest()));
    for (id, own, role, schema) in &tenants {
        let password = master_key().tenant_database_password(*id, 1);
        let address = TestCluster::get().address(role, password.expose_secret());
        for database in &databases {
            let opened = AdminConnection::open(&address, database, &Tls::Disabled).await;
            assert_eq!(opened.is_ok(), database == own, "{role} at {database}");
            let Ok(connection) = opened else { continue };
            let others = "select nspname::text from pg_namespace
                where starts_with(nspname::text, 'tenant_') and nspname <> $1 and has_schema_privilege(oid, 'usage')";
            assert!(
                connection.query(others, &[schema]).await.unwrap().is_empty(),
                "{role} may look into other schemas"
            );
            let seen = connection.query("select tenant_id from tenant_identity", &[]).await.unwrap();
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].try_get::<_, TenantId>(0).unwrap(), *id);
        }
    }
}
