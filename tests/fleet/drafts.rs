//! A migration that is drafted from a tenant's database.

use std::path::Path;

use rowhouse_migrations::{Migrations, Set};
use rowhouse_testkit::{TestCluster, TestHouse};
use tempfile::TempDir;

use crate::{NEW, eventually, folder, house, inside, make, rowhouse};

/// A repository with these tests' migrations, and a control plane's settings beside them.
fn repository(house: &TestHouse) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for part in ["", "undo"] {
        let target = root.path().join("tenant-migrations").join(part);
        std::fs::create_dir_all(&target).unwrap();
        for entry in std::fs::read_dir(folder().join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    std::fs::write(root.path().join("settings.toml"), house.control_plane_settings("")).unwrap();
    root
}

async fn create(house: &TestHouse, root: &Path, database: &str) -> (i32, String, String) {
    let (settings, root) = (root.join("settings.toml"), root.to_str().unwrap());
    let arguments = ["create", "tenant", "add_nicknames", "--from-diff", database, "--settings"];
    rowhouse(house, &[&arguments[..], &[settings.to_str().unwrap(), "--root", root]].concat()).await
}

#[tokio::test]
async fn a_migration_is_drafted_from_a_changed_database() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    let root = repository(&house);
    let (changed, plain) = (inside(&house, &tenants[0]).await, inside(&house, &tenants[1]).await);
    let name = async |connection: &rowhouse_database::AdminConnection| -> String {
        connection.query("select current_database()::text", &[]).await.unwrap()[0].try_get(0).unwrap()
    };
    changed
        .run(
            "set role rowhouse_owner;
             alter table workspaces add column nickname text not null default '';
             create index workspaces_nickname_idx on workspaces (tenant_id, nickname);
             alter table jobs replica identity full",
        )
        .await
        .unwrap();
    let (code, said, errors) = create(&house, root.path(), &name(&plain).await).await;
    assert!(code == 1 && errors.contains("nothing to draft"), "{said}{errors}");
    let (code, said, errors) = create(&house, root.path(), &name(&changed).await).await;
    assert!(code == 0 && errors.contains("1 differences could not be drafted"), "{said}{errors}");
    let set = Migrations::read(Set::Tenant, &root.path().join("tenant-migrations")).unwrap();
    assert_eq!(i64::from(set.latest()), NEW + 1);
    let migration = set.find(set.latest()).unwrap();
    let undo = &migration.undo.as_ref().unwrap().sql;
    assert!(migration.sql().contains("add column nickname text not null default ''::text;\n"), "{}", migration.sql());
    assert!(migration.sql().contains("INDEX workspaces_nickname_idx ON workspaces"), "{}", migration.sql());
    assert!(migration.sql().contains("-- Not drafted:\n--     table jobs has changed"), "{}", migration.sql());
    assert!(undo.contains("alter table workspaces drop column nickname;\n"), "{undo}");
    // It applies where nothing was changed by hand.
    let path = "set role rowhouse_owner; set search_path = public, extensions, pg_temp;";
    plain.run(&format!("{path}{}{undo}", migration.sql())).await.unwrap();
    let admin = TestCluster::get().admin("postgres").await;
    let left = "select from pg_database where datname like 'rowhouse_draft_%'";
    // Those of other tests are dropped as well.
    eventually(async || admin.query(left, &[]).await.unwrap().is_empty(), "what was compared with is left").await;
}

#[tokio::test]
async fn a_file_that_was_frozen_is_not_changed_any_more() {
    let house = house().await;
    let root = repository(&house);
    let freeze = async || rowhouse(&house, &["freeze", "--root", root.path().to_str().unwrap()]).await;
    let (code, said, errors) = freeze().await;
    assert!(code == 0 && said.contains("tenant-migrations/V1__identity.sql"), "{said}{errors}");
    let lock = std::fs::read(root.path().join("migrations.lock")).unwrap();
    let file = root.path().join("tenant-migrations/undo/8__trees.sql");
    std::fs::write(&file, format!("{}-- one line more\n", std::fs::read_to_string(&file).unwrap())).unwrap();
    let (code, said, errors) = freeze().await;
    assert!(code == 1 && errors.contains("tenant-migrations/undo/8__trees.sql"), "{said}{errors}");
    assert_eq!(std::fs::read(root.path().join("migrations.lock")).unwrap(), lock, "it is written anew");
}
