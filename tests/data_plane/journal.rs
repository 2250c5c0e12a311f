//! What was counted outlives a killed process: each request and each byte comes once to `saas_platform`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Answer, Client, Cut, DataPlaneProcess, FaultProxy, Faults, Given, TestCluster, TestHouse};
use serde_json::json;

/// Bytes of the tenant's file.
const CONTENT: usize = 8 * 1024 * 1024;

/// A tenant with a file, whose usage so far has been reported, and a data plane whose way to `saas_platform` can be cut.
struct Setting {
    house: TestHouse,
    given: Given,
    content: String,
    proxy: FaultProxy,
    journal: tempfile::TempDir,
    before: BTreeMap<String, i64>,
}

impl Setting {
    async fn new() -> Self {
        let house = crate::house().await;
        let given = house.tenant().await;
        let file = given.upload("a.bin", vec![7; CONTENT]).await;
        let setting = Self {
            content: format!("/v1/files/{file}/content"),
            proxy: FaultProxy::before_postgres(TestCluster::get().port()),
            journal: tempfile::tempdir().unwrap(),
            before: BTreeMap::new(),
            house,
            given,
        };
        for (event_type, expected) in [("api", 2), ("storage", CONTENT as i64), ("workspaces", 1)] {
            setting.expect(event_type, expected).await;
        }
        let before = setting.sums().await;
        Self { before, ..setting }
    }

    async fn process(&self) -> DataPlaneProcess {
        let settings = format!("usage.journal = {:?}\n", self.journal.path().join("usage"));
        self.house.data_plane_process_through(self.proxy.port(), &settings).await
    }

    async fn sums(&self) -> BTreeMap<String, i64> {
        let sums = "select event_type, sum(quantity)::bigint from tenant_usage_logs group by event_type";
        let rows = self.house.rows(sums).await;
        rows.iter().map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap())).collect()
    }

    /// What has come since the beginning.
    async fn since(&self, event_type: &str) -> i64 {
        self.sums().await.get(event_type).unwrap_or(&0) - self.before.get(event_type).unwrap_or(&0)
    }

    /// Waits until so much has come since the beginning.
    async fn expect(&self, event_type: &str, expected: i64) {
        let begun = Instant::now();
        while self.since(event_type).await != expected {
            let found = self.since(event_type).await;
            assert!(begun.elapsed() < Duration::from_secs(30), "{found} of {event_type} instead of {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all segments have been reported.
    async fn emptied(&self) {
        let begun = Instant::now();
        while segments(&self.journal.path().join("usage")) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(30), "segments are left");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn segments(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Requests of several kinds; gives the bytes that went and came.
async fn requests(data: &Client, content: &str) -> (i64, i64) {
    let (mut received, mut sent) = (0, 0);
    for _ in 0..10 {
        let body = json!({"items": []});
        received += body.to_string().len();
        sent += data.post("/v1/files/batch", &body).await.expect(422).bytes.len();
        sent += data.get("/v1/workspaces").await.expect(200).bytes.len();
        let range = data.request(Method::GET, content).header("range", "bytes=0-9999");
        sent += Answer::of(range).await.expect(206).bytes.len();
    }
    (i64::try_from(received).unwrap(), i64::try_from(sent).unwrap())
}

#[tokio::test]
async fn what_a_killed_process_has_counted_is_counted_once_by_the_next() {
    let setting = Setting::new().await;
    let process = setting.process().await;
    let data = process.client.with_key(setting.given.data.key());
    let known = i64::try_from(data.get("/v1/workspaces").await.expect(200).bytes.len()).unwrap();
    setting.proxy.refuse();
    setting.proxy.cut(Cut::Reset);
    let (mut received, mut sent) = requests(&data, &setting.content).await;
    // Over a few reports that come to nothing.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let more = requests(&data, &setting.content).await;
    (received, sent) = (received + more.0, sent + more.1 + known);
    process.kill().await;
    assert!(setting.since("api").await <= 1, "the process could reach saas_platform");
    assert!((1..=3).contains(&segments(&setting.journal.path().join("usage"))));

    setting.proxy.heal();
    for _ in 0..2 {
        let process = setting.process().await;
        for (event_type, expected) in [("api", 61), ("bandwidth_in", received), ("bandwidth_out", sent)] {
            setting.expect(event_type, expected).await;
        }
        setting.emptied().await;
        process.kill().await;
    }
}

#[tokio::test]
async fn what_was_reported_without_an_answer_is_counted_once() {
    let setting = Setting::new().await;
    let process = setting.process().await;
    let data = process.client.with_key(setting.given.data.key());
    // The report gets as far as this lock; then its answer is lost.
    let blocker = TestCluster::get().admin(&setting.house.platform).await;
    blocker.run("begin; lock table tenant_usage_logs in share row exclusive mode").await.unwrap();
    let (received, sent) = requests(&data, &setting.content).await;
    let waits = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and wait_event_type = 'Lock'
           and query like '%usage_record_all%'",
        setting.house.platform
    );
    setting.house.expect_figure(&waits, 1).await;
    setting.proxy.set(Faults { silent: true, ..Faults::default() });
    blocker.run("commit").await.unwrap();
    setting.house.expect_figure(&waits, 0).await;
    process.kill().await;
    assert!(setting.since("api").await > 0, "nothing was recorded");

    setting.proxy.heal();
    let _process = setting.process().await;
    setting.emptied().await;
    for (event_type, expected) in [("api", 30), ("bandwidth_in", received), ("bandwidth_out", sent)] {
        assert_eq!(setting.since(event_type).await, expected, "{event_type}");
    }
}

#[tokio::test]
async fn of_a_download_that_ends_with_its_process_what_has_left_is_counted() {
    let setting = Setting::new().await;
    let process = setting.process().await;
    let data = process.client.with_key(setting.given.data.key());
    let mut answer = data.request(Method::GET, &setting.content).send().await.unwrap();
    let mut taken = 0;
    while taken < CONTENT / 2 {
        taken += answer.chunk().await.unwrap().unwrap().len();
    }
    process.kill().await;
    let _process = setting.process().await;
    setting.emptied().await;
    assert_eq!(setting.since("api").await, 1);
    let sent = usize::try_from(setting.since("bandwidth_out").await).unwrap();
    // All but the last of it.
    assert!((taken - 1024 * 1024..=CONTENT).contains(&sent), "{sent} of {taken}");
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_costs_nothing_but_safety() {
    let setting = Setting::new().await;
    std::fs::write(setting.journal.path().join("usage"), "no folder").unwrap();
    let process = setting.process().await;
    let data = process.client.with_key(setting.given.data.key());
    let (received, sent) = requests(&data, &setting.content).await;
    for (event_type, expected) in [("api", 30), ("bandwidth_in", received), ("bandwidth_out", sent)] {
        setting.expect(event_type, expected).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let _ = data.get("/v1/workspaces").await.expect(200);
    let log = process.log();
    assert_eq!(log.matches("usage of the API is counted in memory").count(), 1, "{log}");
}
