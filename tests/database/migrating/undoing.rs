//! Going back.

use rowhouse_migrations::{Error, Migrations, Report, unobserved};

use super::{migrate, open, quick, set_of, versions};
use crate::support::{number, run, texts};

async fn undo(connection: &mut rowhouse_database::AdminConnection, set: &Migrations, to: u32) -> Result<Report, Error> {
    rowhouse_migrations::undo_to(connection.client(), set, to, &quick(), &unobserved).await
}

const FORWARD: [&str; 3] = [
    "create table a (id int)",
    "-- rowhouse: no-transaction\ncreate index concurrently if not exists a_id_idx on a (id)",
    "create table b (id int)",
];

#[tokio::test]
async fn what_is_newer_is_taken_back_newest_first() {
    let (_database, mut connection) = open().await;
    let back = "-- rowhouse: no-transaction\ndrop index concurrently if exists a_id_idx";
    let set = set_of(&FORWARD, &[(1, "drop table a"), (2, back), (3, "drop table b")]);
    migrate(&mut connection, &set).await.unwrap();
    let report = undo(&mut connection, &set, 1).await.unwrap();
    assert_eq!((versions(&report), report.version), (vec![3, 2], Some(1)));
    let left = "select relname::text from pg_class where relname in ('a', 'b', 'a_id_idx')";
    assert_eq!(texts(&connection, left).await, ["a"]);
    assert_eq!(number(&connection, "select sum(version)::bigint from refinery_schema_history").await, 1);
    // Nothing is newer now, and forward works again.
    assert!(undo(&mut connection, &set, 1).await.unwrap().steps.is_empty());
    assert_eq!(versions(&migrate(&mut connection, &set).await.unwrap()), [2, 3]);
    assert_eq!(undo(&mut connection, &set, 0).await.unwrap().version, None);
}

#[tokio::test]
async fn nothing_is_changed_where_one_can_not_be_undone() {
    for (undo_files, reason) in [
        (
            vec![(2, "-- rowhouse: irreversible the old values are gone"), (3, "drop table b")],
            "the old values are gone",
        ),
        (vec![(3, "drop table b")], "it has no undo file"),
    ] {
        let (_database, mut connection) = open().await;
        let set = set_of(&FORWARD, &undo_files);
        migrate(&mut connection, &set).await.unwrap();
        let error = undo(&mut connection, &set, 0).await.unwrap_err();
        let Error::Irreversible { migration, reason: found } = &error else { panic!("{error:?}") };
        assert_eq!((migration.as_str(), found.as_str()), ("V2__step", reason));
        assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, 3);
        run(&connection, "select * from b").await;
        // Not so far back, it can.
        assert_eq!(versions(&undo(&mut connection, &set, 2).await.unwrap()), [3]);
    }
}

#[tokio::test]
async fn an_undo_that_fails_leaves_its_migration_applied() {
    let (_database, mut connection) = open().await;
    let set = set_of(&["create table a (id int)"], &[(1, "drop table a;\nselect 1 / 0")]);
    migrate(&mut connection, &set).await.unwrap();
    let error = undo(&mut connection, &set, 0).await.unwrap_err();
    assert_eq!(error.to_string(), "the undo of V1__step failed (SQLSTATE 22012)");
    run(&connection, "select * from a").await;
    assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, 1);
}
