//! Tenants that live together: in the tables of a shared database, and in schemas beside each other.

use std::time::Duration;

use rowhouse_database::{ActivePlacement, Columns, Described, Sql, TenantConnection, TenantPools};
use rowhouse_domain::TenantId;
use rowhouse_problem::Code;
use rowhouse_testkit::{SharedDatabase, TestCluster, group_database, shared_database};

use crate::pools::pools;
use crate::support::{number, refused, run, texts};

const WRITE: &str = "insert into workspaces (name, name_normalized) values ($1, $1)";
const READ: &str = "select name from workspaces order by name";

/// Pools with this many connections, all of which one tenant may hold.
fn few(connections: usize) -> TenantPools {
    pools(|settings| {
        settings.cluster_budget = connections;
        settings.per_tenant = connections;
        settings.checkout_timeout = Duration::from_secs(30);
    })
}

/// Asks where the cluster of vectors lies that `embed` makes.
const NEAREST: &str = "select name from search_items_semantic('walrus',
    (array[1]::real[] || array_fill(0::real, array[383]))::vector, '{file}', null, 50)";

async fn borrow(pools: &TenantPools, place: &ActivePlacement) -> TenantConnection {
    pools.checkout(place).await.unwrap_or_else(|error| panic!("{}", error.chain()))
}

async fn names(connection: &impl Sql) -> Vec<String> {
    let rows = connection.query(READ, &[]).await.context("reading").unwrap();
    rows.iter().map(|row| row.column::<String>("name").unwrap()).collect()
}

async fn backend(connection: &impl Sql) -> i32 {
    let row = connection.query_one("select pg_backend_pid() as pid", &[]).await.context("asking").unwrap();
    row.column("pid").unwrap()
}

async fn write(connection: &impl Sql, name: &str) {
    connection.execute(WRITE, &[&name]).await.context("writing").unwrap();
}

