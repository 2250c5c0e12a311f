//! Others in the way.

use std::time::Duration;

use rowhouse_migrations::{Error, Options};

use super::{Diary, migrate, open, quick, set_of, versions};
use crate::support::{as_owner, number, run};

const TABLE: &str = "create table a (id int primary key); insert into a values (1)";
const WIDER: &str = "alter table a add column b int";

#[tokio::test]
async fn a_lock_is_tried_for_again_and_got_once_it_is_free() {
    let (database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[TABLE], &[])).await.unwrap();
    let other = as_owner(&database.name, "public").await;
    run(&other, "begin; select * from a").await;
    let diary = Diary::default();
    let (set, options) = (set_of(&[TABLE, WIDER], &[]), Options { attempts: 100, ..quick() });
    let observer = |event: rowhouse_migrations::Event<'_>| diary.note(&event);
    let migrating = rowhouse_migrations::run(connection.client(), &set, &options, &observer);
    let ending = async {
        while diary.lines().len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        run(&other, "commit").await;
    };
    let (report, ()) = futures::future::join(migrating, ending).await;
    let report = report.unwrap();
    assert!(report.steps[0].attempts >= 3, "{report:?}");
    assert_eq!(diary.lines()[..3], ["2 begins", "2 waits after 1: 55P03", "2 waits after 2: 55P03"]);
}

#[tokio::test]
async fn who_never_gets_its_lock_says_so_and_who_has_it() {
    let (database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[TABLE], &[])).await.unwrap();
    let other = as_owner(&database.name, "public").await;
    run(&other, "begin; select * from a").await;
    let pid = number(&other, "select pg_backend_pid()::bigint").await;
    let error = migrate(&mut connection, &set_of(&[TABLE, WIDER], &[])).await.unwrap_err();
    let Error::TimedOut { migration, attempts, sqlstate, holders, .. } = &error else { panic!("{error:?}") };
    assert_eq!((migration.as_str(), *attempts, sqlstate.as_str()), ("V2__step", 3, "55P03"));
    assert!(holders.len() == 1 && holders[0].starts_with(&format!("pid {pid} ")), "{holders:?}");
    assert!(
        error.to_string().contains("timed out waiting for a lock, 3 times (SQLSTATE 55P03); held by pid"),
        "{error}"
    );
    // Nothing of it is left, and it works once the other is gone.
    run(&other, "rollback").await;
    assert_eq!(versions(&migrate(&mut connection, &set_of(&[TABLE, WIDER], &[])).await.unwrap()), [2]);
}

#[tokio::test]
async fn a_deadlock_is_tried_again() {
    let (database, mut connection) = open().await;
    let two = "create table a (id int); create table b (id int)";
    migrate(&mut connection, &set_of(&[two], &[])).await.unwrap();
    let other = as_owner(&database.name, "public").await;
    run(&other, "set lock_timeout = 0; begin; lock table b").await;
    // The migration takes a and waits for b, and looks for a deadlock a second later. By then the other, who has b, has come
    // for a, and its own look is still ahead: so it is the migration that PostgreSQL ends.
    let set = set_of(&[two, "lock table a; lock table b"], &[]);
    let diary = Diary::default();
    let observer = |event: rowhouse_migrations::Event<'_>| diary.note(&event);
    let options = Options { lock_timeout: Duration::from_secs(20), attempts: 5, ..quick() };
    let migrating = rowhouse_migrations::run(connection.client(), &set, &options, &observer);
    let crossing = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        run(&other, "lock table a").await;
        run(&other, "rollback").await;
    };
    let (report, ()) = futures::future::join(migrating, crossing).await;
    assert_eq!(versions(&report.unwrap()), [2]);
    assert_eq!(diary.lines(), ["2 begins", "2 waits after 1: 40P01", "2 ends"]);
}

#[tokio::test]
async fn two_schemas_of_a_database_are_migrated_at_once_and_one_schema_is_not() {
    let (database, mut first) = open().await;
    let admin = rowhouse_testkit::TestCluster::get().admin(&database.name).await;
    run(&admin, "create schema other authorization rowhouse_owner").await;
    let pid = number(&first, "select pg_backend_pid()::bigint").await;
    let mut same = as_owner(&database.name, "public").await;
    let mut other = as_owner(&database.name, "other").await;
    let set = set_of(&["select pg_sleep(1)"], &[]);
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        futures::future::join(migrate(&mut same, &set), migrate(&mut other, &set)).await
    };
    let (first, (same, other)) = futures::future::join(migrate(&mut first, &set), later).await;
    assert_eq!(versions(&first.unwrap()), [1]);
    let Err(Error::Locked { holder: Some(holder), .. }) = &same else { panic!("{same:?}") };
    assert!(holder.starts_with(&format!("pid {pid}")), "{holder}");
    assert_eq!(versions(&other.unwrap()), [1]);
}

#[tokio::test]
async fn a_schema_that_is_gone_is_not_migrated_in_another() {
    let (_database, mut connection) = open().await;
    for path in ["nowhere, pg_temp", "nowhere, extensions, pg_temp", "nowhere, public", "nowhere"] {
        run(&connection, &format!("set search_path = {path}")).await;
        let result = migrate(&mut connection, &set_of(&["create table a (id int)"], &[])).await;
        assert!(matches!(result, Err(Error::NoSchema)), "{path}: {result:?}");
    }
    assert_eq!(number(&connection, "select count(*) from pg_class where relname = 'a'").await, 0);
    let locks = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
    assert_eq!(number(&connection, locks).await, 0);
}
