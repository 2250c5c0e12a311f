//! What the doctor finds, what it repairs, and what it leaves alone.

use rowhouse_domain::{AccountId, OrganizationId, TenantId};
use rowhouse_testkit::{Client, TestCluster, TestHouse};
use serde_json::{Value, json};

/// A house with a tenant of each isolation, and one more of its own that is suspended and one that is deleted.
async fn house() -> TestHouse {
    let house = TestHouse::start_with(|settings| settings.provisioning.stock = 1).await;
    let organization = house.organization().await;
    let path = format!("/v1/organizations/{organization}/tenants");
    for (name, isolation) in
        [("own", "dedicated"), ("part", "schema"), ("rows", "shared"), ("resting", "dedicated"), ("gone", "dedicated")]
    {
        let made = house.admin.post(&path, &json!({"name": name, "isolation": isolation})).await.expect(201).text("id");
        match name {
            "resting" => {
                let _ = house.admin.post(&format!("/v1/tenants/{made}/suspend"), &json!({})).await.expect(200);
            }
            "gone" => {
                let _ = house.admin.delete(&format!("/v1/tenants/{made}")).await.expect(204);
            }
            _ => {}
        }
    }
    house
}

/// What a statement needs to know of the tenant that it damages.
struct Names {
    database: String,
    schema: String,
    role: String,
}

async fn names(house: &TestHouse, tenant: &str) -> Names {
    let rows =
        house.rows(&format!("select database_name, schema_name, role_name from tenants where name = '{tenant}'")).await;
    let text = |column: usize| rows[0].try_get::<_, String>(column).unwrap();
    Names { database: text(0), schema: text(1), role: text(2) }
}

