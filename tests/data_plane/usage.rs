//! What a tenant used over time: requests, bytes and storage, each counted once.

use std::time::{Duration, Instant};

use object_store::ObjectStoreExt as _;
use reqwest::Method;
use rowhouse_testkit::{Answer, TestHouse};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::s3::Setting;

/// Waits until the tenant's events of a type sum up to a number, in its own log and in its organization's.
async fn expect_sum(house: &TestHouse, event_type: &str, expected: i64) {
    for log in ["tenant_usage_logs", "org_usage_logs"] {
        let sum = format!("select coalesce(sum(quantity), 0)::bigint from {log} where event_type = '{event_type}'");
        house.expect_figure(&sum, expected).await;
    }
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let file = given.upload("a.bin", vec![7; 1_000]).await;
    let content = format!("/v1/files/{file}/content");
    for _ in 0..5 {
        let _ = given.data.get(&content).await.expect(200);
    }
    let _ = given.data.anonymous().get(&content).await.problem(401, "missing_credentials");
    // One made the workspace, one the file.
    expect_sum(&house, "api", 7).await;
    expect_sum(&house, "storage", 1_000).await;
    let sent =
        house.rows("select sum(quantity)::bigint from tenant_usage_logs where event_type = 'bandwidth_out'").await;
    let sent: i64 = sent[0].try_get(0).unwrap();
    assert!((5_000..20_000).contains(&sent), "{sent}");
    let received =
        house.rows("select sum(quantity)::bigint from tenant_usage_logs where event_type = 'bandwidth_in'").await;
    let received: i64 = received[0].try_get(0).unwrap();
    assert!((1_000..2_000).contains(&received), "{received}");

    let usage = given.data.get("/v1/usage?bucket=month").await.expect(200).json();
    let buckets = usage["buckets"].as_array().unwrap().clone();
    let of = |kind: &str| -> i64 {
        buckets.iter().filter(|one| one["event_type"] == kind).map(|one| one["quantity"].as_i64().unwrap()).sum()
    };
    assert_eq!((of("storage"), of("bandwidth_out") >= sent, of("workspaces")), (1_000, true, 1), "{usage}");
    let own = format!("/v1/organizations/{}/usage?bucket=hour", given.organization);
    let own = house.admin.get(&own).await.expect(200).json();
    let storage: Vec<&Value> =
        own["buckets"].as_array().unwrap().iter().filter(|one| one["event_type"] == "storage").collect();
    assert_eq!((storage.len(), storage[0]["quantity"].as_i64()), (1, Some(1_000)), "{own}");
}

