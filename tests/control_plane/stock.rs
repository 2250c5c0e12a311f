//! Databases that wait for tenants.

use std::collections::BTreeSet;

use rowhouse_database::quote_ident;
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::json;

use crate::operational::eventually;

async fn house_with_stock(size: usize) -> TestHouse {
    let house = TestHouse::start_with(|settings| settings.provisioning.stock = size).await;
    filled(&house, size).await;
    house
}

async fn filled(house: &TestHouse, size: usize) {
    let size = i64::try_from(size).unwrap();
    let sql = "select count(*) from stock_databases where is_ready and not is_taken";
    eventually("the stock is full", async || house.rows(sql).await[0].try_get::<_, i64>(0).unwrap() == size).await;
}

/// The ids that tenants will get, and the object ids of the databases that wait.
async fn waiting(house: &TestHouse) -> (BTreeSet<String>, BTreeSet<u32>) {
    let rows = house
        .rows(
            "select stock.id::text, pg_database.oid from stock_databases stock
             join pg_database on datname = database_name where is_ready and not is_taken",
        )
        .await;
    rows.iter().map(|row| (row.try_get::<_, String>(0).unwrap(), row.try_get::<_, u32>(1).unwrap())).unzip()
}

#[tokio::test]
async fn a_tenant_is_what_waited_in_the_stock_and_the_stock_fills_up_again() {
    let house = house_with_stock(2).await;
    let (ids, databases) = waiting(&house).await;
    let given = house.tenant().await;
    let rows = house
        .rows("select tenants.id::text, oid, schema_version from tenants join pg_database on datname = database_name")
        .await;
    assert!(
        ids.contains(&rows[0].try_get::<_, String>(0).unwrap()),
        "the tenant has the id that the database was made for"
    );
    assert!(databases.contains(&rows[0].try_get::<_, u32>(1).unwrap()), "the database was not copied again");
    let latest = i32::try_from(rowhouse_migrations::Set::Tenant.latest()).unwrap();
    assert_eq!(rows[0].try_get::<_, i32>(2).unwrap(), latest);
    given.upload("a.txt", "words").await;
    filled(&house, 2).await;
    let logins = "select count(*) from pg_roles join stock_databases on rolname = database_name where rolcanlogin";
    assert_eq!(house.rows(logins).await[0].try_get::<_, i64>(0).unwrap(), 0, "nobody logs in to what waits");
    let open = "select count(*) from pg_database join stock_databases on datname = database_name where datallowconn";
    assert_eq!(house.rows(open).await[0].try_get::<_, i64>(0).unwrap(), 0, "what waits is closed");
}

#[tokio::test]
async fn a_stock_of_another_version_is_replaced() {
    let house = house_with_stock(1).await;
    let (_, before) = waiting(&house).await;
    house.sql("update stock_databases set schema_version = 1").await;
    let latest = rowhouse_migrations::Set::Tenant.latest();
    let replaced = format!("select count(*) from stock_databases where is_ready and schema_version = {latest}");
    eventually("the stock is of this version", async || {
        house.rows(&replaced).await[0].try_get::<_, i64>(0).unwrap() == 1
    })
    .await;
    let (_, after) = waiting(&house).await;
    assert!(before.is_disjoint(&after));
    let old = before.first().unwrap();
    let left = house.rows(&format!("select count(*) from pg_database where oid = {old}")).await;
    assert_eq!(left[0].try_get::<_, i64>(0).unwrap(), 0, "the old one is gone");
}

#[tokio::test]
async fn what_is_gone_from_the_stock_costs_nobody_a_tenant() {
    let house = house_with_stock(1).await;
    let name: String = house.rows("select database_name from stock_databases").await[0].try_get(0).unwrap();
    let admin = TestCluster::get().admin("postgres").await;
    admin.run(&format!("drop database {} with (force)", quote_ident(&name))).await.unwrap();
    let given = house.tenant().await;
    given.upload("a.txt", "words").await;
    let roles = format!("select count(*) from pg_roles where rolname = '{name}'");
    eventually("its login is gone, too", async || house.rows(&roles).await[0].try_get::<_, i64>(0).unwrap() == 0).await;
}

#[tokio::test]
async fn many_tenants_at_once_share_a_small_stock() {
    let house = house_with_stock(3).await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let _ =
        house.admin.patch(&format!("/v1/organizations/{organization}"), &json!({"max_tenants": 20})).await.expect(200);
    let (path, admin) = (&path, &house.admin);
    let made = futures::future::join_all((0..12).map(|number| async move {
        admin.post(path, &json!({"name": format!("tenant {number}")})).await.expect(201).text("id")
    }))
    .await;
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 12);
    filled(&house, 3).await;
    let count = "select count(*) from pg_database join tenants on datname = database_name";
    assert_eq!(house.rows(count).await[0].try_get::<_, i64>(0).unwrap(), 12);
}
