//! What brings a schema back that differs from its template: run as it is made, it leaves no difference.

use rowhouse_database::AdminConnection;
use rowhouse_migrations::{Difference, Fingerprint, Repair, Set, difference, repair};
use rowhouse_testkit::{TenantDatabase, TestCluster, group_database, tenant_database};

use crate::support::{as_owner, run};

/// Changes by hand, and how many of the differences that they make are for somebody to decide on.
const CHANGES: [(&str, usize); 30] = [
    ("drop index files_tags_idx", 0),
    ("create index by_hand on files (tenant_id)", 0),
    ("drop index files_tags_idx; create index files_tags_idx on files (name)", 0),
    ("alter table files alter column size drop not null", 0),
    ("alter table files alter column tags drop default", 0),
    ("alter table files alter column name set default 'by hand'", 0),
    ("alter table files disable row level security", 0),
    ("alter table files force row level security", 0),
    ("alter policy tenant_isolation on files using (true)", 0),
    ("alter policy tenant_isolation on files to public", 0),
    ("drop policy tenant_isolation on files", 0),
    ("create policy by_hand on files using (true)", 0),
    ("revoke delete on files from tenant_app", 0),
    ("revoke all on files from tenant_app", 0),
    ("grant select on files to public", 0),
    ("grant update (name) on files to public", 0),
    ("grant execute on function set_updated_at() to public", 0),
    (
        "create or replace function set_updated_at() returns trigger language plpgsql set search_path from current as 'begin return new; end'",
        0,
    ),
    ("alter function app_tenant_id() security definer", 0),
    ("alter function set_updated_at() set search_path = pg_catalog", 0),
    ("alter table files disable trigger files_set_updated_at", 0),
    ("drop trigger files_set_updated_at on files", 0),
    ("alter table files drop constraint files_size_check", 0),
    ("alter table files add constraint by_hand check (size < 5) not valid", 0),
    (
        "alter table files drop constraint files_size_check; alter table files add constraint files_size_check check (size > 5)",
        0,
    ),
    ("alter table files add column by_hand int", 1),
    ("create table by_hand (id int primary key)", 1),
    ("alter table files alter column name type varchar(300)", 1),
    ("create sequence by_hand", 1),
    ("create view by_hand as select id from files", 1),
];

async fn read(connection: &mut AdminConnection, schema: &str) -> Fingerprint {
    rowhouse_migrations::fingerprint(connection.client(), schema).await.unwrap()
}

/// Runs what repairs can be run, those first that others need, and says what is left.
async fn mend(connection: &mut AdminConnection, expected: &Fingerprint, schema: &str) -> Vec<Difference> {
    let found = read(connection, schema).await;
    let differences = difference(expected, &found);
    assert_ne!(differences.len(), 0);
    let repairs: Vec<Repair> = differences.iter().map(|one| repair(expected, schema, one)).collect();
    for one in &repairs {
        if let Repair::Transactional(sql) = one {
            run(connection, &format!("begin; {sql} commit")).await;
        }
    }
    for one in &repairs {
        if let Repair::Outside(sql) = one {
            run(connection, sql).await;
        }
    }
    difference(expected, &read(connection, schema).await)
}

#[tokio::test]
async fn what_is_repaired_is_what_the_template_has() {
    let pristine = tenant_database().await;
    let expected = read(&mut as_owner(&pristine.name, "public").await, "public").await;
    for (change, by_hand) in CHANGES {
        let database = tenant_database().await;
        let mut connection = as_owner(&database.name, "public").await;
        run(&connection, change).await;
        let left = mend(&mut connection, &expected, "public").await;
        let for_somebody =
            left.iter().filter(|one| matches!(repair(&expected, "public", one), Repair::ByHand(_))).count();
        assert_eq!((left.len() >= by_hand, for_somebody >= by_hand), (true, true), "{change}: {left:?}");
        if by_hand == 0 {
            assert_eq!(left, [], "{change}");
        }
    }
}

#[tokio::test]
async fn an_index_that_was_left_invalid_is_built_again() {
    let (pristine, database) = (tenant_database().await, tenant_database().await);
    let expected = read(&mut as_owner(&pristine.name, "public").await, "public").await;
    let admin = TestCluster::get().admin(&database.name).await;
    run(&admin, "update pg_index set indisvalid = false where indexrelid = 'public.files_tags_idx'::regclass").await;
    assert_eq!(mend(&mut as_owner(&database.name, "public").await, &expected, "public").await, []);
}

#[tokio::test]
async fn a_schema_beside_others_is_repaired_where_it_is() {
    let pristine = tenant_database().await;
    let expected = read(&mut as_owner(&pristine.name, "public").await, "public").await;
    let group = group_database().await;
    let (one, other) = (group.admit().await, group.admit().await);
    let mut connection = as_owner(&group.name, &one.name).await;
    run(
        &connection,
        "drop index files_tags_idx; drop policy tenant_isolation on files;
         alter function set_updated_at() set search_path = pg_catalog",
    )
    .await;
    assert_eq!(mend(&mut connection, &expected, &one.name).await, []);
    assert_eq!(difference(&expected, &read(&mut connection, &other.name).await), []);
}

#[tokio::test]
async fn nobody_looks_into_a_schema_that_a_runner_is_in() {
    let database: TenantDatabase = tenant_database().await;
    let mut connection = as_owner(&database.name, "public").await;
    let newest = Set::Tenant.migrations().latest();
    let seen = rowhouse_migrations::inspect(connection.client(), Set::Tenant, "public").await.unwrap().unwrap();
    let plain = read(&mut connection, "public").await;
    assert_eq!((seen.version, &seen.fingerprint), (Some(newest), &plain));
    assert!(seen.server >= 15, "{}", seen.server);
    // A runner that waits for a table has the lock already.
    let occupied = as_owner(&database.name, "public").await;
    run(&occupied, "begin; lock table workspaces in access share mode").await;
    let name = database.name.clone();
    let runner = tokio::spawn(async move {
        let mut connection = as_owner(&name, "public").await;
        let options = rowhouse_migrations::Options::default();
        let unobserved = &rowhouse_migrations::unobserved;
        rowhouse_migrations::undo_to(connection.client(), Set::Tenant.migrations(), 1, &options, unobserved).await
    });
    let begun = std::time::Instant::now();
    while rowhouse_migrations::inspect(connection.client(), Set::Tenant, "public").await.unwrap().is_some() {
        assert!(begun.elapsed().as_secs() < 20, "the runner has not begun");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    drop(occupied);
    let report = runner.await.unwrap().unwrap();
    assert_eq!(report.version, Some(1));
    let seen = rowhouse_migrations::inspect(connection.client(), Set::Tenant, "public").await.unwrap().unwrap();
    assert_eq!(seen.version, Some(1));
}
