//! Room leased in blocks: uploads go on without `saas_platform` as far as it goes, and it stays exact whoever dies.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_domain::Isolation;
use rowhouse_testkit::{Answer, Client, Cut, DataPlaneProcess, FaultProxy, Given, TestCluster, TestHouse};
use serde_json::json;

use super::exactness::Watch;
use super::recount::recount;

/// How long something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(what: &str, house: &TestHouse, sql: &str) {
    let begun = Instant::now();
    while house.rows(sql).await.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn upload(data: &Client, given: &Given, name: &str, content: Vec<u8>) -> Answer {
    data.upload(&format!("/v1/files?workspace_id={}&name={name}", given.workspace), content).await
}

/// Uploads until there is a block that can be spent.
async fn leased(house: &TestHouse, data: &Client, given: &Given, name: &str) {
    let _ = upload(data, given, name, name.as_bytes().to_vec()).await.expect(201);
    let sql = "select from quota_reservations where is_block and expires_at = 'infinity'";
    until("no block is leased", house, sql).await;
}

/// What is there is what is counted, by the ledger and by the logs.
async fn expect_exact(house: &TestHouse, given: &Given) -> i64 {
    let there = recount(house, given).await;
    house.expect_used(there).await;
    for log in ["tenant_usage_logs", "org_usage_logs"] {
        let sql = format!("select coalesce(sum(quantity), 0)::bigint from {log} where event_type = 'storage'");
        house.expect_figure(&sql, there).await;
    }
    there
}

#[tokio::test]
async fn uploads_go_on_without_the_platform_as_far_as_the_block_goes() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let proxy = FaultProxy::before_postgres(TestCluster::get().port());
    // The block is larger than what goes into it, so that it is not exchanged for a new one half-way.
    let settings = "quota = { largest_block = 400_000, block_ttl = \"1m\", block_idle = \"1h\" }\n";
    let process = house.data_plane_process_through(proxy.port(), settings).await;
    let data = process.client.with_key(given.data.key());
    leased(&house, &data, &given, "first").await;
    let first = data.get(&format!("/v1/files?workspace_id={}", given.workspace)).await.expect(200).json();
    let first = first["items"][0]["id"].as_str().unwrap().to_owned();

    proxy.refuse();
    proxy.cut(Cut::Reset);
    let mut taken = 0;
    let refusal = loop {
        let answer = upload(&data, &given, &format!("away {taken}"), vec![1; 10_000 + taken]).await;
        if answer.status != 201 {
            break answer;
        }
        taken += 1;
    };
    assert!(refusal.header("retry-after").parse::<u64>().unwrap() >= 1);
    refusal.problem(503, "quota_unavailable");
    assert!((25..=40).contains(&taken), "{taken} were taken out of the block");
    // A body whose length nobody says takes what is left, and changes need no room.
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>(vec![7; 500])]);
    let path = format!("/v1/files?workspace_id={}&name=streamed", given.workspace);
    let streamed = data.request(Method::POST, &path).body(reqwest::Body::wrap_stream(pieces));
    let _ = Answer::of(streamed).await.expect(201);
    let _ = data.patch(&format!("/v1/files/{first}"), &json!({"name": "renamed"})).await.expect(200);

    proxy.heal();
    let begun = Instant::now();
    while upload(&data, &given, "after", vec![2; 300_000]).await.status != 201 {
        assert!(begun.elapsed() < PATIENCE, "no upload is taken after the outage");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    expect_exact(&house, &given).await;
    // What could not be marked is done.
    let begun = Instant::now();
    while !house.tenant_rows(&given, "select from jobs where state in ('queued', 'running')").await.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "jobs are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What is left of blocks is given back when the process ends.
    until("no block is held", &house, "select from quota_reservations where is_block").await;
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    house.expect_reserved(0).await;
    expect_exact(&house, &given).await;
}

