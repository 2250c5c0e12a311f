//! Long changes of data, batch by batch, and runners that die in the middle of one.

use std::time::Duration;

use rowhouse_migrations::{Error, Migrations};
use rowhouse_testkit::TestCluster;

use super::{Diary, migrate, open, quick, set_of, versions};
use crate::support::{as_owner, number, run, texts};

/// Not idempotent on purpose: a row that is taken on twice or never shows.
const COUNT: &str = "update a set counter = counter + 1 where (tenant_id, id) in (select tenant_id, id from batch)";

fn table(rows: u32) -> String {
    format!(
        "create table a (tenant_id uuid, id text, counter int not null default 0, primary key (tenant_id, id));
        insert into a select gen_random_uuid(), 'it''s ' || n, 0 from generate_series(1, {rows}) n"
    )
}

fn counting(rows: u32, settings: &str) -> Migrations {
    set_of(&[&table(rows), &format!("-- rowhouse: backfill table=a {settings}\n{COUNT}")], &[])
}

const LEFT_BEHIND: &str = "select relname::text from pg_class where relname in ('rowhouse_backfill', 'batch')";

#[tokio::test]
async fn every_row_is_taken_on_once_in_batches() {
    let (_database, mut connection) = open().await;
    let set = counting(250, "batch=100");
    let diary = Diary::default();
    let observer = |event: rowhouse_migrations::Event<'_>| diary.note(&event);
    let report = rowhouse_migrations::run(connection.client(), &set, &quick(), &observer).await.unwrap();
    assert_eq!(versions(&report), [1, 2]);
    assert_eq!(diary.lines()[2..], ["2 begins", "2 did 100", "2 did 200", "2 did 250", "2 ends"]);
    assert_eq!(number(&connection, "select count(*) from a where counter = 1").await, 250);
    assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, 2);
    assert!(texts(&connection, LEFT_BEHIND).await.is_empty());
}

#[tokio::test]
async fn one_that_is_stopped_ends_between_two_batches_and_goes_on_there() {
    let (_database, mut connection) = open().await;
    let set = counting(250, "batch=100");
    let options = quick();
    let stop = options.stop.clone();
    let observer = |event: rowhouse_migrations::Event<'_>| {
        if let rowhouse_migrations::Event::Batch { .. } = event {
            stop.ask();
        }
    };
    let stopped = rowhouse_migrations::run(connection.client(), &set, &options, &observer).await.unwrap_err();
    assert!(matches!(stopped, Error::Stopped { rows: 100, .. }), "{stopped:?}");
    assert_eq!(number(&connection, "select count(*) from a where counter = 1").await, 100);
    // By the same connection, which has nothing of it left.
    assert_eq!(versions(&migrate(&mut connection, &set).await.unwrap()), [2]);
    assert_eq!(number(&connection, "select count(*) from a where counter = 1").await, 250);
    assert!(texts(&connection, LEFT_BEHIND).await.is_empty());
}

