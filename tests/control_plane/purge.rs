//! Removing a tenant for good is hard to do by mistake.

use reqwest::Method;
use rowhouse_domain::{AccountId, TenantId};
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::json;

use crate::operational::eventually;

async fn deleted(house: &TestHouse) -> Given {
    let given = house.tenant().await;
    given.upload("a.txt", "words").await;
    // What a tenant has used is told while it is there.
    let untold = "select count(*) from jobs where kind = 'usage' and state in ('queued', 'running')";
    eventually("its usage is told", async || {
        house.tenant_rows(&given, untold).await[0].try_get::<_, i64>(0).unwrap() == 0
    })
    .await;
    let _ = house.admin.delete(&format!("/v1/tenants/{}", given.tenant)).await.expect(204);
    given
}

fn path(given: &Given) -> String {
    format!("/v1/tenants/{}/purge", given.tenant)
}

#[tokio::test]
async fn only_a_deleted_tenant_whose_name_is_repeated_is_purged() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let purge = path(&given);
    house.admin.post(&purge, &json!({"name": "acme"})).await.problem(409, "invalid_transition");
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let _ = house.admin.delete(&tenant).await.expect(204);
    house.admin.delete(&tenant).await.problem(404, "not_found");
    house.admin.post(&purge, &json!({"name": "acm"})).await.problem(422, "invalid_request");
    house.admin.post(&purge, &json!({})).await.problem(422, "invalid_request");
    house
        .admin
        .post(&format!("/v1/tenants/{}/purge", given.organization), &json!({"name": "acme"}))
        .await
        .problem(400, "malformed_id");
    let organization = house.organization_key(&given.organization, &["manage_tenants"]).await;
    organization.post(&purge, &json!({"name": "acme"})).await.problem(401, "wrong_key_kind");
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let house = TestHouse::start().await;
    let given = deleted(&house).await;
    let answer = house.admin.post(&path(&given), &json!({"name": "acme", "dry_run": true})).await.expect(200).json();
    assert_eq!(
        (&answer["objects"], &answer["object_bytes"], &answer["api_keys"]),
        (&json!(1), &json!(5), &json!(1)),
        "{answer}"
    );
    assert!(answer["database"].is_string() && answer["database_bytes"].as_i64() > Some(0), "{answer}");
    let _ = house.admin.post(&format!("/v1/tenants/{}/restore", given.tenant), &json!({})).await.expect(200);
    let _ = given.data.get("/v1/workspaces").await.expect(200);
}

#[tokio::test]
async fn nothing_but_a_tombstone_and_the_records_is_left() {
    let house = TestHouse::start().await;
    let given = deleted(&house).await;
    let purge = path(&given);
    house.expect_used(5).await;
    // Two at once, while somebody is still looking into the database: one purge.
    let body = json!({"name": "acme"});
    let (one, other) = tokio::join!(house.admin.post(&purge, &body), house.admin.post(&purge, &body));
    for answer in [one, other] {
        assert!([204, 410].contains(&answer.status.as_u16()), "{}", answer.status);
    }
    house.admin.get(&format!("/v1/tenants/{}", given.tenant)).await.problem(410, "gone");
    house.admin.post(&format!("/v1/tenants/{}/restore", given.tenant), &json!({})).await.problem(410, "gone");
    house.admin.post(&purge, &json!({"name": "acme"})).await.problem(410, "gone");
    given.data.get("/v1/workspaces").await.problem(401, "revoked_key");
    house.expect_no_differences().await;
    house.expect_stored_objects(0).await;
    house.expect_used(0).await;
    for (table, at_least) in [("operations", 3), ("audit_logs", 4), ("tenant_usage_logs", 1)] {
        let rows = house.rows(&format!("select count(*) from {table} where tenant_id is not null")).await;
        assert!(rows[0].try_get::<_, i64>(0).unwrap() >= at_least, "{table} is kept");
    }
    let tenants = format!("/v1/organizations/{}/tenants", given.organization);
    let _ = house.admin.post(&tenants, &body).await.expect(201);
}