/// Nobody knows how a commit ended whose request went away, so what it may have spent of a block is nobody else's.
#[tokio::test]
async fn what_a_forsaken_request_has_spent_is_not_given_to_anybody_else() {
    // The server is made to take its time with a commit, which others in the same tables would feel; and PgBouncer 1.18 does not
    // survive every client that goes away (docs/pgbouncer.md).
    if crate::ISOLATION != Isolation::Dedicated || crate::IS_POOLED {
        return;
    }
    let house = crate::house_with(|settings| settings.quota.largest_block = 0).await;
    let given = house.tenant().await;
    let source = given.upload("source", vec![7; 150_000]).await;
    let proxy = FaultProxy::before_postgres(TestCluster::get().port());
    let settings = "quota = { largest_block = 400_000, block_ttl = \"1m\", block_idle = \"1h\" }\n";
    let process = house.data_plane_process_through(proxy.port(), settings).await;
    let data = process.client.with_key(given.data.key());
    leased(&house, &data, &given, "first").await;

    let slowly = "create function take_time() returns trigger language plpgsql as
        $$ begin if new.name = 'slow' then perform pg_sleep(6); end if; return null; end $$;
        create constraint trigger take_time after insert on files deferrable initially deferred
        for each row execute function take_time()";
    house.inside(&given).await.run(slowly).await.unwrap();
    let copy = data.request(Method::POST, &format!("/v1/files/{source}/copy")).json(&json!({"name": "slow"}));
    assert!(copy.timeout(Duration::from_secs(3)).send().await.is_err(), "the copy was answered");
    house.expect_used(300_005).await;

    proxy.refuse();
    proxy.cut(Cut::Reset);
    let left = house.rows("select sum(bytes)::bigint from quota_reservations where is_block").await;
    let left: i64 = left[0].try_get(0).unwrap();
    let mut taken = 0;
    while upload(&data, &given, &format!("further {taken}"), vec![1; 10_000]).await.status == 201 {
        taken += 10_000;
        assert!(taken <= left, "{taken} bytes were taken out of {left}");
    }
    assert!(taken > 0, "there was nothing left of {left}");
    proxy.heal();
    expect_exact(&house, &given).await;
}

/// Uploads, one after the other, of sizes of their own; gives what was acknowledged.
async fn stream_of_uploads(data: Client, workspace: String, whose: &str, count: usize) -> i64 {
    let mut acknowledged = 0;
    for number in 0..count {
        let size = 1 + number * 7_919 % 30_000;
        let path = format!("/v1/files?workspace_id={workspace}&name={whose}%20{number}");
        let request = data.request(Method::POST, &path).body(vec![u8::try_from(number % 251).unwrap(); size]);
        // No answer where its process was killed.
        if request.send().await.is_ok_and(|answer| answer.status() == 201) {
            acknowledged += i64::try_from(size).unwrap();
        }
    }
    acknowledged
}

