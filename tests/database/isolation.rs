//! What row-level security refuses, tried as a tenant's login with two tenants' rows in one schema.

use rowhouse_database::AdminConnection;
use rowhouse_testkit::{TenantDatabase, TestCluster, tenant_database};
use uuid::Uuid;

use crate::support::{number, refused, run, texts};

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

/// Gives a tenant a searchable file and folder in a workspace; `owner` acts for whatever tenant is named.
async fn make_searchable(owner: &AdminConnection, tenant: &str, name: &str) {
    run(
        owner,
        &format!(
            "set app.tenant_id = '{tenant}';
             with workspace as (
                 insert into workspaces (name, name_normalized) values ('{name} space', '{name} space') returning id
             ), folder as (
                 insert into folders (workspace_id, name, name_normalized) select id, '{name} folder', '{name} folder' from workspace returning id
             ), blob as (
                 insert into blobs (sha256, size, bucket, object_key) values (sha256('{name}'), 1, 'local', '{name}') returning id, sha256
             ), file as (
                 insert into files (workspace_id, name, name_normalized, size, checksum)
                 select workspace.id, '{name} file', '{name} file', 1, blob.sha256 from workspace, blob returning id
             ), version as (
                 insert into file_versions (file_id, version_number, blob_id, size, checksum)
                 select file.id, 1, blob.id, 1, blob.sha256 from file, blob
             ), passage as (
                 insert into file_embeddings (file_id, model, chunk_index, chunk_text, embedding_vector)
                 select id, 'builtin-hash-384', 0, 'walrus', array_fill(1, array[384])::vector from file
             ), of_file as (
                 insert into file_search (file_id, state, name_text, search_text, content_vector, content_model)
                 select id, 'indexed', 'walrus', 'walrus', array_fill(1, array[384])::vector, 'builtin-hash-384' from file
             ), of_folder as (
                 insert into folder_search (folder_id, name_text, content_vector, content_model)
                 select id, 'walrus', array_fill(1, array[384])::vector, 'builtin-hash-384' from folder
             )
             insert into workspace_search (workspace_id, name_text, content_vector, content_model)
             select id, 'walrus', array_fill(1, array[384])::vector, 'builtin-hash-384' from workspace"
        ),
    )
    .await;
}

const SEARCHES: [&str; 4] = [
    "search_items_text('walrus', null, null, 50)",
    "search_items_fuzzy('walrsu', null, null, 50)",
    "search_items_semantic('walrus', array_fill(1, array[384])::vector, null, null, 50)",
    "search_items_hybrid('walrus', array_fill(1, array[384])::vector, null, null, 50)",
];

#[tokio::test]
async fn the_search_functions_find_the_pinned_tenants_items_only() {
    let (database, neighbour, _) = with_a_neighbour().await;
    let owner = TestCluster::get().admin(&database.name).await;
    run(&owner, "set search_path = public, extensions").await;
    make_searchable(&owner, &neighbour.to_string(), "theirs").await;
    let tenant = database.connect().await;
    for search in SEARCHES {
        let found = texts(&tenant, &format!("select name from {search}")).await;
        assert!(found.is_empty(), "{search} finds a neighbour's {found:?}");
    }
    make_searchable(&owner, &database.tenant.as_uuid().to_string(), "own").await;
    for search in SEARCHES {
        let mut found = texts(&tenant, &format!("select name from {search}")).await;
        found.sort();
        assert_eq!(found, ["own file", "own folder", "own space"], "{search}");
    }
}

#[tokio::test]
async fn functions_that_take_a_tenant_can_not_be_called_by_one() {
    let database = tenant_database().await;
    let owner = TestCluster::get().admin(&database.name).await;
    // Whoever may name the tenant could name another: those parts are for the definer functions alone.
    let open = texts(
        &owner,
        "select proname::text from pg_proc where pronamespace = 'public'::regnamespace
           and 'tenant' = any (proargnames) and has_function_privilege('tenant_app', oid, 'execute')",
    )
    .await;
    assert!(open.is_empty(), "{open:?}");
    let tenant = database.connect().await;
    let call = "select search_rank_text(app_tenant_id(), 'walrus', '{file}', null, 10)";
    assert_eq!(refused(&tenant, call).await.code(), "42501");
}

#[tokio::test]
async fn without_a_pin_there_is_an_error_and_not_everything() {
    let (database, ..) = with_a_neighbour().await;
    let tenant = database.connect().await;
    run(&tenant, "set app.tenant_id = ''").await;
    assert_eq!(refused(&tenant, "select count(*) from workspaces").await.code(), "RH001");
    assert_eq!(refused(&tenant, "select search_items_text('x', null, null, 10)").await.code(), "RH001");
    // Nor after a pin that was a transaction's own.
    run(&tenant, &format!("begin; select set_config('app.tenant_id', '{}', true); commit", Uuid::now_v7())).await;
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