/// What is written after an upload costs as much as the upload itself where each has it written by itself.
#[tokio::test]
async fn what_follows_from_uploads_is_written_for_many_at_once() {
    // A tenant has one turn at a time then.
    let house = crate::house_with(|settings| settings.work.parallel = 2).await;
    let given = house.tenant().await;
    let begun = Instant::now();
    for number in 0..30_u8 {
        let _ = given.upload(&format!("{number}.bin"), vec![0, 159, 146, number]).await;
    }
    expect_sum(&house, "storage", 30 * 4).await;
    let labelled = "select count(*), count(distinct last_indexed) from file_search
        where tenant_id = app_tenant_id() and state = 'skipped'";
    let batches = loop {
        let found = house.tenant_rows(&given, labelled).await;
        let (files, batches): (i64, i64) = (found[0].try_get(0).unwrap(), found[0].try_get(1).unwrap());
        if files == 30 {
            break batches;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{files} labels were written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    // One at once, and then one every 200 ms.
    let most = i64::try_from(begun.elapsed().as_millis() / 200).unwrap() + 2;
    assert!(batches <= most, "labels were written {batches} times");
    let recorded =
        house.rows("select count(distinct created_at) from tenant_usage_logs where event_type = 'storage'").await;
    let recorded: i64 = recorded[0].try_get(0).unwrap();
    assert!(recorded <= most, "usage was recorded {recorded} times");
}

/// What moved in all.
async fn moved(house: &TestHouse, event_type: &str) -> i64 {
    let sum =
        format!("select coalesce(sum(quantity), 0)::bigint from tenant_usage_logs where event_type = '{event_type}'");
    house.rows(&sum).await[0].try_get(0).unwrap()
}

#[tokio::test]
async fn what_a_client_announces_and_does_not_send_is_not_counted() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let address = given.data.base().trim_start_matches("http://");
    for number in 0..2 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/files?workspace_id={}&name=liar{number} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            given.workspace,
            given.data.key(),
            i64::MAX
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    expect_sum(&house, "api", 3).await;
    assert!(moved(&house, "bandwidth_in").await < 1_000);
    let usage = given.data.get("/v1/usage?bucket=hour").await.expect(200).json();
    assert!(!usage["buckets"].as_array().unwrap().is_empty(), "{usage}");
}

/// What is refused is answered with a body, too: to the byte, at either door; a head has none.
#[tokio::test]
async fn the_bodies_of_problems_are_counted() {
    let setting = Setting::new().await;
    let house = &setting.house;
    expect_sum(house, "api", 1).await;
    let before = moved(house, "bandwidth_out").await;
    let data = &setting.given.data;
    let missing = format!("/v1/files/{}", rowhouse_domain::FileId::new());
    let mut bodies = 0;
    for path in [missing.as_str(), "/v1/files?limit=many", "/v1/files/nonsense"] {
        bodies += data.get(path).await.bytes.len();
    }
    let head = data.request(Method::HEAD, &format!("{missing}/content")).send().await.unwrap();
    assert_eq!(head.status(), 404);
    bodies += data.upload("/v1/files?workspace_id=nonsense&name=a", "five!").await.bytes.len();
    // A request that its key does not allow.
    let reader = house.tenant_key(&setting.given.tenant, &["read_files"]).await;
    let refused = reader.post("/v1/workspaces", &serde_json::json!({"name": "w"})).await;
    assert_eq!(refused.status, 403);
    bodies += refused.bytes.len();
    assert!(bodies > 1_000, "{bodies}");
    expect_sum(house, "api", 7).await;
    expect_sum(house, "bandwidth_out", before + i64::try_from(bodies).unwrap()).await;
    let absent = setting.store().get(&"absent".into()).await;
    assert!(matches!(absent, Err(object_store::Error::NotFound { .. })), "{absent:?}");
    expect_sum(house, "api", 8).await;
    let sent = moved(house, "bandwidth_out").await - before - i64::try_from(bodies).unwrap();
    assert!((50..1_000).contains(&sent), "{sent} bytes by S3");
}

/// The other door is counted like the first.
#[tokio::test]
async fn requests_and_bytes_through_the_s3_door_are_counted() {
    let setting = Setting::new().await;
    let house = &setting.house;
    expect_sum(house, "api", 1).await;
    setting.store().put(&"a.bin".into(), vec![7; 5_000].into()).await.unwrap();
    let content = setting.store().get(&"a.bin".into()).await.unwrap().bytes().await.unwrap();
    assert_eq!(content.len(), 5_000);
    expect_sum(house, "api", 3).await;
    let (received, sent) = (moved(house, "bandwidth_in").await, moved(house, "bandwidth_out").await);
    assert!((5_000..7_000).contains(&received) && (5_000..7_000).contains(&sent), "{received} in, {sent} out");
}

#[tokio::test]
async fn usage_comes_as_a_table_too() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let _ = given.upload("a.bin", vec![7; 10]).await;
    expect_sum(&house, "storage", 10).await;
    let today = jiff::Timestamp::now().to_string();
    let today = today.split('T').next().unwrap();
    let line = format!("{today}T00:00:00Z,storage,bytes,10,1");
    let organization = format!("/v1/organizations/{}/usage", given.organization);
    for (service, path) in [(&given.data, "/v1/usage"), (&house.admin, organization.as_str())] {
        let by_name = service.get(&format!("{path}?format=csv&bucket=day")).await.expect(200);
        let by_header = Answer::of(service.request(Method::GET, path).header("accept", "text/csv")).await.expect(200);
        for answer in [by_name, by_header] {
            assert!(answer.header("content-type").starts_with("text/csv"));
            let table = String::from_utf8(answer.bytes.clone()).unwrap();
            assert!(table.starts_with("begins,event_type,unit,quantity,events\n"), "{table}");
            assert!(table.lines().any(|one| one == line), "{table}");
        }
        let long = "bucket=hour&from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z";
        service.get(&format!("{path}?{long}")).await.problem(422, "invalid_request");
        let backwards = "bucket=day&since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z";
        service.get(&format!("{path}?{backwards}")).await.problem(422, "invalid_request");
        service.get(&format!("{path}?bucket=week")).await.problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn a_service_that_is_told_to_stop_reports_what_it_has_counted() {
    let house = crate::house().await;
    let given = house.tenant().await;
    expect_sum(&house, "api", 1).await;
    let process = house.data_plane_process("").await;
    let data = process.client.with_key(given.data.key());
    for _ in 0..20 {
        let _ = data.get("/v1/workspaces").await.expect(200);
    }
    let begun = Instant::now();
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20));
    expect_sum(&house, "api", 21).await;
}
