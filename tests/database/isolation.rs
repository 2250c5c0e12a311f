//! What row-level security refuses, tried as a tenant's login with two tenants' rows in one schema.

use rowhouse_testkit::{TenantDatabase, TestCluster, tenant_database};
use uuid::Uuid;

use crate::support::{number, refused, run};

/// A tenant database into which a second tenant's rows were put, as in the `shared` placement.
async fn with_a_neighbour() -> (TenantDatabase, Uuid, Uuid) {
    let database = tenant_database().await;
    let (neighbour, workspace) = (Uuid::now_v7(), Uuid::now_v7());
    let owner = TestCluster::get().admin(&database.name).await;
    run(
        &owner,
        &format!(
            "set app.tenant_id = '{neighbour}';
             insert into tenant_identity (isolation) values ('shared');
             insert into workspaces (id, name, name_normalized, workspace_path) values ('{workspace}', 'Secret', 'secret', '/Secret')"
        ),
    )
    .await;
    (database, neighbour, workspace)
}

#[tokio::test]
async fn a_neighbours_rows_do_not_exist() {
    let (database, neighbour, workspace) = with_a_neighbour().await;
    let tenant = database.connect().await;
    assert_eq!(number(&tenant, "select count(*) from workspaces").await, 0);
    assert_eq!(number(&tenant, "select count(*) from tenant_identity").await, 1);
    for sql in [
        format!("update workspaces set name = 'mine' where id = '{workspace}' returning 1"),
        format!("delete from workspaces where tenant_id = '{neighbour}' returning 1"),
    ] {
        assert_eq!(tenant.query(&sql, &[]).await.unwrap().len(), 0, "{sql}");
    }
}

#[tokio::test]
async fn rows_can_not_be_put_under_a_neighbours_name() {
    let (database, neighbour, workspace) = with_a_neighbour().await;
    let tenant = database.connect().await;
    let sql = format!(
        "insert into workspaces (tenant_id, name, name_normalized, workspace_path) values ('{neighbour}', 'x', 'x', '/x')"
    );
    assert_eq!(refused(&tenant, &sql).await.code(), "42501");
    // Nor can a row of one's own hang from a neighbour's: the reference carries the tenant.
    let sql = format!("insert into folders (workspace_id, name, name_normalized) values ('{workspace}', 'x', 'x')");
    assert_eq!(refused(&tenant, &sql).await.code(), "23503");
}

#[tokio::test]
async fn without_a_pin_there_is_an_error_and_not_everything() {
    let (database, ..) = with_a_neighbour().await;
    let tenant = database.connect().await;
    run(&tenant, "set app.tenant_id = ''").await;
    assert_eq!(refused(&tenant, "select count(*) from workspaces").await.code(), "RH001");
}

#[tokio::test]
async fn a_tenant_can_not_empty_or_change_tables() {
    let database = tenant_database().await;
    let tenant = database.connect().await;
    for sql in [
        "truncate workspaces",
        "alter table workspaces disable row level security",
        "drop policy tenant_isolation on workspaces",
        "create table mine (id int)",
        "delete from tenant_identity",
        "set role rowhouse_owner",
        "set session authorization rowhouse_control",
    ] {
        let state = refused(&tenant, sql).await;
        assert!(["42501", "42704"].contains(&state.code()), "{sql}: {}", state.code());
    }
}

/// The guard's own proof: with the policies off, the same questions would be answered.
#[tokio::test]
async fn without_the_policies_the_neighbour_would_show() {
    let (database, ..) = with_a_neighbour().await;
    let owner = TestCluster::get().admin(&database.name).await;
    run(&owner, "alter table workspaces disable row level security").await;
    let tenant = database.connect().await;
    assert_eq!(number(&tenant, "select count(*) from workspaces").await, 1);
}
