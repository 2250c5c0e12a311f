//! Every tenant's login at every database: it opens its own and nothing else.

use std::time::Duration;

use rowhouse_database::{AdminConnection, Tls};
use rowhouse_domain::TenantId;
use rowhouse_testkit::{TestCluster, TestHouse, master_key};
use secrecy::ExposeSecret;
use serde_json::json;

#[tokio::test]
async fn fifty_logins_open_their_own_databases_and_nothing_else_on_two_clusters() {
    let house = TestHouse::start_with(|settings| settings.provisioning.wait = Duration::from_secs(90)).await;
    let (first, second) = (TestCluster::get(), TestCluster::second());
    house.register("second", second).await;
    let organization = crate::house::organization(&house).await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let (admin, path) = (&house.admin, &path);
    let made = (0..50).map(|number| async move {
        let isolation = if number % 5 == 0 { "schema" } else { "dedicated" };
        let cluster = if number % 2 == 0 { "default" } else { "second" };
        let body = json!({"name": format!("tenant {number}"), "isolation": isolation, "cluster": cluster});
        admin.post(path, &body).await.expect(201)
    });
    futures::future::join_all(made).await;
    let rows = house
        .rows(
            "select tenants.id, database_name, role_name, schema_name, clusters.name
             from tenants join clusters on clusters.id = cluster_id order by tenants.id",
        )
        .await;
    let tenants: Vec<Tenant> = rows
        .iter()
        .map(|row| {
            let text = |column: usize| row.try_get::<_, String>(column).unwrap();
            Tenant { id: row.try_get(0).unwrap(), database: text(1), role: text(2), schema: text(3), cluster: text(4) }
        })
        .collect();
    let mut tried = 0;
    for (name, cluster) in [("default", first), ("second", second)] {
        for database in databases(cluster).await {
            for tenant in &tenants {
                let is_own = tenant.cluster == name && tenant.database == database;
                tenant.try_to_open(cluster, &database, is_own).await;
                tried += 1;
            }
        }
    }
    assert!(tried > 2_000, "{tried} doors were tried");
}

/// Every database of a cluster that anybody could connect to.
async fn databases(cluster: &TestCluster) -> Vec<String> {
    let admin = cluster.admin("postgres").await;
    let rows = admin.query("select datname::text from pg_database where datallowconn", &[]).await.unwrap();
    // Those of other tests come and go.
    let mine = |name: &String| !name.starts_with("saas_platform_") && !name.starts_with("rowhouse_making");
    rows.iter().map(|row| row.try_get(0).unwrap()).filter(mine).collect()
}

struct Tenant {
    id: TenantId,
    database: String,
    role: String,
    schema: String,
    cluster: String,
}

impl Tenant {
    async fn try_to_open(&self, cluster: &TestCluster, database: &str, is_own: bool) {
        let password = master_key().tenant_database_password(self.id, 1);
        let address = cluster.address(&self.role, password.expose_secret());
        let opened = AdminConnection::open(&address, database, &Tls::Disabled).await;
        assert_eq!(opened.is_ok(), is_own, "{} at {database}", self.role);
        let Ok(connection) = opened else { return };
        let others = "select nspname::text from pg_namespace
            where starts_with(nspname::text, 'tenant_') and nspname <> $1 and has_schema_privilege(oid, 'usage')";
        let others = connection.query(others, &[&self.schema]).await.unwrap();
        assert!(others.is_empty(), "{} may look into other schemas", self.role);
        let seen = connection.query("select tenant_id from tenant_identity", &[]).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].try_get::<_, TenantId>(0).unwrap(), self.id);
    }
}
