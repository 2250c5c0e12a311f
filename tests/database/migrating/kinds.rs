//! In a transaction, and outside one.

use std::time::Duration;

use rowhouse_migrations::{Error, Options, unobserved};

use super::{Diary, migrate, open, quick, set_of, versions};
use crate::support::{as_owner, number, run, texts};

#[tokio::test]
async fn each_migration_is_told_of_and_recorded_as_refinery_records_it() {
    let (_database, mut connection) = open().await;
    let set = set_of(&["create table a (id int primary key)", "alter table a add column b int -- no semicolon"], &[]);
    let diary = Diary::default();
    let report =
        rowhouse_migrations::run(connection.client(), &set, &quick(), &|event| diary.note(&event)).await.unwrap();
    assert_eq!(versions(&report), [1, 2]);
    assert_eq!(report.version, Some(2));
    assert_eq!(diary.lines(), ["1 begins", "1 ends", "2 begins", "2 ends"]);
    let rows =
        texts(&connection, "select format('%s %s %s', version, name, checksum) from refinery_schema_history").await;
    let expected: Vec<String> =
        set.list().iter().map(|one| format!("{} step {}", one.version, one.checksum())).collect();
    assert_eq!(rows, expected);
    // A second run finds nothing to do, and leaves neither lock nor limits.
    let again = migrate(&mut connection, &set).await.unwrap();
    assert_eq!((versions(&again), again.version), (vec![], Some(2)));
    let locks = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
    assert_eq!(number(&connection, locks).await, 0);
    let limit = "select setting from pg_settings where name in ('lock_timeout', 'statement_timeout') order by name";
    assert_eq!(texts(&connection, limit).await, ["10000", "60000"]);
}

#[tokio::test]
async fn the_history_of_another_schema_further_along_the_path_is_not_ours() {
    let (database, mut connection) = open().await;
    let set = set_of(&["create table a (id int primary key)"], &[]);
    migrate(&mut connection, &set).await.unwrap();
    run(
        &rowhouse_testkit::TestCluster::get().admin(&database.name).await,
        "create schema other authorization rowhouse_owner",
    )
    .await;
    let mut other = as_owner(&database.name, "other, public").await;
    assert_eq!(rowhouse_migrations::current_version(other.client()).await.unwrap(), None);
    assert_eq!(versions(&migrate(&mut other, &set).await.unwrap()), [1]);
    assert_eq!(number(&connection, "select count(*) from other.refinery_schema_history").await, 1);
}

#[tokio::test]
async fn a_run_can_stop_before_the_newest() {
    let (_database, mut connection) = open().await;
    let set = set_of(&["select 1", "select 2", "select 3"], &[]);
    let options = Options { target: Some(2), ..quick() };
    let report = rowhouse_migrations::run(connection.client(), &set, &options, &unobserved).await.unwrap();
    assert_eq!((versions(&report), report.version), (vec![1, 2], Some(2)));
    assert_eq!(versions(&migrate(&mut connection, &set).await.unwrap()), [3]);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_and_names_its_line() {
    let (_database, mut connection) = open().await;
    let set =
        set_of(&["create table a (id int)", "-- Why.\ncreate table b (id int);\nselect nothing_like_it();\n"], &[]);
    let error = migrate(&mut connection, &set).await.unwrap_err();
    let Error::Failed { migration, line, sqlstate, .. } = &error else { panic!("{error:?}") };
    assert_eq!((migration.as_str(), *line, sqlstate.as_deref()), ("V2__step", Some(3), Some("42883")));
    assert_eq!(error.to_string(), "V2__step failed in line 3 (SQLSTATE 42883)");
    assert_eq!(texts(&connection, "select relname::text from pg_class where relname in ('a', 'b')").await, ["a"]);
    // The connection can be used again, and running again goes on there.
    assert!(matches!(migrate(&mut connection, &set).await, Err(Error::Failed { .. })));
    assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, 1);
    // So does one that only the commit refuses.
    let deferred = "create table c (id int unique deferrable initially deferred); insert into c values (1), (1)";
    let error = migrate(&mut connection, &set_of(&["create table a (id int)", deferred], &[])).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("23505"));
    assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, 1);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_and_not_tried_again() {
    let (_database, mut connection) = open().await;
    let options = Options { statement_timeout: Some(Duration::from_millis(50)), ..quick() };
    let set = set_of(&["select pg_sleep(5)"], &[]);
    let error = rowhouse_migrations::run(connection.client(), &set, &options, &unobserved).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    assert_eq!(error.sqlstate(), Some("57014"));
}

const TABLE: &str =
    "create table a (id int primary key, b int); insert into a select n, n from generate_series(1, 100) n";
const CONCURRENT: &str =
    "-- rowhouse: no-transaction\ncreate unique index concurrently if not exists a_b_key on a (b);";
const VALID: &str = "select count(*) from pg_index where indexrelid = to_regclass('a_b_key') and indisvalid";