/// Two tenants charge their organization's own account: what a purged one has there goes with it, once, however often the purge
/// runs, and what the other has stays.
#[tokio::test]
async fn an_organizations_account_keeps_only_what_the_others_have_charged() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let made = house.rows("insert into accounts (organization_id) select id from organizations returning id").await;
    let account: AccountId = made[0].try_get(0).unwrap();
    let mut tenants = Vec::new();
    for (name, bytes) in [("going", 300), ("staying", 50)] {
        let path = format!("/v1/organizations/{organization}/tenants");
        let tenant = house.admin.post(&path, &json!({"name": name})).await.expect(201).text("id");
        let scopes = ["manage_workspaces", "read_files", "write_files"];
        let body = json!({"name": "charging", "scopes": scopes, "account_id": account});
        let key = house.admin.post(&format!("/v1/tenants/{tenant}/api-keys"), &body).await.expect(201).text("key");
        let data = house.data.with_key(&key);
        let workspace = data.post("/v1/workspaces", &json!({"name": "w"})).await.expect(201).text("id");
        let _ = data.upload(&format!("/v1/files?workspace_id={workspace}&name=a"), vec![7; bytes]).await.expect(201);
        tenants.push(tenant);
    }
    house.expect_used(350).await;
    house.expect_reserved(0).await;
    for (tenant, bytes) in tenants.iter().zip([30, 4]) {
        let (tenant, account) = (tenant.parse::<TenantId>().unwrap().as_uuid(), account.as_uuid());
        let reserve = format!("select quota_reserve(gen_random_uuid(), '{tenant}', {bytes}, '1 hour', '{account}')");
        house.sql(&reserve).await;
    }
    let figures = "select used_storage * 1000 + reserved_storage from accounts";
    house.expect_figure(figures, 350_034).await;

    let going = format!("/v1/tenants/{}", tenants[0]);
    let _ = house.admin.delete(&going).await.expect(204);
    let _ = house.admin.post(&format!("{going}/purge"), &json!({"name": "going"})).await.expect(204);
    house.expect_figure(figures, 50_004).await;
    house.expect_no_differences().await;

    // As after a death before the end was recorded.
    house
        .sql(
            "update tenants set status = 'deleted' where name = 'going';
             with purge as (
                 update operations set state = 'queued', attempts = 0, run_at = now(), finished_at = null, result = '{}',
                     locked_by = null, locked_until = null where kind = 'tenant_purge' returning id)
             update operation_steps set state = 'pending', started_at = null, finished_at = null
             from purge where operation_id = purge.id",
        )
        .await;
    eventually("it is gone again", async || house.admin.get(&going).await.status == 410).await;
    house.expect_figure(figures, 50_004).await;
    house.expect_no_differences().await;
}

#[tokio::test]
async fn an_hour_sees_so_many_purges_and_no_more_unless_forced() {
    let house = TestHouse::start_with(|settings| settings.purge.max_per_hour = 1).await;
    let (one, two, three) = (deleted(&house).await, deleted(&house).await, deleted(&house).await);
    let _ = house.admin.post(&path(&one), &json!({"name": "acme"})).await.expect(204);
    let refused = house.admin.post(&path(&two), &json!({"name": "acme"})).await;
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 3000);
    refused.problem(429, "purge_limit");
    let _ = house.admin.post(&path(&two), &json!({"name": "acme", "force": true})).await.expect(204);
    // Nor does what is overdue go past it.
    house.sql("update tenants set purge_after = deleted_at where status = 'deleted'").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let _ = house.admin.get(&format!("/v1/tenants/{}", three.tenant)).await.expect(200);
}

#[tokio::test]
async fn what_is_overdue_goes_by_itself() {
    let house = TestHouse::start_with(|settings| settings.tenancy.retention_days = 0).await;
    let given = deleted(&house).await;
    eventually("the tenant is gone", async || {
        house.admin.get(&format!("/v1/tenants/{}", given.tenant)).await.status == 410
    })
    .await;
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_restore_is_refused_where_it_can_not_be() {
    let house = TestHouse::start().await;
    let given = deleted(&house).await;
    let restore = format!("/v1/tenants/{}/restore", given.tenant);
    let organization = house.organization_key(&given.organization, &["manage_tenants"]).await;
    // What the platform deleted is not its organization's to bring back.
    organization.post(&restore, &json!({})).await.problem(409, "invalid_transition");
    let tenants = format!("/v1/organizations/{}/tenants", given.organization);
    let _ = house.admin.post(&tenants, &json!({"name": "acme"})).await.expect(201);
    house.admin.post(&restore, &json!({})).await.problem(409, "tenant_name_taken");
    let asked = house.admin.request(Method::POST, &restore).header("if-match", "\"nonsense\"");
    assert!(Answer::of(asked).await.status.is_client_error());
}
