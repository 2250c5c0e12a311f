//! What those who run a data plane see of its connections.

use rowhouse_testkit::{TestHouse, program};
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