#[tokio::test]
async fn an_index_is_made_outside_a_transaction_and_recorded() {
    let (_database, mut connection) = open().await;
    let set = set_of(&[TABLE, CONCURRENT, "select 1"], &[]);
    assert_eq!(versions(&migrate(&mut connection, &set).await.unwrap()), [1, 2, 3]);
    assert_eq!(number(&connection, VALID).await, 1);
    let recorded = texts(&connection, "select checksum from refinery_schema_history order by version").await;
    assert_eq!(recorded, set.list().iter().map(|one| one.checksum().to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_invalid_index_that_a_dead_runner_left_is_made_again() {
    let (_database, mut connection) = open().await;
    let set = set_of(&[TABLE, CONCURRENT], &[]);
    let options = Options { target: Some(1), ..quick() };
    rowhouse_migrations::run(connection.client(), &set, &options, &unobserved).await.unwrap();
    // Two equal values: the index fails half-way, and PostgreSQL leaves it behind, invalid.
    run(&connection, "insert into a values (101, 1)").await;
    let error = migrate(&mut connection, &set).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("23505"), "{error:?}");
    let left = "select count(*) from pg_index where indexrelid = to_regclass('a_b_key') and not indisvalid";
    assert_eq!(number(&connection, left).await, 1);
    // `if not exists` would take it for done.
    run(&connection, "delete from a where id = 101").await;
    migrate(&mut connection, &set).await.unwrap();
    assert_eq!(number(&connection, VALID).await, 1);
    assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, 2);
}

#[tokio::test]
async fn an_index_that_is_there_counts_as_done_only_where_that_is_said() {
    let (_database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[TABLE], &[])).await.unwrap();
    run(&connection, "create unique index a_b_key on a (b)").await;
    let strict = CONCURRENT.replace("if not exists ", "");
    let error = migrate(&mut connection, &set_of(&[TABLE, &strict], &[])).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("42P07"), "{error:?}");
    migrate(&mut connection, &set_of(&[TABLE, CONCURRENT], &[])).await.unwrap();
}

#[tokio::test]
async fn outside_a_transaction_there_is_only_one_statement() {
    let (_database, mut connection) = open().await;
    let set = set_of(&["-- rowhouse: no-transaction\ncreate table b (id int); create table c (id int);"], &[]);
    let error = migrate(&mut connection, &set).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("42601"), "{error:?}");
    assert_eq!(number(&connection, "select count(*) from pg_class where relname in ('b', 'c')").await, 0);
}

#[tokio::test]
async fn a_long_transaction_of_another_is_waited_for_while_an_index_is_made() {
    let (database, mut connection) = open().await;
    let set = set_of(&[TABLE, CONCURRENT], &[]);
    let other = as_owner(&database.name, "public").await;
    migrate(&mut connection, &set_of(&[TABLE], &[])).await.unwrap();
    run(&other, "begin; insert into a values (1000, 1000)").await;
    // Longer than the limit for ordinary locks.
    let options = Options { concurrent_timeout: Duration::from_secs(20), ..quick() };
    let migrating = rowhouse_migrations::run(connection.client(), &set, &options, &unobserved);
    let ending = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        run(&other, "commit").await;
    };
    let (report, ()) = futures::future::join(migrating, ending).await;
    let report = report.unwrap();
    assert_eq!(report.steps[0].attempts, 1, "{report:?}");
    assert_eq!(number(&connection, VALID).await, 1);
}

#[tokio::test]
async fn outside_a_transaction_a_statement_takes_no_longer_than_any_other_may() {
    let (_database, mut connection) = open().await;
    let set = set_of(&["-- rowhouse: no-transaction\nselect pg_sleep(20)"], &[]);
    let options = Options { statement_timeout: Some(Duration::from_millis(200)), ..quick() };
    let error = rowhouse_migrations::run(connection.client(), &set, &options, &unobserved).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("57014"), "{error:?}");
}

#[tokio::test]
async fn one_that_others_are_in_the_way_of_is_left_when_somebody_says_so() {
    for (sql, tried) in
        [(CONCURRENT, "2 waits after 1: 55P03"), ("alter table a add column c int", "2 waits after 1: 55P03")]
    {
        let (database, mut connection) = open().await;
        migrate(&mut connection, &set_of(&[TABLE], &[])).await.unwrap();
        let other = as_owner(&database.name, "public").await;
        run(&other, "begin; lock table a in access exclusive mode").await;
        let options =
            Options { first_pause: Duration::from_secs(600), longest_pause: Duration::from_secs(600), ..quick() };
        let (stop, diary) = (options.stop.clone(), Diary::default());
        let observer = |event: rowhouse_migrations::Event<'_>| diary.note(&event);
        let set = set_of(&[TABLE, sql], &[]);
        let migrating = rowhouse_migrations::run(connection.client(), &set, &options, &observer);
        let stopping = async {
            while !diary.lines().contains(&tried.to_owned()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stop.ask();
        };
        let both = futures::future::join(migrating, stopping);
        let (left, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("it does not wait so long");
        assert!(matches!(left, Err(rowhouse_migrations::Error::LeftOff { attempts: 1, .. })), "{left:?}");
        run(&other, "rollback").await;
        assert_eq!(migrate(&mut connection, &set).await.unwrap().version, Some(2));
    }
}

#[tokio::test]
async fn killed_while_it_makes_an_index_it_makes_it_in_the_end() {
    let (database, mut connection) = open().await;
    let table = TABLE.replace("generate_series(1, 100)", "generate_series(1, 40000)");
    let set = set_of(&[&table, CONCURRENT], &[]);
    migrate(&mut connection, &set_of(&[&table], &[])).await.unwrap();
    let admin = rowhouse_testkit::TestCluster::get().admin(&database.name).await;
    for moment in 0..12 {
        let mut runner = as_owner(&database.name, "public").await;
        let pid = number(&runner, "select pg_backend_pid()::bigint").await;
        let kill = async {
            tokio::time::sleep(Duration::from_millis(2 + 4 * moment)).await;
            run(&admin, &format!("select pg_terminate_backend({pid}, 5000)")).await;
        };
        let (_, ()) = futures::future::join(migrate(&mut runner, &set), kill).await;
    }
    migrate(&mut connection, &set).await.unwrap();
    assert_eq!(number(&connection, VALID).await, 1);
    assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, 2);
    let indexes = "select count(*) from pg_index where indrelid = 'a'::regclass";
    assert_eq!(number(&connection, indexes).await, 2);
}