/// Has every pin of the database go through a function of the test's: it notes what was pinned before, and fails where told to.
async fn watch_pins(database: &SharedDatabase) {
    let admin = TestCluster::get().admin(&database.name).await;
    let login = &database.name;
    run(
        &admin,
        &format!(
            "create table seen_pins (pin text); create table broken_pins (pin text);
             grant insert on seen_pins to {login}; grant select on broken_pins to {login};
             create function public.set_config(name text, value text, is_local boolean) returns text language plpgsql as $$
             begin
                 insert into public.seen_pins values (pg_catalog.current_setting(name, true));
                 if exists (select from public.broken_pins where pin = value) then
                     raise exception 'this pin fails';
                 end if;
                 return pg_catalog.set_config(name, value, is_local);
             end $$;
             grant execute on function public.set_config(text, text, boolean) to {login};
             alter role {login} in database {login} set search_path = public, extensions, pg_catalog, pg_temp"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_failed_pin_never_lets_its_statement_run() {
    let database = shared_database().await;
    watch_pins(&database).await;
    let pools = few(1);
    let [first, second] = [database.admit().await, database.admit().await].map(|id| database.placement(id, 1));
    write(&borrow(&pools, &first).await, "first").await;
    write(&borrow(&pools, &second).await, "second").await;
    let pid = backend(&borrow(&pools, &first).await).await;

    let admin = TestCluster::get().admin(&database.name).await;
    run(&admin, &format!("insert into broken_pins values ('{}')", second.get().tenant.as_uuid())).await;
    let mut connection = borrow(&pools, &second).await;
    assert!(connection.query(READ, &[]).await.is_err(), "a statement ran without its pin");
    assert!(connection.execute(WRITE, &[&"stray"]).await.is_err(), "a statement ran without its pin");
    assert!(connection.transaction().await.is_err(), "a transaction began without its pin");
    drop(connection);

    // The connection was left clean: others use it, and nothing was written under anybody's name.
    let connection = borrow(&pools, &first).await;
    assert_eq!((backend(&connection).await, names(&connection).await), (pid, vec!["first".to_owned()]));
    assert_eq!(texts(&admin, "select name from workspaces order by 1").await, ["first", "second"]);
}

#[tokio::test]
async fn no_pin_outlives_its_transaction() {
    let database = shared_database().await;
    watch_pins(&database).await;
    let pools = few(2);
    let mut places = Vec::new();
    for _ in 0..6 {
        places.push(database.placement(database.admit().await, 1));
    }
    let uses = (0..60).map(|turn| {
        let (pools, place) = (&pools, &places[turn % places.len()]);
        async move {
            let mut connection = borrow(pools, place).await;
            match turn % 4 {
                0 => assert!(names(&connection).await.len() <= 60),
                1 => write(&connection, &format!("w{turn}")).await,
                2 => {
                    let transaction = connection.transaction().await.unwrap();
                    write(&transaction, &format!("t{turn}")).await;
                    transaction.commit().await.unwrap();
                }
                _ => {
                    let transaction = connection.transaction().await.unwrap();
                    write(&transaction, &format!("r{turn}")).await;
                }
            }
        }
    });
    futures::future::join_all(uses).await;
    let admin = TestCluster::get().admin(&database.name).await;
    assert!(number(&admin, "select count(*) from seen_pins").await > 45, "the pins were not watched");
    let left = texts(&admin, "select pin from seen_pins where pin <> ''").await;
    assert!(left.is_empty(), "{} transactions began with the pin of another one", left.len());
}

#[tokio::test]
async fn an_abandoned_statements_connection_is_destroyed_and_its_share_given_back() {
    let database = shared_database().await;
    let pools = few(1);
    let place = database.placement(database.admit().await, 1);
    let neighbour = database.placement(database.admit().await, 1);
    let mut earlier = backend(&borrow(&pools, &place).await).await;
    for turn in 0..5 {
        let abandoned = async {
            let connection = borrow(&pools, &place).await;
            let _ = connection.query("select pg_sleep(60)::text", &[]).await;
        };
        assert!(tokio::time::timeout(Duration::from_millis(150), abandoned).await.is_err());
        // One connection and one share: whoever comes next waits for both, and must not be the one who is cancelled.
        let next = borrow(&pools, if turn % 2 == 0 { &neighbour } else { &place }).await;
        let rows = next.query("select pg_sleep(0.05)::text", &[]).await.context("sleeping");
        assert!(rows.is_ok(), "a late cancel hit the next borrower");
        let pid = backend(&next).await;
        assert_ne!(pid, earlier, "a connection on which a cancel was sent was lent again");
        earlier = pid;
    }
}

#[tokio::test]
async fn a_failed_statement_leaves_its_connection_usable_and_unpinned() {
    let database = shared_database().await;
    watch_pins(&database).await;
    let pools = few(1);
    let [place, neighbour] = [database.admit().await, database.admit().await].map(|id| database.placement(id, 1));
    let connection = borrow(&pools, &place).await;
    write(&connection, "own").await;
    let pid = backend(&connection).await;
    assert!(connection.execute(WRITE, &[&"own"]).await.is_err(), "the name is taken");
    assert!(connection.query("select 1 / length('')", &[]).await.is_err());
    drop(connection);
    let connection = borrow(&pools, &neighbour).await;
    assert_eq!((backend(&connection).await, names(&connection).await.len()), (pid, 0));
    let admin = TestCluster::get().admin(&database.name).await;
    assert_eq!(number(&admin, "select count(*) from seen_pins where pin <> ''").await, 0);
}

#[tokio::test]
async fn transactions_commit_or_leave_nothing() {
    let database = shared_database().await;
    let pools = few(1);
    let [place, neighbour] = [database.admit().await, database.admit().await].map(|id| database.placement(id, 1));
    let mut connection = borrow(&pools, &place).await;
    let transaction = connection.transaction().await.unwrap();
    write(&transaction, "kept").await;
    transaction.commit().await.unwrap();
    let transaction = connection.transaction().await.unwrap();
    write(&transaction, "dropped").await;
    drop(transaction);
    assert_eq!(names(&connection).await, ["kept"]);
    drop(connection);
    let mut connection = borrow(&pools, &neighbour).await;
    let transaction = connection.transaction().await.unwrap();
    assert!(names(&transaction).await.is_empty(), "a transaction sees a neighbour's rows");
}

#[tokio::test]
async fn a_tenant_that_is_not_in_the_shared_database_is_refused() {
    let database = shared_database().await;
    let pools = few(2);
    let error = pools.checkout(&database.placement(TenantId::new(), 1)).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    // One that was there and is no longer: under a newer generation it is looked for anew, and after it was closed too.
    let moved = database.admit().await;
    drop(borrow(&pools, &database.placement(moved, 1)).await);
    let admin = TestCluster::get().admin(&database.name).await;
    run(&admin, &format!("delete from tenant_identity where tenant_id = '{}'", moved.as_uuid())).await;
    assert!(pools.checkout(&database.placement(moved, 2)).await.is_err(), "a newer generation was not looked at");
    pools.close(moved);
    assert!(pools.checkout(&database.placement(moved, 1)).await.is_err(), "a closed tenant was not looked at");
}

#[tokio::test]
async fn thirty_tenants_on_four_connections_see_their_own_rows_only() {
    let database = shared_database().await;
    let pools = few(4);
    let mut places = Vec::new();
    for _ in 0..30 {
        places.push(database.placement(database.admit().await, 1));
    }
    let tenants = places.iter().enumerate().map(|(number, place)| {
        let pools = &pools;
        async move {
            // A seeded sequence: what fails fails again.
            let mut state = 0x9e37_79b9_u64.wrapping_mul(u64::try_from(number).unwrap() + 1);
            let mut written: Vec<String> = Vec::new();
            for turn in 0..25 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let mut connection = borrow(pools, place).await;
                let name = format!("canary {number:02} {turn:02}");
                match (state >> 33) % 4 {
                    0 => {
                        write(&connection, &name).await;
                        written.push(name);
                    }
                    1 => {
                        let transaction = connection.transaction().await.unwrap();
                        write(&transaction, &name).await;
                        transaction.commit().await.unwrap();
                        written.push(name);
                    }
                    2 => {
                        let transaction = connection.transaction().await.unwrap();
                        write(&transaction, &name).await;
                    }
                    _ => assert_eq!(names(&connection).await, written, "tenant {number} at turn {turn}"),
                }
            }
            assert_eq!(names(&borrow(pools, place).await).await, written, "tenant {number}");
        }
    });
    futures::future::join_all(tenants).await;
    assert!(pools.load().0 <= 4);
}

#[tokio::test]
async fn one_busy_tenant_leaves_connections_to_its_neighbours() {
    let database = shared_database().await;
    let pools = pools(|settings| {
        settings.cluster_budget = 4;
        settings.per_tenant = 2;
        settings.checkout_timeout = Duration::from_secs(20);
    });
    let [busy, quiet] = [database.admit().await, database.admit().await].map(|id| database.placement(id, 1));
    let held = [borrow(&pools, &busy).await, borrow(&pools, &busy).await];
    let mut third = std::pin::pin!(pools.checkout(&busy));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), third.as_mut()).await.is_err(),
        "a tenant holds more than its share"
    );
    write(&borrow(&pools, &quiet).await, "in time").await;
    drop(held);
    assert!(third.await.is_ok(), "a share that was given back is not lent again");
}

