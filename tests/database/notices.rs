//! The notices that tell the data plane what of its memory is no longer so: which changes send one, and how they are numbered.

use std::time::Duration;

use rowhouse_database::Listener;
use rowhouse_testkit::{OwnDatabase, TestCluster, platform_database};
use serde_json::Value;

use crate::support::{number, run};

/// An organization with a cluster, two tenants and three keys: two of the first tenant's, one of the second's.
async fn platform() -> OwnDatabase {
    let database = platform_database().await;
    let admin = TestCluster::get().admin(&database.name).await;
    run(
        &admin,
        "insert into clusters (name, host) values ('one', '127.0.0.1');
         insert into organizations (name, display_name, email, api_key_prefix) values ('Acme', 'Acme', 'ops@acme.example', 'acme');
         insert into tenants (organization_id, name) select id, tenant from organizations, (values ('first'), ('second')) new (tenant);
         insert into tenant_api_keys (tenant_id, key_name, key_prefix, key_hash, scopes)
         select tenants.id, 'key', 'acmekey' || number, sha256('x'), '{read_files}'
         from (values (1, 'first'), (2, 'first'), (3, 'second')) new (number, tenant) join tenants on tenants.name = tenant",
    )
    .await;
    database
}

async fn listen(database: &OwnDatabase) -> Listener {
    Listener::open(&TestCluster::get().platform_settings(&database.name), "rowhouse_data", "rowhouse_auth")
        .await
        .unwrap()
}

/// The next notice as number, kind and id.
async fn next(listener: &mut Listener) -> (i64, String, String) {
    let text = tokio::time::timeout(Duration::from_secs(30), listener.next()).await.expect("a notice").unwrap();
    let notice: Value = serde_json::from_str(&text).unwrap();
    let word = |name: &str| notice[name].as_str().unwrap().to_owned();
    (notice["number"].as_i64().unwrap(), word("kind"), word("id"))
}

#[tokio::test]
async fn what_matters_is_told_and_what_does_not_is_not() {
    let database = platform().await;
    let admin = TestCluster::get().admin(&database.name).await;
    let mut listener = listen(&database).await;
    for silent in [
        "update tenant_api_keys set last_used_at = now(), key_name = 'other'",
        "update tenants set used_storage = 1, reserved_storage = 2, used_workspaces = 1, name = name || '!'",
        "update organizations set used_storage = 5, reserved_storage = 1, display_name = 'Acme!'",
        "update clusters set weight = 5, status = 'draining'",
        "insert into organizations (name, display_name, email, api_key_prefix) values ('B', 'B', 'b@acme.example', 'b')",
        // No change at all.
        "update tenants set status = status",
    ] {
        run(&admin, silent).await;
    }
    assert_eq!(number(&admin, "select value from auth_sequence").await, 0);
    let mut expected = 0;
    for (loud, kind, id) in [
        ("update tenant_api_keys set revoked_at = now() where key_prefix = 'acmekey1'", "key", "select 'acmekey1'"),
        (
            "update tenant_api_keys set scopes = '{write_files}' where key_prefix = 'acmekey2'",
            "key",
            "select 'acmekey2'",
        ),
        ("update tenant_api_keys set expires_at = now() where key_prefix = 'acmekey2'", "key", "select 'acmekey2'"),
        ("update tenant_api_keys set key_hash = sha256('y') where key_prefix = 'acmekey2'", "key", "select 'acmekey2'"),
        ("delete from tenant_api_keys where key_prefix = 'acmekey3'", "key", "select 'acmekey3'"),
        (
            "update tenants set status = 'failed' where name like 'first%'",
            "tenant",
            "select id::text from tenants where name like 'first%'",
        ),
        (
            "update tenants set generation = 1 where name like 'first%'",
            "tenant",
            "select id::text from tenants where name like 'first%'",
        ),
        (
            "update tenants set credential_version = 2 where name like 'first%'",
            "tenant",
            "select id::text from tenants where name like 'first%'",
        ),
        (
            "update tenants set schema_version = 6 where name like 'first%'",
            "schema_version",
            "select id::text from tenants where name like 'first%'",
        ),
        (
            "update tenants set rate_per_second = 5, rate_burst = 10 where name like 'first%'",
            "rate_limit",
            "select id::text from tenants where name like 'first%'",
        ),
        (
            "update tenant_api_keys set rate_per_second = 0, rate_burst = 0 where key_prefix = 'acmekey2'",
            "key",
            "select 'acmekey2'",
        ),
        (
            "update organizations set subscription_status = 'suspended' where name = 'Acme'",
            "organization",
            "select id::text from organizations where name = 'Acme'",
        ),
        (
            "update organizations set subscription_tier = 'business' where name = 'Acme'",
            "organization",
            "select id::text from organizations where name = 'Acme'",
        ),
        (
            "update organizations set deleted_at = now() where name = 'Acme'",
            "organization",
            "select id::text from organizations where name = 'Acme'",
        ),
        ("update clusters set port = 5433", "cluster", "select id::text from clusters"),
    ] {
        run(&admin, loud).await;
        expected += 1;
        let id: String = admin.query(id, &[]).await.unwrap()[0].try_get(0).unwrap();
        assert_eq!(next(&mut listener).await, (expected, kind.to_owned(), id), "{loud}");
    }
}

#[tokio::test]
async fn numbers_follow_the_commits_and_leave_no_gap() {
    let database = platform().await;
    let admin = TestCluster::get().admin(&database.name).await;
    let mut listener = listen(&database).await;
    // The first to change is the last to commit: the other neither waits for it nor gets a later number.
    let slow = TestCluster::get().admin(&database.name).await;
    run(&slow, "begin; update tenants set generation = 1 where name = 'first'").await;
    run(&admin, "update tenants set generation = 1 where name = 'second'").await;
    // One that comes to nothing takes no number.
    run(&admin, "begin; update tenants set generation = 2 where name = 'second'; rollback").await;
    run(&slow, "commit").await;
    for (expected, name) in [(1, "second"), (2, "first")] {
        let id =
            admin.query("select id::text from tenants where name = $1", &[&name]).await.unwrap()[0].try_get(0).unwrap();
        assert_eq!(next(&mut listener).await, (expected, "tenant".to_owned(), id));
    }
    // Many at once: nobody hears them in another order than that of their numbers.
    let writers = (0..8).map(|_| async {
        let connection = TestCluster::get().admin(&database.name).await;
        for _ in 0..25 {
            run(&connection, "update tenants set generation = generation + 1 where name = 'first'").await;
        }
    });
    futures::future::join_all(writers).await;
    for expected in 3..203 {
        assert_eq!(next(&mut listener).await.0, expected);
    }
}

#[tokio::test]
async fn one_transaction_over_many_rows_says_once_that_everything_changed() {
    let database = platform().await;
    let admin = TestCluster::get().admin(&database.name).await;
    let mut listener = listen(&database).await;
    run(
        &admin,
        "insert into tenants (organization_id, name) select id, 't' || n from organizations, generate_series(1, 5000) n;
         update tenants set generation = generation + 1",
    )
    .await;
    for expected in 1..=100 {
        assert_eq!(next(&mut listener).await.1, "tenant", "{expected}");
    }
    let last = next(&mut listener).await;
    assert_eq!((last.0, last.1.as_str()), (101, "everything"));
    assert_eq!(number(&admin, "select value from auth_sequence").await, 101);
}