fn checks(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["check"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_healthy_house_has_no_differences() {
    house().await.expect_no_differences().await;
}

/// Each damage by itself: it is found under its name, repaired, and gone.
#[tokio::test]
async fn where_there_is_nothing_nothing_is_called_fine() {
    let house = house().await;
    let stranger = rowhouse_domain::TenantId::new().to_string();
    for (field, value) in [("cluster", "nowhere"), ("cluster", "nul\0"), ("tenant", stranger.as_str())] {
        let body = json!({ field: value });
        let problem = house.admin.post("/v1/doctor", &body).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{value:?}");
    }
}

#[tokio::test]
async fn what_is_safe_is_repaired() {
    let house = house().await;
    let (own, part, rows) = (names(&house, "own").await, names(&house, "part").await, names(&house, "rows").await);
    let resting = names(&house, "resting").await;
    let admin = TestCluster::get().admin("postgres").await;
    let damages = [
        ("database.public", "postgres", format!("grant connect on database {} to public", own.database)),
        ("database.guest", "postgres", format!("grant connect on database {} to {}", own.database, part.role)),
        ("database.grant", "postgres", format!("revoke connect on database {} from {}", own.database, own.role)),
        ("database.connections", "postgres", format!("alter database {} allow_connections false", own.database)),
        ("database.mark", "postgres", format!("comment on database {} is null", own.database)),
        ("role.login", "postgres", format!("alter role {} login", resting.role)),
        ("role.login", "postgres", format!("alter role {} nologin", own.role)),
        ("role.limits", "postgres", format!("alter role {} connection limit 99", own.role)),
        ("role.limits", "postgres", format!("alter role {} reset statement_timeout", own.role)),
        ("role.memberships", "postgres", format!("grant rowhouse_owner to {}", own.role)),
        ("role.pin", "postgres", format!("alter role {} in database {} reset app.tenant_id", own.role, own.database)),
        (
            "role.pin",
            "postgres",
            format!(
                "alter role {} in database {} set app.tenant_id = '00000000-0000-0000-0000-000000000000'",
                rows.role, rows.database
            ),
        ),
        ("schema.public", own.database.as_str(), format!("grant usage on schema {} to public", own.schema)),
        ("schema.guest", part.database.as_str(), format!("grant usage on schema {} to tenant_app", part.schema)),
        ("schema.grant", part.database.as_str(), format!("revoke usage on schema {} from {}", part.schema, part.role)),
        ("table.public", part.database.as_str(), format!("grant select on {}.files to public", part.schema)),
    ];
    for (check, database, damage) in damages {
        let inside = TestCluster::get().admin(database).await;
        inside.run(&damage).await.unwrap_or_else(|error| panic!("{damage}: {error:?}"));
        drop(inside);
        let found = house.differences(false).await;
        assert_eq!(checks(&found), [check], "{damage}: {found:#?}");
        assert!(found[0]["fix"].is_string() && found[0]["fixed"] == false, "{found:#?}");
        let repaired = house.differences(true).await;
        assert_eq!((checks(&repaired), &repaired[0]["fixed"]), (vec![check], &json!(true)), "{repaired:#?}");
        house.expect_no_differences().await;
    }
    for (check, damage) in [
        ("schema.version", "update tenants set schema_version = 1 where name = 'own'"),
        ("organization.workspaces", "update organizations set used_workspaces = 3"),
    ] {
        house.sql(damage).await;
        let found = house.differences(true).await;
        assert_eq!(checks(&found), [check], "{found:#?}");
        house.expect_no_differences().await;
    }
    let audited = house.rows("select count(*) from audit_logs where action = 'operation.repair'").await;
    assert!(audited[0].try_get::<_, i64>(0).unwrap() >= 18);
    drop(admin);
}

#[tokio::test]
async fn a_stuck_tenant_is_made_again() {
    let house = house().await;
    house
        .sql(
            "alter table tenants disable trigger tenants_set_updated_at;
            update tenants set status = 'provisioning', updated_at = now() - interval '1 hour' where name = 'own'",
        )
        .await;
    let found = house.differences(true).await;
    assert_eq!(checks(&found), ["tenant.stuck"], "{found:#?}");
    crate::operational::eventually("it is active again", async || {
        let rows = house.rows("select count(*) from tenants where name = 'own' and status = 'active'").await;
        rows[0].try_get::<_, i64>(0).unwrap() == 1
    })
    .await;
    house.expect_no_differences().await;
}

/// What could be somebody's data is named and left alone, whatever is asked for.
#[tokio::test]
async fn what_may_be_somebodys_data_is_left_alone() {
    let house = house().await;
    let (own, part) = (names(&house, "own").await, names(&house, "part").await);
    let inside = TestCluster::get().admin(&own.database).await;
    inside
        .run("update tenant_identity set tenant_id = gen_random_uuid() where false; delete from tenant_identity")
        .await
        .unwrap();
    inside.run("alter table files disable row level security").await.unwrap();
    drop(inside);
    let admin = TestCluster::get().admin("postgres").await;
    let foreign = format!("comment on database {} is 'somebody else''s'", part.database);
    admin.run(&foreign).await.unwrap();
    // Of another installation: marked with an id that this one has never given.
    let stray = format!("tenant_of_another_{}", uuid::Uuid::now_v7().simple());
    admin.run(&format!("create database {stray} owner rowhouse_owner template rowhouse_base")).await.unwrap();
    let mark = format!("comment on database {stray} is 'rowhouse tenant {}'", uuid::Uuid::now_v7());
    admin.run(&mark).await.unwrap();
    let found = house.differences(true).await;
    assert_eq!(checks(&found), ["database.mark", "identity.missing", "table.policy"], "{found:#?}");
    assert!(found.iter().all(|finding| finding["fixed"] == false), "{found:#?}");
    let there = admin.query("select from pg_database where datname = $1", &[&stray]).await.unwrap();
    assert_eq!(there.len(), 1, "another installation's database is not touched");
    admin.run(&format!("drop database {stray}")).await.unwrap();
}

#[tokio::test]
async fn what_is_missing_and_what_is_left_over_is_named() {
    let house = house().await;
    let own = names(&house, "own").await;
    let admin = TestCluster::get().admin("postgres").await;
    // A tenant that was purged, and whose database and login came back from the dead.
    let id = uuid::Uuid::now_v7();
    house
        .sql(&format!(
            "insert into tenants (id, organization_id, name, status, deleted_at)
             select '{id}', id, 'purged', 'purged', now() from organizations limit 1"
        ))
        .await;
    let ghost = format!("tenant_purged_{}", id.simple());
    for sql in [
        format!("create database {ghost} owner rowhouse_owner template rowhouse_base"),
        format!("comment on database {ghost} is 'rowhouse tenant {id}'"),
        format!("create role {ghost} nologin"),
        format!("comment on role {ghost} is 'rowhouse tenant {id}'"),
        format!("drop database {} with (force)", own.database),
    ] {
        admin.run(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    let found = house.differences(true).await;
    assert_eq!(checks(&found), ["database.missing", "database.orphan", "role.orphan"], "{found:#?}");
    assert_eq!(found[0]["fixed"], false);
    assert!(found[1]["fixed"] == true && found[2]["fixed"] == true, "{found:#?}");
    let left = house.differences(false).await;
    assert_eq!(checks(&left), ["database.missing"], "{left:#?}");
}

/// A row that lost its place is no reason to drop the data.
#[tokio::test]
async fn a_living_tenants_database_is_kept_where_its_row_names_no_place() {
    let house = house().await;
    let gone = names(&house, "gone").await;
    house
        .sql(
            "update tenants set cluster_id = null, database_name = null, schema_name = null, role_name = null
             where name = 'gone'",
        )
        .await;
    let found = house.differences(true).await;
    assert_eq!(checks(&found), ["database.stray"], "{found:#?}");
    let admin = TestCluster::get().admin("postgres").await;
    let there = admin.query("select from pg_database where datname = $1", &[&gone.database]).await.unwrap();
    let login = admin.query("select from pg_roles where rolname = $1", &[&gone.role]).await.unwrap();
    assert_eq!((found[0]["fixed"].as_bool(), there.len(), login.len()), (Some(false), 1, 1));
}

/// Gives the organization an account of its own.
async fn account(house: &TestHouse) -> AccountId {
    let made = house.rows("insert into accounts (organization_id) select id from organizations returning id").await;
    made[0].try_get(0).unwrap()
}

/// A key of a tenant whose uploads are charged to an account.
async fn charging(house: &TestHouse, tenant: &str, account: AccountId) -> Client {
    let rows = house.rows(&format!("select id from tenants where name = '{tenant}'")).await;
    let id: TenantId = rows[0].try_get(0).unwrap();
    let scopes = ["manage_workspaces", "read_files", "write_files"];
    let body = json!({"name": "charging", "scopes": scopes, "account_id": account});
    let made = house.admin.post(&format!("/v1/tenants/{id}/api-keys"), &body).await.expect(201);
    house.data.with_key(&made.text("key"))
}

/// What each level says that it stores, falsified: it is found, repaired, and as it was.
#[tokio::test]
async fn a_wrong_figure_is_found_at_every_level() {
    let house = house().await;
    let shared = account(&house).await;
    for tenant in ["own", "part", "rows"] {
        let data = charging(&house, tenant, shared).await;
        let workspace = data.post("/v1/workspaces", &json!({"name": "w"})).await.expect(201).text("id");
        let _ = data.upload(&format!("/v1/files?workspace_id={workspace}&name=a"), "five!").await.expect(201);
        house
            .sql(&format!("insert into accounts (organization_id, tenant_id) select organization_id, id from tenants where name = '{tenant}'"))
            .await;
    }
    house.expect_used(15).await;
    house.expect_reserved(0).await;
    house.expect_no_differences().await;
    for tenant in ["own", "part", "rows"] {
        let names = names(&house, tenant).await;
        let of_it = format!("where name = '{tenant}'");
        let damages = [
            ("organization.storage", "update organizations set used_storage = used_storage + 5".to_owned()),
            ("organization.reserved", "update organizations set reserved_storage = 3".to_owned()),
            ("tenant.reserved", format!("update tenants set reserved_storage = 3 {of_it}")),
            // Lost at both levels, as by an event that never came.
            (
                "tenant.storage",
                format!(
                    "update tenants set used_storage = 1 {of_it}; update organizations set used_storage = used_storage - 4"
                ),
            ),
            (
                "tenant.workspaces",
                format!(
                    "update tenants set used_workspaces = 3 {of_it}; update organizations set used_workspaces = used_workspaces + 2"
                ),
            ),
            (
                "account.storage",
                format!("update accounts set used_storage = 9 where tenant_id = (select id from tenants {of_it})"),
            ),
            (
                "account.storage",
                "update accounts set used_storage = used_storage + 4 where tenant_id is null".to_owned(),
            ),
            (
                "account.reserved",
                format!("update accounts set reserved_storage = 9 where tenant_id = (select id from tenants {of_it})"),
            ),
            ("account.reserved", "update accounts set reserved_storage = 9 where tenant_id is null".to_owned()),
            ("workspace.storage", String::new()),
        ];
        for (check, damage) in damages {
            if damage.is_empty() {
                let inside = TestCluster::get().admin(&names.database).await;
                let damage = format!(
                    "insert into {0}.workspace_counters (tenant_id, workspace_id, slot, bytes)
                    select tenant_id, id, 3, 7 from {0}.workspaces workspace where used_storage + coalesce((
                        select sum(bytes) from {0}.workspace_counters where workspace_id = workspace.id), 0) = 5
                    on conflict (tenant_id, workspace_id, slot) do update set bytes = workspace_counters.bytes + 7",
                    names.schema
                );
                inside.run(&damage).await.unwrap();
            } else {
                house.sql(&damage).await;
            }
            let found = house.differences(false).await;
            assert_eq!(checks(&found), [check], "{tenant}: {found:#?}");
            let repaired = house.differences(true).await;
            assert_eq!(checks(&repaired), [check], "{tenant}: {repaired:#?}");
            assert_eq!(repaired[0]["fixed"], true, "{tenant}: {repaired:#?}");
            house.expect_no_differences().await;
        }
    }
    for damage in ["update account_shares set used_storage = 6", "delete from account_shares"] {
        house.sql(damage).await;
        let found = house.differences(true).await;
        assert_eq!(checks(&found), ["account.share"; 3], "{found:#?}");
        house.expect_no_differences().await;
    }
    house.expect_used(15).await;
    house.expect_reserved(0).await;
    let sums =
        "select sum(used_storage)::bigint + 1000 * sum(reserved_storage)::bigint from accounts where tenant_id is null";
    house.expect_figure(sums, 15).await;
}

/// What is still to be counted is no difference.
#[tokio::test]
async fn an_event_on_its_way_is_no_difference() {
    let house = house().await;
    let shared = account(&house).await;
    let data = charging(&house, "own", shared).await;
    let workspace = data.post("/v1/workspaces", &json!({"name": "w"})).await.expect(201).text("id");
    house.sql("revoke execute on function usage_record_all from rowhouse_data").await;
    let _ = data.upload(&format!("/v1/files?workspace_id={workspace}&name=a"), "five!").await.expect(201);
    // It is counted with its reservation, before its event.
    let _ = data.post("/v1/workspaces", &json!({"name": "second"})).await.expect(201);
    house.expect_no_differences().await;
    house.sql("grant execute on function usage_record_all to rowhouse_data").await;
    house.expect_used(5).await;
    house.expect_no_differences().await;
}

/// Of whoever is never at rest it is not said that all is well.
#[tokio::test]
async fn who_is_never_quiet_is_named_and_not_called_fine() {
    let house = house().await;
    let shared = account(&house).await;
    let names = names(&house, "own").await;
    let rows = house.rows("select id, organization_id from tenants where name = 'own'").await;
    let (tenant, organization): (TenantId, OrganizationId) = (rows[0].try_get(0).unwrap(), rows[0].try_get(1).unwrap());
    // They are not to be counted before the test ends.
    let come = format!(
        "insert into jobs (tenant_id, kind, run_at, payload)
        select tenant_id, 'usage', now() + interval '1 hour', jsonb_build_object(
            'event_type', 'storage', 'quantity', 0, 'account_id', '{shared}') from tenant_identity"
    );
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (inside, come) = (TestCluster::get().admin(&names.database).await, come.clone());
        busy.spawn(async move {
            loop {
                inside.run(&come).await.unwrap();
            }
        });
    }
    // On a machine that is short of time even these pause now and then for as long as the doctor looks.
    let both = json!([organization.to_string(), tenant.to_string()]);
    let mut named = Value::Null;
    for _ in 0..10 {
        let report = house.examine(&json!({"fix": false})).await;
        assert_eq!(report["findings"], json!([]), "{report:#}");
        named = report["left_out"].clone();
        if named == both {
            return;
        }
    }
    panic!("these were left out: {named:#}");
}
