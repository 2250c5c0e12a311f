//! Canaries that are watched: what the data plane answers them decides.

use std::time::{Duration, Instant};

use rowhouse_testkit::{Client, TestHouse};
use serde_json::{Value, json};

use crate::{NEW, OLD, eventually, go, house, inside, look, make, rowhouse, start, until};

async fn until_phase(house: &TestHouse, run: &str, phase: &str) -> Value {
    let begun = Instant::now();
    loop {
        let answer = house.admin.get(run).await.expect(200).json();
        if answer["phase"] == phase {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30) && answer["state"] == "running", "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks until the run is no longer in its soak time; how many answers were 5xx.
async fn ask(house: &TestHouse, run: &str, data: &Client, path: &str) -> usize {
    let mut failed = 0;
    loop {
        for _ in 0..10 {
            failed += usize::from(data.get(path).await.status.is_server_error());
        }
        let answer = house.admin.get(run).await.expect(200).json();
        if answer["phase"] != "soak" || answer["state"] != "running" {
            return failed;
        }
    }
}

#[tokio::test]
async fn a_run_halts_where_the_data_plane_fails_a_canary() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    let canary = house.tenant_key(&tenants[0], &["read_files"]).await;
    let other = house.tenant_key(&tenants[1], &["read_files"]).await;
    let body = json!({"canary": "1", "health_check": true, "soak_seconds": 60, "order": "oldest"});
    let run = start(&house, body).await;
    until_phase(&house, &run, "soak").await;
    // What the version does to it shows only in what it serves.
    let database = inside(&house, &tenants[0]).await;
    database.run("alter table workspaces rename to places").await.unwrap();
    assert_eq!(other.get("/v1/workspaces").await.status, 200);
    assert!(ask(&house, &run, &canary, "/v1/workspaces").await >= 20);
    let halted = until(&house, &run, "halted").await;
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.contains(&tenants[0]) && reason.contains("dedicated 0") && reason.contains("1 % may"), "{reason}");
    assert_eq!((&halted["counts"]["done"], &halted["counts"]["left"]), (&json!(1), &json!(2)), "{halted}");
    assert_eq!(look(&house, &tenants[1]).await, (false, OLD));

    // Mended, it is watched anew, and for as long. What was counted before is told of within a second, and is not kept.
    tokio::time::sleep(Duration::from_secs(3)).await;
    database.run("alter table places rename to workspaces").await.unwrap();
    let resumed = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200).json();
    assert_eq!((&resumed["phase"], &resumed["reason"]), (&json!("soak"), &Value::Null), "{resumed}");
    assert!(!resumed["waits_until"].is_null());
    assert_eq!(canary.get("/v1/workspaces").await.status, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(house.admin.get(&run).await.expect(200).json()["state"], "running");
    let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
}

#[tokio::test]
async fn a_run_that_halted_after_its_soak_time_watches_its_canaries_again_before_others_follow() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    let canary = house.tenant_key(&tenants[0], &["read_files"]).await;
    let body = json!({"canary": "1", "health_check": true, "soak_seconds": 3, "parallel": 1, "order": "oldest",
        "batch": 1, "pause_seconds": 3600});
    let run = start(&house, body).await;
    until_phase(&house, &run, "fleet").await;
    let done = async || house.admin.get(&run).await.expect(200).json()["counts"]["done"].clone();
    eventually(async || done().await == 2, "the first batch is not done").await;
    let database = inside(&house, &tenants[0]).await;
    database.run("alter table workspaces rename to places").await.unwrap();
    for _ in 0..25 {
        let _ = canary.get("/v1/workspaces").await;
    }
    until(&house, &run, "halted").await;
    database.run("alter table places rename to workspaces").await.unwrap();
    let resumed = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200).json();
    assert_eq!((&resumed["phase"], &resumed["state"]), (&json!("soak"), &json!("running")), "{resumed}");
    assert!(!resumed["waits_until"].is_null(), "{resumed}");
    // And then goes on.
    until_phase(&house, &run, "fleet").await;
    eventually(async || done().await == 3, "the rest is not done").await;
    let _ = until(&house, &run, "done").await;
}

#[tokio::test]
async fn a_run_goes_on_where_its_canary_is_well() {
    let house = house().await;
    let organization = house.organization().await;
    // The canary is what two tenants share.
    let tenants = make(&house, &organization, "shared", 2).await;
    let late = make(&house, &organization, "dedicated", 1).await.remove(0);
    go(&house, "down", OLD).await;
    let canary = house.tenant_key(&tenants[1], &["read_files"]).await;
    let run = start(&house, json!({"canary": "1", "health_check": true, "soak_seconds": 4})).await;
    until_phase(&house, &run, "soak").await;
    // What the tenant does wrong is no error of ours.
    assert_eq!(ask(&house, &run, &canary, "/v1/workspaces/wrk_01jz3x5v8qf6k9m2n4p7r0s1t3").await, 0);
    until(&house, &run, "done").await;
    let counted = house.rows("select sum(requests)::bigint, sum(errors)::bigint from migration_canaries").await;
    let (requests, errors): (i64, i64) = (counted[0].try_get(0).unwrap(), counted[0].try_get(1).unwrap());
    assert!(requests >= 20 && errors == 0, "{requests} {errors}");
    assert_eq!(look(&house, &late).await, (true, NEW));
    for (body, pointer) in [
        (json!({"health_check": true, "canary": "0"}), "/health_check"),
        (json!({"health_check": true, "soak_seconds": 0}), "/health_check"),
        (json!({"health_check": true, "max_error_rate": "2"}), "/max_error_rate"),
        (json!({"max_error_rate": "2%"}), "/max_error_rate"),
    ] {
        let refused = house.admin.post("/v1/migration-runs", &body).await.problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    let arguments = ["run", "--health-check", "--max-error-rate", "0.5%", "--detach", "--json"];
    let (code, run, errors) = rowhouse(&house, &arguments).await;
    let run: Value = serde_json::from_str(&run).unwrap();
    assert_eq!((code, &run["max_error_rate"], &run["soak_seconds"]), (0, &json!(0.5), &json!(60)), "{errors}");
}
