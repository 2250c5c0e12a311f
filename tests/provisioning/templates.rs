//! What tenants are cloned from: made once, closed, made again where it is gone.

use std::time::Duration;

use rowhouse_migrations::Set;
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::json;

use super::{alone, eventually, make, named_after, number, number_in, superuser, wish};

fn name() -> String {
    format!("template_v{}", Set::Tenant.latest())
}

async fn drop_template() {
    let there = format!("select count(*) from pg_database where datname = '{}'", name());
    if number(&there).await == 1 {
        superuser(&format!("alter database {} is_template false", name())).await;
        superuser(&format!("drop database {} with (force)", name())).await;
    }
}

async fn template_is_whole() -> bool {
    let mark = format!("rowhouse template v{} {}", Set::Tenant.latest(), Set::Tenant.checksum(Set::Tenant.latest()));
    let whole = format!(
        "select count(*) from pg_database
         where datname = '{}' and datistemplate and not datallowconn and pg_get_userbyid(datdba) = 'rowhouse_owner'
            and shobj_description(oid, 'pg_database') = '{mark}'
            and not exists (select from aclexplode(coalesce(datacl, acldefault('d', datdba))) where grantee = 0)",
        name()
    );
    number(&whole).await == 1
}

#[tokio::test]
async fn a_template_is_closed_to_everybody_and_says_what_it_is() {
    let _alone = alone().await;
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    assert!(template_is_whole().await);
    let published = format!("select count(*) from templates where database_name = '{}'", name());
    assert_eq!(number_in(&house, &published).await, 1);
    given.upload("a.txt", "words").await;
}

#[tokio::test]
async fn a_template_that_somebody_dropped_is_made_again() {
    let _alone = alone().await;
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    make(&house, &organization, "first").await;
    drop_template().await;
    let second = make(&house, &organization, "second").await;
    assert!(template_is_whole().await);
    assert_eq!(named_after(second).await, (1, 1));
}

#[tokio::test]
async fn what_a_dead_maker_left_is_dropped_by_the_next() {
    let _alone = alone().await;
    drop_template().await;
    superuser("create database rowhouse_making_template_v9_00 owner rowhouse_owner").await;
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    make(&house, &organization, "acme").await;
    assert_eq!(number("select count(*) from pg_database where datname like 'rowhouse_making_template_%'").await, 0);
    assert!(template_is_whole().await);
}

#[tokio::test]
async fn houses_that_start_together_make_one_template() {
    let _alone = alone().await;
    drop_template().await;
    let houses = futures::future::join_all((0..3).map(|_| TestHouse::start())).await;
    let work = houses.iter().map(|house| async move {
        let organization = house.organization().await;
        make(house, &organization, "acme").await
    });
    for tenant in futures::future::join_all(work).await {
        assert_eq!(named_after(tenant).await, (1, 1));
    }
    assert!(template_is_whole().await);
}

/// As an `accessexclusivelock` of somebody's: PostgreSQL gives a clone five seconds, then refuses it (55006).
#[tokio::test]
async fn a_busy_template_is_waited_for() {
    let _alone = alone().await;
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    make(&house, &organization, "first").await;
    superuser(&format!("alter database {} allow_connections true", name())).await;
    let visitor = TestCluster::get().admin(&name()).await;
    superuser(&format!("alter database {} allow_connections false", name())).await;
    let operation = wish(&house, &organization, "second").await;
    eventually("a clone was refused", async || {
        let now = house.admin.get(&operation).await.expect(200).json();
        now["steps"].as_array().unwrap().iter().any(|step| step["state"] == "failed")
            || now["attempts"].as_i64().unwrap() > 1
    })
    .await;
    drop(visitor);
    eventually("the tenant is made after all", async || {
        house.admin.get(&operation).await.expect(200).json()["state"] == "succeeded"
    })
    .await;
}

#[tokio::test]
async fn a_database_that_only_has_a_templates_name_is_not_cloned() {
    let _alone = alone().await;
    drop_template().await;
    superuser(&format!("create database {} owner rowhouse_owner", name())).await;
    let house = TestHouse::start_with(|settings| settings.provisioning.max_attempts = 1).await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    house.admin.post(&path, &json!({"name": "acme"})).await.problem(503, "provisioning_failed");
    superuser(&format!("drop database {} with (force)", name())).await;
    let listed = house.admin.get(&path).await.expect(200).json();
    let tenant = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let _ = house.admin.post(&format!("/v1/tenants/{tenant}/resume"), &json!({})).await;
    eventually("it is made once the name is free", async || {
        house.admin.get(&format!("/v1/tenants/{tenant}")).await.expect(200).json()["status"] == "active"
    })
    .await;
    tokio::time::timeout(Duration::from_secs(60), template_is_whole()).await.unwrap();
    assert!(template_is_whole().await);
}
