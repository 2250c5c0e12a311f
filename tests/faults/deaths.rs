//! SIGKILL of the control plane after every single step of create, delete, restore and purge: before the step is recorded,
//! and after.

use serde_json::json;

use crate::house::{LOGIN, PROVISION, PURGE, all_serve, ask, idle_house, moments, organization, reached, wish};

async fn survives_everything(isolation: &str) {
    let house = idle_house().await;
    let organization = organization(&house).await;

    // Each process dies with a tenant that was wished for just before; what earlier ones left may die with it, too.
    let mut tenants = Vec::new();
    for (number, moment) in moments("tenant_provision", &PROVISION).iter().enumerate() {
        tenants.push(wish(&house, &organization, &format!("tenant {number}"), isolation).await);
        house.control_plane_process(&format!("{moment}=return")).dies(moment).await;
    }
    let worker = house.control_plane_process("");
    reached(&house, "active", tenants.len()).await;
    house.expect_no_differences().await;
    all_serve(&house, &tenants).await;
    worker.kill().await;

    // Deleted and restored; a delete has the same steps as a restore.
    let steps = if isolation == "shared" { &LOGIN[..1] } else { &LOGIN[..] };
    for moment in moments("tenant_login", &LOGIN).iter().filter(|moment| steps.iter().any(|step| moment.contains(step)))
    {
        let request = house.admin.request(reqwest::Method::DELETE, &format!("/v1/tenants/{}", tenants[0]));
        let deleted = rowhouse_testkit::Answer::of(request.header("prefer", "respond-async")).await;
        assert!([202, 204].contains(&deleted.status.as_u16()));
        house.control_plane_process(&format!("{moment}=return")).dies(moment).await;
        let _ = ask(&house, &format!("/v1/tenants/{}/restore", tenants[0]), &json!({})).await;
        house.control_plane_process(&format!("{moment}=return")).dies(moment).await;
    }
    let worker = house.control_plane_process("");
    reached(&house, "active", tenants.len()).await;
    house.expect_no_differences().await;

    for tenant in &tenants {
        let deleted = house.admin.delete(&format!("/v1/tenants/{tenant}")).await;
        assert_eq!(deleted.status, 204);
    }
    reached(&house, "deleted", tenants.len()).await;
    worker.kill().await;
    for (tenant, moment) in tenants.iter().zip(moments("tenant_purge", &PURGE)) {
        let name = house.admin.get(&format!("/v1/tenants/{tenant}")).await.expect(200).text("name");
        let _ = ask(&house, &format!("/v1/tenants/{tenant}/purge"), &json!({"name": name})).await;
        house.control_plane_process(&format!("{moment}=return")).dies(&moment).await;
    }
    let worker = house.control_plane_process("");
    reached(&house, "purged", PURGE.len() * 2).await;
    for tenant in &tenants {
        let found = house.admin.get(&format!("/v1/tenants/{tenant}")).await;
        if found.status == 200 {
            let _ = ask(&house, &format!("/v1/tenants/{tenant}/purge"), &json!({"name": found.text("name")})).await;
        }
    }
    reached(&house, "purged", tenants.len()).await;
    house.expect_no_differences().await;
    house.expect_stored_objects(0).await;
    worker.kill().await;
    let left = "
        select (select count(*) from pg_database join tenants on position(replace(tenants.id::text, '-', '') in datname) > 0)
            + (select count(*) from pg_roles join tenants on position(replace(tenants.id::text, '-', '') in rolname) > 0)";
    assert_eq!(house.rows(left).await[0].try_get::<_, i64>(0).unwrap(), 0, "no database and no login is left");
    let bytes = "select sum(used_storage + reserved_storage)::bigint from organizations";
    assert_eq!(house.rows(bytes).await[0].try_get::<_, i64>(0).unwrap(), 0, "nothing counts as stored or reserved");
}

#[tokio::test]
async fn a_tenant_with_a_database_of_its_own_is_whole_or_absent() {
    survives_everything("dedicated").await;
}

#[tokio::test]
async fn a_tenant_with_a_schema_of_its_own_is_whole_or_absent() {
    survives_everything("schema").await;
}

#[tokio::test]
async fn a_tenant_among_others_rows_is_whole_or_absent() {
    survives_everything("shared").await;
}
