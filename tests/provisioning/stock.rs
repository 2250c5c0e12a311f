//! Databases that are made ahead: used, filled up again, and never left lying about.

use rowhouse_domain::TenantId;
use rowhouse_migrations::Set;
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::json;
use uuid::Uuid;

use super::{alone, eventually, make, named_after, number, number_in, superuser, wish};

const READY: &str = "select count(*) from stock_databases where is_ready and not is_taken";

async fn stocked(size: usize) -> TestHouse {
    let house = TestHouse::start_with(|settings| settings.provisioning.stock = size).await;
    full(&house, size).await;
    house
}

async fn full(house: &TestHouse, size: usize) {
    let size = i64::try_from(size).unwrap();
    eventually("the stock is full", async || number_in(house, READY).await == size).await;
}

/// What waits in the stock: its id and its database.
async fn waiting(house: &TestHouse) -> Vec<(TenantId, String)> {
    let rows = house.rows("select id, database_name from stock_databases where not is_taken order by id").await;
    rows.iter().map(|row| (TenantId::from_uuid(row.try_get::<_, Uuid>(0).unwrap()), row.try_get(1).unwrap())).collect()
}

async fn oid_of(database: &str) -> i64 {
    number(&format!("select oid::bigint from pg_database where datname = '{database}'")).await
}

/// Takes the lead away from the house for as long as the connection is open: nothing is kept or reaped meanwhile.
async fn depose(house: &TestHouse) -> rowhouse_database::AdminConnection {
    let usurper = TestCluster::get().admin(&house.platform).await;
    let lead = "select pg_try_advisory_lock(hashtextextended('rowhouse.leader', 0))";
    let end = "select count(pg_terminate_backend(pid)) from pg_locks
        where locktype = 'advisory' and granted and pid <> pg_backend_pid()
            and database = (select oid from pg_database where datname = current_database())";
    eventually("the lead is taken", async || {
        usurper.query(end, &[]).await.unwrap();
        usurper.query(lead, &[]).await.unwrap()[0].try_get(0).unwrap()
    })
    .await;
    // Whoever led looks every two seconds whether it still does.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    usurper
}

#[tokio::test]
async fn a_tenant_gets_a_database_of_the_stock_and_another_one_takes_its_place() {
    let _alone = alone().await;
    let house = stocked(2).await;
    let before = waiting(&house).await;
    let oids = [oid_of(&before[0].1).await, oid_of(&before[1].1).await];
    let given = house.tenant().await;
    let tenant: TenantId = given.tenant.parse().unwrap();
    assert!(before.iter().any(|(id, _)| *id == tenant), "the tenant has the id that its database was made for");
    let database: String = house.rows("select database_name from tenants").await[0].try_get(0).unwrap();
    assert!(database.starts_with("tenant_acme_"), "{database}");
    assert!(oids.contains(&oid_of(&database).await));
    assert_eq!(named_after(tenant).await, (1, 1), "nothing is left under the old name");
    given.upload("a.txt", "words").await;
    full(&house, 2).await;
    eventually("used stock is forgotten", async || {
        number_in(&house, "select count(*) from stock_databases where is_taken").await == 0
    })
    .await;
}

#[tokio::test]
async fn nobody_can_log_in_to_what_waits() {
    let _alone = alone().await;
    let house = stocked(1).await;
    let (_, database) = waiting(&house).await.remove(0);
    let open = format!(
        "select (select count(*) from pg_database where datname = '{database}' and datallowconn)
            + (select count(*) from pg_roles where rolname = '{database}' and rolcanlogin)
            + (select count(*) from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
               where datname = '{database}' and grantee = 0)"
    );
    assert_eq!(number(&open).await, 0);
}

#[tokio::test]
async fn a_refused_request_takes_nothing() {
    let _alone = alone().await;
    let house = stocked(1).await;
    let organization = house.organization().await;
    make(&house, &organization, "acme").await;
    full(&house, 1).await;
    let before = waiting(&house).await;
    let path = format!("/v1/organizations/{organization}/tenants");
    house.admin.post(&path, &json!({"name": "acme"})).await.problem(409, "tenant_name_taken");
    assert_eq!(waiting(&house).await, before);
}