/// The guard's own proof: in a shared database the policy is what tells rows apart.
#[tokio::test]
async fn without_the_policy_neighbours_in_a_shared_database_would_show() {
    let database = shared_database().await;
    let pools = few(1);
    let [place, neighbour] = [database.admit().await, database.admit().await].map(|id| database.placement(id, 1));
    write(&borrow(&pools, &place).await, "own").await;
    assert!(names(&borrow(&pools, &neighbour).await).await.is_empty());
    let admin = TestCluster::get().admin(&database.name).await;
    run(&admin, "alter table workspaces disable row level security").await;
    assert_eq!(names(&borrow(&pools, &neighbour).await).await, ["own"]);
}

#[tokio::test]
async fn a_login_reaches_no_other_schema_whatever_it_sets() {
    let group = group_database().await;
    let (own, other) = (group.admit().await, group.admit().await);
    let pools = few(2);
    write(&borrow(&pools, &own.placement()).await, "own").await;
    write(&borrow(&pools, &other.placement()).await, "other").await;
    let login = own.connect().await;
    assert_eq!(texts(&login, READ).await, ["own"]);
    run(&login, &format!("set app.tenant_id = '{}'", other.tenant.as_uuid())).await;
    assert!(texts(&login, READ).await.is_empty(), "its schema holds another's rows");
    assert_eq!(refused(&login, &format!("select name from {}.workspaces", other.name)).await.code(), "42501");
    run(&login, &format!("set search_path = {}, extensions", other.name)).await;
    // A schema that may not be used is passed over as if it were not there.
    assert_eq!(refused(&login, READ).await.code(), "42P01");
    assert_eq!(refused(&login, "create schema mine").await.code(), "42501");
    assert_eq!(refused(&login, "create table public.mine (id int)").await.code(), "42501");
}

