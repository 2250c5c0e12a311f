//! Trying out a run on a live schema.

use std::time::Duration;

use futures::FutureExt;
use rowhouse_database::AdminConnection;
use rowhouse_migrations::{Error, Fingerprint, Migrations, Outcome, Rehearsal};

use super::{migrate, open, quick, set_of, versions};
use crate::support::{as_owner, number, run};

const ENOUGH: Duration = Duration::from_secs(20);

async fn rehearse(connection: &mut AdminConnection, set: &Migrations, most: Duration) -> Rehearsal {
    let canceller = connection.canceller();
    let cancel = || canceller.cancel().boxed();
    rowhouse_migrations::rehearse(connection.client(), set, &quick(), most, &cancel).await.unwrap()
}

async fn fingerprint(connection: &mut AdminConnection) -> Fingerprint {
    rowhouse_migrations::fingerprint(connection.client(), "public").await.unwrap()
}

/// `table: mode` for each lock of a step.
fn locks(rehearsal: &Rehearsal, step: usize) -> Vec<String> {
    rehearsal.steps[step].locks.iter().map(|lock| format!("{}: {}", lock.relation, lock.mode)).collect()
}

const TABLES: &str = "create table a (id int primary key); create table b (id int primary key)";

#[tokio::test]
async fn a_rehearsal_says_what_would_be_locked_and_leaves_nothing() {
    let (_database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[TABLES], &[])).await.unwrap();
    let before = fingerprint(&mut connection).await;
    let set = set_of(
        &[
            TABLES,
            "alter table a add column c int; create table d (id int primary key); create index on d (id)",
            "-- rowhouse: no-transaction\ncreate index concurrently if not exists a_c_idx on a (c)",
            "create index b_id_idx on b (id); alter table a add column e int",
        ],
        &[],
    );
    let rehearsal = rehearse(&mut connection, &set, ENOUGH).await;
    let outcomes: Vec<(u32, bool)> =
        rehearsal.steps.iter().map(|step| (step.version, matches!(step.outcome, Outcome::Skipped))).collect();
    assert_eq!(outcomes, [(2, false), (3, true), (4, false)], "{rehearsal:?}");
    // New tables are locked too, but nobody waits for them; a lock that is held already is named once.
    assert_eq!(locks(&rehearsal, 0), ["a: AccessExclusiveLock"]);
    assert!(rehearsal.steps[0].locks[0].blocks_reads);
    assert_eq!(locks(&rehearsal, 1), [""; 0]);
    assert_eq!(locks(&rehearsal, 2), ["b: ShareLock"]);
    assert!(!rehearsal.steps[2].locks[0].blocks_reads);
    assert_eq!(fingerprint(&mut connection).await, before);
    assert_eq!(number(&connection, "select count(*) from refinery_schema_history").await, 1);
    // The connection has nothing of it left.
    assert_eq!(versions(&migrate(&mut connection, &set).await.unwrap()), [2, 3, 4]);
    assert!(rehearse(&mut connection, &set, ENOUGH).await.steps.is_empty());
}

#[tokio::test]
async fn what_would_fail_is_an_outcome_with_its_line_and_ends_the_rehearsal() {
    let (_database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[TABLES], &[])).await.unwrap();
    let set = set_of(&[TABLES, "select 1", "select 2;\nselect nothing_like_it();", "select 3"], &[]);
    let rehearsal = rehearse(&mut connection, &set, ENOUGH).await;
    assert_eq!(rehearsal.steps.len(), 2, "{rehearsal:?}");
    let Outcome::Fails(Error::Failed { line, sqlstate, .. }) = &rehearsal.steps[1].outcome else {
        panic!("{rehearsal:?}")
    };
    assert_eq!((*line, sqlstate.as_deref()), (Some(2), Some("42883")));
    // What only a commit would refuse is no surprise either.
    let deferred = "create table c (id int unique deferrable initially deferred); insert into c values (1), (1)";
    let rehearsal = rehearse(&mut connection, &set_of(&[TABLES, deferred], &[]), ENOUGH).await;
    let Outcome::Fails(error) = &rehearsal.steps[0].outcome else { panic!("{rehearsal:?}") };
    assert_eq!(error.sqlstate(), Some("23505"));
}

#[tokio::test]
async fn a_rehearsal_keeps_to_its_time_and_waits_no_longer_than_others_may() {
    let (database, mut connection) = open().await;
    migrate(&mut connection, &set_of(&[TABLES], &[])).await.unwrap();
    let slow = set_of(&[TABLES, "lock table a; select pg_sleep(10)"], &[]);
    let rehearsal = rehearse(&mut connection, &slow, Duration::from_millis(200)).await;
    assert!(rehearsal.elapsed < Duration::from_secs(5), "{rehearsal:?}");
    let Outcome::Fails(error) = &rehearsal.steps[0].outcome else { panic!("{rehearsal:?}") };
    assert_eq!(error.sqlstate(), Some("57014"));
    // One that was cancelled is not used again: another request to cancel may be on its way to it.
    let (other, mut connection) = (as_owner(&database.name, "public").await, as_owner(&database.name, "public").await);
    run(&other, "begin; select * from a").await;
    let wider = set_of(&[TABLES, "alter table a add column c int"], &[]);
    let rehearsal = rehearse(&mut connection, &wider, ENOUGH).await;
    let Outcome::Fails(error) = &rehearsal.steps[0].outcome else { panic!("{rehearsal:?}") };
    assert_eq!(error.sqlstate(), Some("55P03"));
    run(&other, "rollback").await;
    assert!(matches!(rehearse(&mut connection, &wider, ENOUGH).await.steps[0].outcome, Outcome::Works));
}

#[tokio::test]
async fn the_time_is_for_all_statements_together() {
    let (database, mut first) = open().await;
    migrate(&mut first, &set_of(&[TABLES], &[])).await.unwrap();
    // Each of them is quick enough; a limit of each alone would let the second set go on for 3.8 s.
    let slow = "lock table a; select pg_sleep(0.8); select pg_sleep(0.8); select pg_sleep(0.8)";
    for set in [set_of(&[TABLES, slow], &[]), set_of(&[TABLES, "lock table a; select pg_sleep(1.8)", slow], &[])] {
        let mut connection = as_owner(&database.name, "public").await;
        let rehearsal = rehearse(&mut connection, &set, Duration::from_secs(2)).await;
        let last = rehearsal.steps.last().unwrap();
        let Outcome::Fails(error) = &last.outcome else { panic!("{rehearsal:?}") };
        assert_eq!((last.version, error.sqlstate()), (set.latest(), Some("57014")), "{rehearsal:?}");
        assert!(rehearsal.elapsed < Duration::from_millis(3_500), "{rehearsal:?}");
    }
    // Nothing is locked any more.
    assert_eq!(number(&first, "select count(*) from a").await, 0);
}