#[tokio::test]
async fn stock_of_another_version_is_dropped_and_made_again() {
    let _alone = alone().await;
    let house = stocked(2).await;
    let before = waiting(&house).await;
    house.sql("update stock_databases set schema_version = schema_version + 1").await;
    for (id, _) in &before {
        eventually("what is of another version is gone", async || named_after(*id).await == (0, 0)).await;
    }
    full(&house, 2).await;
    assert!(waiting(&house).await.iter().all(|stocked| !before.contains(stocked)));
}

#[tokio::test]
async fn after_a_run_back_nothing_of_the_newer_stock_is_taken_and_it_is_made_again_where_the_run_went() {
    let _alone = alone().await;
    let house = stocked(1).await;
    let organization = house.organization().await;
    let before = waiting(&house).await.remove(0);
    let older = Set::Tenant.latest() - 1;
    let deposed = depose(&house).await;
    let run = house
        .admin
        .post("/v1/migration-runs", &json!({"direction": "down", "to": older, "ignore_served_versions": true}))
        .await
        .expect(201);
    let path = run.header("location").to_owned();
    eventually("the run is done", async || house.admin.get(&path).await.expect(200).json()["state"] == "done").await;
    let version = async |tenant: TenantId| {
        let of_row = format!("select schema_version::bigint from tenants where id = '{}'", tenant.as_uuid());
        let database =
            house.rows(&format!("select database_name from tenants where id = '{}'", tenant.as_uuid())).await;
        let inside = TestCluster::get().admin(database[0].try_get(0).unwrap()).await;
        let of_history = "select max(version)::bigint from refinery_schema_history";
        let found: i64 = inside.query(of_history, &[]).await.unwrap()[0].try_get(0).unwrap();
        assert_eq!(number_in(&house, &of_row).await, found);
        found
    };
    let first = make(&house, &organization, "first").await;
    assert!(first != before.0, "what waits is newer than the fleet");
    assert_eq!(version(first).await, i64::from(older));
    drop(deposed);
    eventually("the stock is of that version", async || waiting(&house).await.iter().all(|(id, _)| *id != before.0))
        .await;
    full(&house, 1).await;
    let waiting = waiting(&house).await.remove(0);
    assert_eq!(make(&house, &organization, "second").await, waiting.0);
    assert_eq!(version(waiting.0).await, i64::from(older));
}

#[tokio::test]
async fn stock_whose_database_vanished_is_made_again() {
    let _alone = alone().await;
    let house = stocked(1).await;
    let (id, database) = waiting(&house).await.remove(0);
    superuser(&format!("drop database {database} with (force)")).await;
    eventually("another one has its place", async || waiting(&house).await.iter().all(|(other, _)| *other != id)).await;
    full(&house, 1).await;
    assert_eq!(named_after(id).await, (0, 0), "its login is gone, too");
}

/// The database goes between the leader's last look and the tenant.
#[tokio::test]
async fn a_tenant_whose_stock_vanished_is_made_the_long_way() {
    let _alone = alone().await;
    let house = stocked(1).await;
    let organization = house.organization().await;
    let deposed = depose(&house).await;
    let (id, database) = waiting(&house).await.remove(0);
    superuser(&format!("drop database {database} with (force)")).await;
    assert_eq!(make(&house, &organization, "acme").await, id);
    assert_eq!(named_after(id).await, (1, 1));
    drop(deposed);
    full(&house, 1).await;
}

#[tokio::test]
async fn what_a_dead_maker_left_unfinished_is_dropped() {
    let _alone = alone().await;
    let house = stocked(1).await;
    let id = TenantId::new();
    let name = format!("rowhouse_stock_v1_{}", id.as_uuid().simple());
    superuser(&format!("create role {name} in role tenant_app")).await;
    superuser(&format!("create database {name} owner rowhouse_owner allow_connections false")).await;
    house
        .sql(&format!(
            "insert into stock_databases (id, cluster_id, database_name, schema_version, updated_at)
             select '{}', id, '{name}', 1, now() - interval '1 hour' from clusters",
            id.as_uuid()
        ))
        .await;
    eventually("the rest is gone", async || named_after(id).await == (0, 0)).await;
    eventually("and forgotten", async || number_in(&house, "select count(*) from stock_databases").await == 1).await;
}