#[tokio::test]
async fn a_login_led_to_another_schema_is_refused() {
    let group = group_database().await;
    let tenant = group.admit().await;
    let admin = TestCluster::get().admin(&group.name).await;
    // As an older copy of the tenant's would be: the same identity in another schema that the login may use.
    run(
        &admin,
        &format!(
            "create schema older; create table older.tenant_identity as table {name}.tenant_identity;
             grant usage on schema older to {name}; grant select on older.tenant_identity to {name};
             alter role {name} in database {database} set search_path = older, extensions, pg_temp",
            name = tenant.name,
            database = group.name,
        ),
    )
    .await;
    let error = few(1).checkout(&tenant.placement()).await.err().expect("a connection to another schema was lent");
    assert!(error.chain().contains("schema is"), "{}", error.chain());
}

#[tokio::test]
async fn dropping_a_schema_leaves_its_neighbours_whole() {
    let group = group_database().await;
    let (leaving, staying) = (group.admit().await, group.admit().await);
    let pools = few(2);
    write(&borrow(&pools, &staying.placement()).await, "walrus").await;
    let admin = TestCluster::get().admin(&group.name).await;
    let extensions = "select count(*) from pg_extension where extnamespace = 'extensions'::regnamespace";
    let before = number(&admin, extensions).await;
    run(&admin, &format!("drop schema {} cascade", leaving.name)).await;
    assert_eq!((number(&admin, extensions).await, before), (before, 4));
    let login = staying.connect().await;
    run(
        &login,
        "insert into workspace_search (workspace_id, name_text, content_vector, content_model)
         select id, name, array_fill(1, array[384])::vector, 'builtin-hash-384' from workspaces",
    )
    .await;
    for search in [
        "search_items_text('walrus', null, null, 10)",
        "search_items_fuzzy('walrsu', null, null, 10)",
        "search_items_semantic('walrus', array_fill(1, array[384])::vector, null, null, 10)",
    ] {
        assert_eq!(texts(&login, &format!("select name from {search}")).await, ["walrus"], "{search}");
    }
    assert_eq!(names(&borrow(&pools, &staying.placement()).await).await, ["walrus"]);
}

/// A file with vectors: `chunks` of them, near the first axis, each a little off it.
async fn embed(admin: &rowhouse_database::AdminConnection, tenant: TenantId, files: u32, chunks: u32) {
    run(
        admin,
        &format!(
            "set search_path = public, extensions; set app.tenant_id = '{tenant}';
             with workspace as (insert into workspaces (name, name_normalized) values ('w', 'w') returning id),
             blob as (
                 insert into blobs (sha256, size, bucket, object_key) values (sha256('x'), 1, 'local', '{tenant}') returning id, sha256),
             file as (
                 insert into files (workspace_id, name, name_normalized, size, checksum)
                 select workspace.id, 'file ' || n, 'file ' || n, 1, sha256('x') from workspace, generate_series(1, {files}) n
                 returning id, name),
             version as (
                 insert into file_versions (file_id, version_number, blob_id, size, checksum)
                 select file.id, 1, blob.id, 1, blob.sha256 from file, blob)
             insert into file_embeddings (file_id, model, chunk_index, chunk_text, embedding_vector)
             select file.id, 'builtin-hash-384', n, 'walrus',
                 (array[1, 0.0001 * n + 0.01 * length(name)]::real[] || array_fill(0::real, array[382]))::vector
             from file, generate_series(1, {chunks}) n",
            tenant = tenant.as_uuid(),
        ),
    )
    .await;
}

#[tokio::test]
async fn a_small_tenant_beside_a_large_one_finds_all_of_its_nearest() {
    let database = shared_database().await;
    let [small, large] = [database.admit().await, database.admit().await];
    let admin = TestCluster::get().admin(&database.name).await;
    // Building the index anew is quicker than filling it row by row.
    run(&admin, "set maintenance_work_mem = '512MB'; drop index file_embeddings_builtin_hash_384_idx").await;
    embed(&admin, large, 25, 1_000).await;
    embed(&admin, small, 15, 1).await;
    run(
        &admin,
        "create index file_embeddings_builtin_hash_384_idx on file_embeddings
             using hnsw ((embedding_vector::vector(384)) vector_cosine_ops) with (m = 4, ef_construction = 16)
             where model = 'builtin-hash-384';
         analyze file_embeddings",
    )
    .await;
    let pools = few(1);
    // The query lies where the large tenant's cluster does, and all of the small one's are hits.
    for (tenant, files) in [(small, 15), (large, 25)] {
        let connection = borrow(&pools, &database.placement(tenant, 1)).await;
        let rows = connection.query(NEAREST, &[]).await.context("searching").unwrap();
        assert_eq!(rows.len(), files, "some of the nearest were not found");
    }
}
