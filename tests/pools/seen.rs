//! What those who run a data plane see of its connections.

use std::time::{Duration, Instant};

use rowhouse_domain::ClusterId;
use rowhouse_testkit::{TestCluster, TestHouse, program};
use serde_json::Value;
use tokio::process::Command;

async fn pools(url: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program("rowhouse"))
        .arg("pools")
        .args(arguments)
        .args(["--url", url])
        .env_clear()
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_admin_port_shows_clusters_and_their_busiest_tenants() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
    let url = house.data_admin.base().to_owned();
    let (code, output, errors) = pools(&url, &["show", "--json"]).await;
    assert_eq!(code, Some(0), "{errors}");
    let shown: Value = serde_json::from_str(&output).unwrap();
    let cluster = &shown["clusters"][0];
    assert!(cluster["idle"].as_u64().unwrap() >= 1, "{shown}");
    assert!(cluster["budget"].as_u64().unwrap() >= 1, "{shown}");
    assert_eq!(cluster["is_refusing"], false);
    let (code, output, _) = pools(&url, &["top", "--count", "2", "--interval", "0.1"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(output.matches("BUDGET").count(), 2, "{output}");
    assert!(output.contains(cluster["cluster"].as_str().unwrap()), "{output}");
    let metrics = String::from_utf8(house.data_admin.get("/metrics").await.expect(200).bytes).unwrap();
    for name in ["rowhouse_connect_seconds", "rowhouse_checkout_seconds"] {
        assert!(metrics.contains(name), "{name}");
    }
    // Nothing of it is to be had where tenants come in.
    for path in ["/v1/pools", "/metrics"] {
        let _ = house.data.get(path).await.expect(404);
    }
    let (code, _, errors) = pools(house.data.base(), &["show"]).await;
    assert_eq!(code, Some(1));
    assert!(errors.contains("admin port"), "{errors}");
}

/// The value of a metric that has these labels.
fn value(metrics: &str, name: &str, labels: &[String]) -> Option<f64> {
    let of_it = metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let mut found = of_it.filter(|line| labels.iter().all(|label| line.contains(label.as_str())));
    found.next()?.rsplit(' ').next()?.parse().ok()
}

/// A metric by its name and labels, and what its value should be.
type Expected<'a> = (&'a str, Vec<String>, fn(f64) -> bool);

/// Waits until each metric is as it should be.
async fn expect_metrics(house: &TestHouse, expected: &[Expected<'_>]) {
    let begun = Instant::now();
    loop {
        let metrics = String::from_utf8(house.data_admin.get("/metrics").await.expect(200).bytes).unwrap();
        let wrong: Vec<_> = expected
            .iter()
            .map(|(name, labels, is_right)| (name, labels, value(&metrics, name, labels), is_right))
            .filter(|(.., value, is_right)| !value.is_some_and(is_right))
            .map(|(name, labels, value, _)| (name, labels, value))
            .collect();
        if wrong.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{wrong:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn each_metric_of_connections_says_what_is_so() {
    let house = TestHouse::start_with(|settings| {
        (settings.pools.cluster_budget, settings.pools.per_tenant) = (3, 2);
        settings.pools.checkout_timeout = Duration::from_secs(60);
        settings.pools.statement_timeout = Duration::from_secs(60);
        settings.data_plane.request_timeout = Duration::from_secs(60);
    })
    .await;
    let further = TestCluster::private().await;
    house.register("further", &further).await;
    let away = crate::estate::settle(&house, "further", 1, &["dedicated"]).await.remove(0);
    let [busy, quiet, third] = [house.tenant().await, house.tenant().await, house.tenant().await];
    // Two of its requests have a connection each, three wait, and so does what is to be done for it in the background.
    let inside = house.inside(&busy).await;
    inside.run("begin; lock table workspaces in access exclusive mode").await.unwrap();
    let requests: Vec<_> = (0..5)
        .map(|_| {
            let data = busy.data.clone();
            tokio::spawn(async move { data.get("/v1/workspaces").await.expect(200) })
        })
        .collect();
    let cluster = house.rows("select id from clusters where name <> 'further'").await[0].try_get(0).unwrap();
    let of_cluster = format!("cluster=\"{}\"", ClusterId::from_uuid(cluster));
    let of_busy = format!("tenant=\"{}\"", busy.tenant);
    let of_state = |state: &str| vec![of_cluster.clone(), format!("state=\"{state}\"")];
    let all = || vec![of_cluster.clone()];
    let of_tenant = || vec![of_cluster.clone(), of_busy.clone()];
    expect_metrics(&house, &[("rowhouse_connections_waiting", all(), |waiting| waiting >= 3.0)]).await;
    // There is one place more, which they take in turns.
    for other in [&quiet, &third] {
        let _ = other.data.get("/v1/workspaces").await.expect(200);
    }
    expect_metrics(
        &house,
        &[
            ("rowhouse_connections", of_state("in_use"), |count| count == 2.0),
            ("rowhouse_connections", of_state("idle"), |count| count == 1.0),
            ("rowhouse_connections", of_state("opening"), |count| count == 0.0),
            ("rowhouse_connections", of_state("closing"), |count| count == 0.0),
            ("rowhouse_connections_budget", all(), |count| count == 3.0),
            ("rowhouse_connections_waiting", all(), |count| count >= 3.0),
            ("rowhouse_connections_waiting_tenants", all(), |count| count == 1.0),
            ("rowhouse_connections_evicted_total", all(), |count| count >= 1.0),
            ("rowhouse_pools", all(), |count| count == 2.0),
            ("rowhouse_cluster_refusing", all(), |is_refusing| is_refusing == 0.0),
            ("rowhouse_tenant_connections", of_tenant(), |count| count == 2.0),
            ("rowhouse_tenant_waiting", of_tenant(), |count| count >= 3.0),
            // Of the busy one's, the quiet one's and the third's.
            ("rowhouse_connect_seconds_count", all(), |count| count >= 4.0),
            ("rowhouse_checkout_seconds_count", all(), |count| count >= 2.0),
            ("rowhouse_auth_cache_total", vec!["outcome=\"miss\"".to_owned()], |count| count >= 3.0),
            ("rowhouse_auth_cache_total", vec!["outcome=\"hit\"".to_owned()], |count| count >= 1.0),
        ],
    )
    .await;
    inside.run("rollback").await.unwrap();
    for request in requests {
        let _ = request.await.unwrap();
    }
    expect_metrics(&house, &[("rowhouse_connections_waiting", all(), |waiting| waiting == 0.0)]).await;
    // A cluster that is away is told from one that is there.
    let elsewhere = house.rows("select id from clusters where name = 'further'").await[0].try_get(0).unwrap();
    let elsewhere = vec![format!("cluster=\"{}\"", ClusterId::from_uuid(elsewhere))];
    let _ = away.get(&away.file_path()).await;
    let stopped = further.stop().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let _ = away.get(&away.file_path()).await;
    }
    expect_metrics(
        &house,
        &[
            ("rowhouse_cluster_refusing", elsewhere.clone(), |is_refusing| is_refusing == 1.0),
            ("rowhouse_cluster_refusing", all(), |is_refusing| is_refusing == 0.0),
        ],
    )
    .await;
    drop(stopped.start().await);
}