#[tokio::test]
async fn attempts_that_fail_do_not_pile_up() {
    let _alone = alone().await;
    let house = TestHouse::start_with(|settings| {
        settings.provisioning.stock = 2;
        // PostgreSQL refuses it.
        settings.provisioning.connection_limit = -5;
    })
    .await;
    let recorded = "select count(*) from stock_databases";
    eventually("it was tried", async || number_in(&house, recorded).await > 0).await;
    // As long as several further attempts would take.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(number_in(&house, recorded).await <= 2);
    assert_eq!(number_in(&house, READY).await, 0);
}

/// It never got the tenant's names, under which a purge would look for it.
#[tokio::test]
async fn what_a_tenant_took_and_was_deleted_before_it_got_it_is_dropped() {
    let _alone = alone().await;
    let house = TestHouse::start_with(|settings| {
        settings.provisioning.stock = 1;
        // Operations are recorded, and carried out by nobody.
        settings.provisioning.parallel = 0;
    })
    .await;
    full(&house, 1).await;
    let (id, _) = waiting(&house).await.remove(0);
    let organization = house.organization().await;
    let _ = wish(&house, &organization, "acme").await;
    assert_eq!(named_after(id).await, (1, 1));
    let request = house.admin.request(reqwest::Method::DELETE, &format!("/v1/tenants/{id}")).header("prefer", "wait=0");
    let answer = rowhouse_testkit::Answer::of(request).await;
    assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.bytes));
    eventually("what it took is gone", async || named_after(id).await == (0, 0)).await;
}

#[tokio::test]
async fn with_no_stock_left_and_many_wishes_every_tenant_arrives() {
    let _alone = alone().await;
    let house = stocked(2).await;
    let before = named_as_stock().await;
    let organization = house.organization().await;
    let _ =
        house.admin.patch(&format!("/v1/organizations/{organization}"), &json!({"max_tenants": 20})).await.expect(200);
    let (house, organization) = (&house, organization.as_str());
    let work = (0..20).map(|number| async move { make(house, organization, &format!("tenant {number}")).await });
    for tenant in futures::future::join_all(work).await {
        assert_eq!(named_after(tenant).await, (1, 1));
    }
    full(house, 2).await;
    // Houses of other tests may have left theirs; this one's are new.
    let waiting: Vec<String> = waiting(house).await.into_iter().map(|(_, database)| database).collect();
    let stray: Vec<String> =
        named_as_stock().await.into_iter().filter(|name| !before.contains(name) && !waiting.contains(name)).collect();
    assert_eq!(stray, Vec::<String>::new());
}

async fn named_as_stock() -> Vec<String> {
    let names = "select datname::text from pg_database where datname like 'rowhouse_stock_%'
        union select rolname::text from pg_roles where rolname like 'rowhouse_stock_%'";
    let rows = TestCluster::get().admin("postgres").await.query(names, &[]).await.unwrap();
    rows.iter().map(|row| row.try_get(0).unwrap()).collect()
}

/// As after a crash between the new names and their record.
#[tokio::test]
async fn a_tenant_that_has_its_database_already_is_looked_at_from_inside() {
    let _alone = alone().await;
    let house = stocked(1).await;
    let deposed = depose(&house).await;
    let given = house.tenant().await;
    let again = "update tenants set status = 'provisioning';
        update operation_steps set state = 'pending', started_at = null, finished_at = null;
        update operations set state = 'queued', attempts = 0, run_at = now(), finished_at = null, locked_by = null,
            locked_until = null";
    house.sql(again).await;
    let ready = "select count(*) from tenants where status = 'active'";
    eventually("it is made again", async || number_in(&house, ready).await == 1).await;
    let tenant: TenantId = given.tenant.parse().unwrap();
    assert_eq!(named_after(tenant).await, (1, 1));
    // What is not the tenant's own is not served: the mark inside is another's.
    let database: String = house.rows("select database_name from tenants").await[0].try_get(0).unwrap();
    let inside = TestCluster::get().admin(&database).await;
    inside.run("truncate tenant_identity cascade").await.unwrap();
    house.sql(again).await;
    let refused = "select count(*) from operation_steps where name = 'verify' and error is not null";
    eventually("it is refused", async || number_in(&house, refused).await == 1).await;
    drop(deposed);
}
