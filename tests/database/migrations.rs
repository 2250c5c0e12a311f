//! Applying, applying twice, applying beside each other, undoing.

use rowhouse_migrations::{Divergence, Error, Options, Set, unobserved};
use rowhouse_testkit::{TestCluster, tenant_database};
use uuid::Uuid;

use crate::support::{as_owner, empty_database, number, run, texts};

#[tokio::test]
async fn one_set_serves_two_schemas_of_one_database() {
    let database = empty_database("rowhouse_base").await;
    let admin = TestCluster::get().admin(&database.name).await;
    let tenants = [("tenant_one", Uuid::now_v7()), ("tenant_two", Uuid::now_v7())];
    for (schema, tenant) in tenants {
        run(&admin, &format!("create schema {schema} authorization rowhouse_owner")).await;
        let mut connection = as_owner(&database.name, schema).await;
        rowhouse_migrations::run(connection.client(), Set::Tenant.migrations(), &Options::default(), &unobserved)
            .await
            .unwrap();
        run(
            &connection,
            &format!(
                "set app.tenant_id = '{tenant}'; insert into tenant_identity (isolation) values ('schema');
                 insert into workspaces (name, name_normalized, workspace_path) values ('{schema}', '{schema}', '/{schema}')"
            ),
        )
        .await;
    }
    // Whatever a function or constraint of one schema refers to lies in it or in `extensions`.
    let strays = texts(
        &admin,
        "select proname::text from pg_proc, unnest(proconfig) setting
         where pronamespace = 'tenant_one'::regnamespace and setting like 'search_path=%' and setting not like 'search_path=%tenant_one%'",
    )
    .await;
    assert!(strays.is_empty(), "{strays:?}");
    // Dropping one leaves the other whole, extensions included.
    run(&admin, "drop schema tenant_one cascade").await;
    let connection = as_owner(&database.name, "tenant_two").await;
    run(&connection, &format!("set app.tenant_id = '{}'", tenants[1].1)).await;
    assert_eq!(number(&connection, "select count(*) from workspaces").await, 1);
    assert_eq!(
        number(&connection, "select count(*) from search_items_text('tenant_two', '{workspaces}', null, 10)").await,
        0
    );
    run(&admin, "select '[1,2]'::extensions.vector").await;
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_two_at_once_do_not_collide() {
    let database = empty_database("rowhouse_base").await;
    let runs = (0..4).map(|_| async {
        let mut connection = as_owner(&database.name, "public").await;
        rowhouse_migrations::run(connection.client(), Set::Tenant.migrations(), &Options::default(), &unobserved)
            .await
            .unwrap();
    });
    futures::future::join_all(runs).await;
    let connection = as_owner(&database.name, "public").await;
    let latest = i64::from(Set::Tenant.latest());
    assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, latest);
}

#[tokio::test]
async fn undoing_everything_leaves_nothing_behind() {
    for (set, source) in [(Set::Tenant, "rowhouse_base"), (Set::Platform, "saas_platform")] {
        let database = empty_database(source).await;
        let mut connection = as_owner(&database.name, "public").await;
        let census = "select (select count(*) from pg_class where relnamespace = 'public'::regnamespace)
                           + (select count(*) from pg_proc where pronamespace = 'public'::regnamespace)
                           + (select count(*) from pg_type where typnamespace = 'public'::regnamespace and typtype = 'e')";
        let before = number(&connection, census).await;
        rowhouse_migrations::run(connection.client(), set.migrations(), &Options::default(), &unobserved)
            .await
            .unwrap();
        assert!(number(&connection, census).await > before);
        let undone =
            rowhouse_migrations::undo_to(connection.client(), set.migrations(), 0, &Options::default(), &unobserved)
                .await
                .unwrap();
        let versions: Vec<u32> = undone.steps.iter().map(|step| step.version).collect();
        assert_eq!(versions, (1..=set.latest()).rev().collect::<Vec<u32>>());
        assert_eq!(undone.version, None);
        run(&connection, "drop table refinery_schema_history").await;
        assert_eq!(number(&connection, census).await, before, "{set:?}");
        let extensions = number(&connection, "select count(*) from pg_extension").await;
        assert!(extensions > 0, "undo files leave extensions alone");
    }
}

#[tokio::test]
async fn a_history_that_does_not_fit_is_refused_with_both_checksums() {
    let latest = Set::Tenant.latest();
    let built = |version: u32| Set::Tenant.migrations().find(version).map(rowhouse_migrations::Migration::checksum);
    let newer =
        format!("insert into refinery_schema_history values ({}, 'tomorrow', '2026-01-01T00:00:00Z', '7')", latest + 1);
    for (change, how, version, applied, build) in [
        (
            "update refinery_schema_history set checksum = '1' where version = 1",
            Divergence::Changed,
            1,
            Some(1),
            built(1),
        ),
        ("update refinery_schema_history set name = 'x' where version = 2", Divergence::Changed, 2, built(2), built(2)),
        ("update refinery_schema_history set version = 0 where version = 1", Divergence::Missing, 0, built(1), None),
        ("delete from refinery_schema_history where version = 3", Divergence::Skipped, 3, None, built(3)),
        (newer.as_str(), Divergence::Newer, latest + 1, Some(7), None),
    ] {
        let database = tenant_database().await;
        let mut connection = as_owner(&database.name, "public").await;
        run(&connection, change).await;
        let error =
            rowhouse_migrations::run(connection.client(), Set::Tenant.migrations(), &Options::default(), &unobserved)
                .await
                .unwrap_err();
        let Error::Divergent { how: h, version: v, applied: a, build: b, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*h, *v, *a, *b), (how, version, applied, build), "{change}");
        // Going back asks the same.
        let set = Set::Tenant.migrations();
        let back = rowhouse_migrations::undo_to(connection.client(), set, 0, &Options::default(), &unobserved).await;
        assert!(matches!(back, Err(Error::Divergent { .. })), "{change}");
    }
}

#[tokio::test]
async fn only_v_files_are_migrations() {
    for (set, folder) in [(Set::Platform, "platform-migrations"), (Set::Tenant, "tenant-migrations")] {
        // Whatever refinery would run is one of the folder's own `V` files; `undo` below it holds none.
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(folder);
        for migration in set.migrations().list() {
            assert!(root.join(format!("V{}__{}.sql", migration.version, migration.name)).exists(), "{migration:?}");
        }
        let versions: Vec<u32> = set.migrations().list().iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=set.latest()).collect::<Vec<u32>>());
    }
    // Provisioned databases are at the latest version.
    let database = tenant_database().await;
    let connection = database.connect().await;
    let latest = i64::from(Set::Tenant.latest());
    assert_eq!(number(&connection, "select max(version)::bigint from refinery_schema_history").await, latest);
}
