//! Partitions of the logs, with the clock moved.

use rowhouse_testkit::{TestCluster, platform_database};

use crate::support::{number, run, texts};

const LOGS: [&str; 3] = ["org_usage_logs", "tenant_usage_logs", "audit_logs"];

#[tokio::test]
async fn three_months_ahead_are_ready_whenever_the_task_runs() {
    let database = platform_database().await;
    let platform = TestCluster::get().admin(&database.name).await;
    for day in ["2026-11-20", "2027-02-28", "2031-12-31"] {
        run(&platform, &format!("select ensure_log_partitions(3, timestamptz '{day}')")).await;
        for log in LOGS {
            let covered = number(
                &platform,
                &format!(
                    "select count(*) from generate_series(0, 3) as ahead
                     where exists (
                         select from pg_inherits join pg_class part on part.oid = inhrelid
                         where inhparent = '{log}'::regclass
                           and pg_get_expr(part.relpartbound, part.oid) like
                               format('FOR VALUES FROM (''%s%%', to_char(date_trunc('month', timestamptz '{day}' at time zone 'utc') + make_interval(months => ahead::int), 'YYYY-MM-DD')))"
                ),
            )
            .await;
            assert_eq!(covered, 4, "{log} at {day}");
        }
    }
}

#[tokio::test]
async fn a_row_outside_every_month_is_caught_and_moved_when_its_month_is_made() {
    let database = platform_database().await;
    let platform = TestCluster::get().admin(&database.name).await;
    run(
        &platform,
        "insert into audit_logs (timestamp, actor_kind, action, resource_type, outcome)
         values (timestamptz '2040-06-15', 'system', 'test.far', 'test', 'success')",
    )
    .await;
    let place = "select tableoid::regclass::text from audit_logs where action = 'test.far'";
    let before = texts(&platform, place).await;
    assert!(before[0].contains("default"), "{before:?}");
    run(&platform, "select ensure_log_partitions(0, timestamptz '2040-06-01')").await;
    let after = texts(&platform, place).await;
    assert!(!after[0].contains("default"), "{after:?}");
    assert_eq!(after.len(), 1);
}
