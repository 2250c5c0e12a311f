//! Backfills, which take long and can be stopped.

use std::time::{Duration, Instant};

use rowhouse_testkit::TestCluster;
use serde_json::json;
use tempfile::TempDir;

use crate::{NEW, eventually, folder, house_with, make, number_in, place, start, until};

/// A version that no other test has, and the backfill behind it.
const FROM: i64 = NEW + 4;
const TO: i64 = NEW + 5;

/// Takes five seconds for each tenant of a shared database.
fn slow() -> TempDir {
    let slow = tempfile::tempdir().unwrap();
    crate::copy(&folder(), slow.path());
    for version in NEW + 1..=FROM {
        for kind in ["V", "undo/"] {
            std::fs::write(slow.path().join(format!("{kind}{version}__nothing.sql")), "select 1;\n").unwrap();
        }
    }
    let backfill = "-- rowhouse: backfill table=tenant_identity batch=1 pause=5s
        update tenant_identity set generation = generation where tenant_id in (select tenant_id from batch)";
    std::fs::write(slow.path().join(format!("V{TO}__again.sql")), backfill).unwrap();
    std::fs::write(slow.path().join(format!("undo/{TO}__again.sql")), "select 1;\n").unwrap();
    slow
}

#[tokio::test]
async fn a_run_that_is_paused_leaves_a_backfill_where_it_is_and_goes_on_there() {
    let slow = slow();
    let house = house_with(|settings| {
        settings.migrations.tenant_folder = slow.path().to_owned();
        settings.migrations.lease = Duration::from_secs(3);
    })
    .await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "shared", 3).await;
    let back = start(&house, json!({"direction": "down", "to": FROM})).await;
    until(&house, &back, "done").await;
    let inside = TestCluster::get().admin(&place(&house, &tenants[0]).await.0).await;
    let number = async |sql: &str| inside.query(sql, &[]).await.map(|rows| rows[0].try_get::<_, i64>(0).unwrap());
    let rows = "select rows from rowhouse_backfill";

    let run = start(&house, json!({"canary": "0"})).await;
    let begun = Instant::now();
    while number(rows).await.unwrap_or_default() != 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the backfill does not begin");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // As where it could not extend its lease for a while: it takes over from itself what it is at work on.
    let lapse = "update migration_run_schemas set leased_until = now() - interval '1 second' where state = 'running'";
    let attempts = "select max(attempts)::bigint from migration_run_schemas where state = 'running'";
    let is_taken_over = async || {
        house.sql(lapse).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        number_in(&house, attempts).await > 1
    };
    eventually(is_taken_over, "nobody takes it over").await;
    let _ = house.admin.post(&format!("{run}/pause"), &json!({})).await.expect(200);
    let paused = loop {
        let seen = house.admin.get(&run).await.expect(200).json();
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not left: {seen}");
        if seen["counts"]["running"] == 0 {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let counts = (&paused["counts"]["left"], &paused["counts"]["done"], &paused["counts"]["failed"]);
    assert_eq!(counts, (&json!(1), &json!(0), &json!(0)), "{paused}");
    assert_eq!(number("select max(version)::bigint from refinery_schema_history").await.unwrap(), FROM);
    let left_at = number(rows).await.unwrap();
    assert!(left_at < 3, "it is left where it was when the worker heard of it");

    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["skipped"]), (&json!(1), &json!(0)), "{done}");
    assert_eq!(number("select max(version)::bigint from refinery_schema_history").await.unwrap(), TO);
    house.expect_no_differences().await;
}
