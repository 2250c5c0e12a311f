//! The control plane that does what one does for all.

use std::time::{Duration, Instant};

use rowhouse_testkit::TestHouse;

use crate::house::idle_house;

/// The session that leads, and the moment at which it last said something.
async fn leader(house: &TestHouse) -> Option<(i32, String)> {
    let sql = "select pid, state_change::text from pg_stat_activity where pid = (select pid from pg_locks
        where locktype = 'advisory' and granted and objsubid = 1
            and database = (select oid from pg_database where datname = current_database())
            and (classid::bigint << 32) | objid::bigint = hashtextextended('rowhouse.leader', 0))";
    let rows = house.rows(sql).await;
    rows.first().map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap()))
}

/// Waits until another session leads than this one.
async fn another_than(house: &TestHouse, before: i32) -> (i32, String) {
    watch(house, |leading| leading.0 != before).await
}

/// Waits for a leader of which this is true.
async fn watch(house: &TestHouse, is_it: impl Fn(&(i32, String)) -> bool) -> (i32, String) {
    let begun = Instant::now();
    loop {
        match leader(house).await {
            Some(leader) if is_it(&leader) => return leader,
            still => assert!(begun.elapsed() < Duration::from_secs(60), "{still:?} leads"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_leader_that_stands_still_leads_no_longer() {
    let house = idle_house().await;
    let process = house.control_plane_process("");
    let mut last = 0;
    for _ in 0..20 {
        let leading = another_than(&house, last).await;
        let frozen = process.freeze();
        // What it has said already may still be on its way.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let silent = leader(&house).await;
        // Whoever leads says something every two seconds, but for who stands still: that one is followed.
        let next = watch(&house, |now| Some(now) != silent.as_ref()).await;
        drop(frozen);
        if next.0 != leading.0 {
            return process.kill().await;
        }
        // It is the house's own. Each of the two may be the next.
        house.rows(&format!("select pg_terminate_backend({})", leading.0)).await;
        last = leading.0;
    }
    panic!("the process never led");
}