#[tokio::test]
async fn one_that_is_stopped_in_a_pause_does_no_further_batch() {
    let (_database, mut connection) = open().await;
    let set = counting(250, "batch=100 pause=1s");
    let options = quick();
    let (stop, diary) = (options.stop.clone(), Diary::default());
    let observer = |event: rowhouse_migrations::Event<'_>| diary.note(&event);
    let migrating = rowhouse_migrations::run(connection.client(), &set, &options, &observer);
    let stopping = async {
        while !diary.lines().contains(&"2 did 100".to_owned()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Well into the pause.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.ask();
    };
    let (stopped, ()) = futures::future::join(migrating, stopping).await;
    assert!(matches!(stopped, Err(Error::Stopped { rows: 100, .. })), "{stopped:?}");
}

#[tokio::test]
async fn a_number_of_rows_that_batches_divide_and_no_rows_at_all_come_to_an_end() {
    for rows in [0, 200] {
        let (_database, mut connection) = open().await;
        migrate(&mut connection, &counting(rows, "batch=100")).await.unwrap();
        assert_eq!(number(&connection, "select count(*) from a where counter = 1").await, i64::from(rows));
        assert!(texts(&connection, LEFT_BEHIND).await.is_empty());
    }
}

#[tokio::test]
async fn a_statement_with_rows_of_its_own_does_not_confuse_the_walk() {
    let (_database, mut connection) = open().await;
    let sql = format!("-- rowhouse: backfill table=a batch=10\n{COUNT} returning tenant_id, id, counter;");
    migrate(&mut connection, &set_of(&[&table(25), &sql], &[])).await.unwrap();
    assert_eq!(number(&connection, "select count(*) from a where counter = 1").await, 25);
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_where_it_stopped() {
    const ROWS: u32 = 2_000;
    let (database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[&table(ROWS)], &[])).await.unwrap();
    let set = counting(ROWS, "batch=20 pause=1ms");
    let admin = TestCluster::get().admin(&database.name).await;
    let mut kills = 0;
    loop {
        let mut runner = as_owner(&database.name, "public").await;
        let pid = number(&runner, "select pg_backend_pid()::bigint").await;
        let kill = async {
            // Not the same moment twice.
            tokio::time::sleep(Duration::from_micros(15_000 + 3_700 * (kills % 11))).await;
            run(&admin, &format!("select pg_terminate_backend({pid}, 5000)")).await;
        };
        let (result, ()) = futures::future::join(migrate(&mut runner, &set), kill).await;
        if result.is_ok() {
            break;
        }
        kills += 1;
        assert!(kills < 500, "it does not get on: {result:?}");
        let wrong = number(&connection, "select count(*) from a where counter > 1").await;
        assert_eq!(wrong, 0, "after {kills} kills");
    }
    assert!(kills >= 3, "it was killed {kills} times only");
    assert_eq!(number(&connection, "select count(*) from a where counter = 1").await, i64::from(ROWS));
    assert!(texts(&connection, LEFT_BEHIND).await.is_empty());
    run(&connection, "select 1").await;
}

#[tokio::test]
async fn a_batch_waits_for_rows_that_others_hold() {
    let (database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[&table(30)], &[])).await.unwrap();
    let other = as_owner(&database.name, "public").await;
    run(&other, "begin; update a set counter = 0").await;
    let (set, diary) = (counting(30, "batch=10"), Diary::default());
    let observer = |event: rowhouse_migrations::Event<'_>| diary.note(&event);
    let options = rowhouse_migrations::Options { attempts: 100, ..quick() };
    let migrating = rowhouse_migrations::run(connection.client(), &set, &options, &observer);
    let ending = async {
        while !diary.lines().contains(&"2 waits after 2: 55P03".to_owned()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        run(&other, "commit").await;
    };
    let (report, ()) = futures::future::join(migrating, ending).await;
    assert!(report.unwrap().steps[0].attempts >= 3);
    assert_eq!(number(&connection, "select count(*) from a where counter = 1").await, 30);
}

#[tokio::test]
async fn another_text_does_not_go_on_with_a_walk_that_was_begun() {
    let (_database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[&table(30)], &[])).await.unwrap();
    run(&connection, "alter table a add constraint fewer check (counter < 1 or id <> 'it''s 30')").await;
    let first = migrate(&mut connection, &counting(30, "batch=1")).await.unwrap_err();
    assert_eq!(first.sqlstate(), Some("23514"), "{first:?}");
    let second = migrate(&mut connection, &counting(30, "batch=2")).await.unwrap_err();
    assert!(matches!(&second, Error::Backfill { .. }), "{second:?}");
    assert!(second.to_string().contains("were done by another text of it"), "{second}");
    run(&connection, "alter table a drop constraint fewer").await;
    migrate(&mut connection, &counting(30, "batch=1")).await.unwrap();
    assert_eq!(number(&connection, "select count(*) from a where counter = 1").await, 30);
}

#[tokio::test]
async fn a_table_without_a_primary_key_can_not_be_walked_through() {
    let (_database, mut connection) = open().await;
    let set = set_of(&["create table a (id int)", "-- rowhouse: backfill table=a\nselect 1"], &[]);
    let error = migrate(&mut connection, &set).await.unwrap_err();
    assert_eq!(error.to_string(), "V2__step can't go on: there is no table `a` with a primary key");
}