async fn two_replicas() -> (TestHouse, Given, DataPlaneProcess) {
    let house = crate::house_with(|settings| {
        settings.quota.largest_block = 60_000;
        settings.quota.block_ttl = Duration::from_secs(3);
        settings.quota.block_idle = Duration::from_secs(1);
    })
    .await;
    let given = house.tenant().await;
    let body = json!({"storage_quota": 9_000_000});
    let _ = house.admin.patch(&format!("/v1/organizations/{}", given.organization), &body).await.expect(200);
    let settings = "quota = { largest_block = 60_000, block_ttl = \"3s\", block_idle = \"1h\" }\n\
        uploads.reservation_ttl = \"3s\"\n";
    let process = house.data_plane_process(settings).await;
    (house, given, process)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replicas_block_comes_back_and_what_was_spent_of_it_is_counted_once() {
    let (house, given, process) = two_replicas().await;
    let other = process.client.with_key(given.data.key());
    leased(&house, &other, &given, "one").await;
    let _ = upload(&given.data, &given, "another", b"another".to_vec()).await.expect(201);
    let watch = Watch::begin(&house, &given).await;
    let both = [(given.data.clone(), "house"), (other, "process")].into_iter().flat_map(|(data, whose)| {
        [format!("{whose} a"), format!("{whose} b")].into_iter().map({
            let workspace = given.workspace.clone();
            move |whose| {
                let (data, workspace) = (data.clone(), workspace.clone());
                tokio::spawn(async move { stream_of_uploads(data, workspace, &whose, 60).await })
            }
        })
    });
    let both: Vec<_> = both.collect();
    // The process dies in the midst of them.
    let begun = Instant::now();
    while recount(&house, &given).await < 700_000 {
        assert!(begun.elapsed() < PATIENCE, "nothing is uploaded");
    }
    process.kill().await;
    let mut acknowledged = 10;
    for uploads in both {
        acknowledged += uploads.await.unwrap();
    }
    house.expect_reserved_within(0, PATIENCE * 2).await;
    watch.end().await;
    let there = expect_exact(&house, &given).await;
    assert!(acknowledged <= there, "{acknowledged} acknowledged, {there} there");
    let blocks = house.tenant_rows(&given, "select count(*) from quota_blocks").await;
    assert_eq!(blocks[0].try_get::<_, i64>(0).unwrap(), 0, "no row of a block is left");
    // To the byte, after all that.
    let left = usize::try_from(9_000_000 - there).unwrap();
    upload(&given.data, &given, "more", vec![9; left + 1]).await.problem(413, "quota_exceeded");
    let _ = upload(&given.data, &given, "last", vec![9; left]).await.expect(201);
}

/// A house whose blocks hold so much, and last for so long without an upload.
async fn house_with_blocks(largest: u64, idle: Duration) -> TestHouse {
    crate::house_with(|settings| {
        settings.quota.largest_block = largest;
        settings.quota.block_idle = idle;
    })
    .await
}

/// However long events take, what they will count stays reserved, also when its block has been closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_spent_of_a_closed_block_stays_reserved_until_it_is_counted() {
    let house = house_with_blocks(60_000, Duration::from_secs(1)).await;
    let given = house.tenant().await;
    leased(&house, &given.data, &given, "first").await;
    let watch = Watch::begin(&house, &given).await;
    house.sql("revoke execute on function usage_record_all from rowhouse_data").await;
    for number in 0..5u8 {
        let _ = upload(&given.data, &given, &number.to_string(), vec![number; 1_000]).await.expect(201);
    }
    let begun = Instant::now();
    while !house.tenant_rows(&given, "select from quota_blocks where state = 'open'").await.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "the block is not closed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It is looked at, and left as it is.
    house.sql("select work_mark(id) from tenants where reserved_storage > 0").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    house.sql("grant execute on function usage_record_all to rowhouse_data").await;
    expect_exact(&house, &given).await;
    watch.end().await;
    house.expect_reserved(0).await;
}

#[tokio::test]
async fn what_is_leased_is_given_back_before_an_upload_is_refused() {
    let house = house_with_blocks(1_000_000, Duration::from_secs(3600)).await;
    let given = house.tenant().await;
    let limit = 50_000_000;
    let body = json!({"storage_quota": limit});
    let _ = house.admin.patch(&format!("/v1/organizations/{}", given.organization), &body).await.expect(200);
    leased(&house, &given.data, &given, "first").await;
    let left = limit - "first".len();
    upload(&given.data, &given, "more", vec![9; left + 1]).await.problem(413, "quota_exceeded");
    let _ = upload(&given.data, &given, "last", vec![9; left]).await.expect(201);
    house.expect_reserved(0).await;
    expect_exact(&house, &given).await;
}

/// Whoever is taken for dead and is not can't spend any more.
#[tokio::test]
async fn a_closed_block_is_not_spent() {
    let house = house_with_blocks(60_000, Duration::from_secs(3600)).await;
    let given = house.tenant().await;
    leased(&house, &given.data, &given, "first").await;
    // It is in use when it stands behind an upload's event.
    let begun = Instant::now();
    let mut number = 0;
    loop {
        number += 1;
        let _ = upload(&given.data, &given, &number.to_string(), vec![3; 10]).await.expect(201);
        let spent = "select from quota_reservations where is_block and bytes < 60000";
        if !house.rows(spent).await.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is spent of the block");
    }
    let closed = house.tenant_rows(&given, "update quota_blocks set state = 'closed' returning id").await;
    assert_eq!(closed.len(), 1);
    upload(&given.data, &given, "late", vec![4; 10]).await.problem(504, "deadline_exceeded");
    let _ = upload(&given.data, &given, "later", vec![4; 10]).await.expect(201);
    expect_exact(&house, &given).await;
}
