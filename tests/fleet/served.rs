//! Versions that a data plane which is up does not serve: no run brings tenants to them unasked.

use rowhouse_testkit::TestHouse;
use serde_json::{Value, json};

use crate::{NEW, OLD, eventually, go, house, make, number_in, rowhouse, start, until};

const RUNS: &str = "/v1/migration-runs";

/// A data plane of another release, as it says itself that it is up.
pub(crate) async fn comes_up(house: &TestHouse, host: &str, oldest: i64, newest: i64) {
    let sql = format!("select replica_serves(gen_random_uuid(), 1, '{host}', {oldest}, {newest}, interval '10 min')");
    house.rows(&sql).await;
}

pub(crate) async fn is_cut_off(house: &TestHouse, host: &str) {
    let sql = format!("update data_plane_replicas set expires_at = now() - interval '1 s' where host = '{host}'");
    house.sql(&sql).await;
}

/// What a start is refused with: the replicas that it names.
async fn refused(house: &TestHouse, body: &Value) -> Value {
    let problem = house.admin.post(RUNS, body).await.problem(409, "version_not_served");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("`ignore_served_versions`"), "{detail}");
    problem["replicas"].clone()
}

async fn plan(house: &TestHouse, query: &str) -> Value {
    house.admin.get(&format!("/v1/migrations/plan?{query}")).await.expect(200).json()["not_served_by"].clone()
}

#[tokio::test]
async fn no_run_goes_where_a_replica_that_is_up_would_refuse_tenants() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "schema", 2).await;
    let own = async || number_in(&house, "select count(*) from data_plane_replicas where host like '%:_%'").await == 1;
    eventually(own, "the data plane does not say what it serves").await;
    // The one that is up here.
    let back = json!({"direction": "down", "to": OLD - 1});
    let by = refused(&house, &back).await;
    assert_eq!((&by[0]["oldest_version"], &by[0]["newest_version"]), (&json!(OLD), &json!(NEW)), "{by}");
    assert_eq!(plan(&house, &format!("direction=down&to={}", OLD - 1)).await, by);
    go(&house, "down", OLD).await;

    comes_up(&house, "older", OLD - 1, OLD).await;
    let by = refused(&house, &json!({})).await;
    assert_eq!((by.as_array().unwrap().len(), &by[0]["host"]), (1, &json!("older")), "{by}");
    assert_eq!(plan(&house, "").await, by);
    let (code, said, _) = rowhouse(&house, &["plan"]).await;
    assert!(code == 0 && said.contains("would refuse tenants at version 9") && said.contains("older"), "{said}");
    let (code, _, said) = rowhouse(&house, &["run"]).await;
    assert!(code == 1 && said.contains("older") && said.contains("serves 7 to 8"), "{code}: {said}");
    // A dry run brings nobody anywhere.
    let dry = house.admin.post(RUNS, &json!({"dry_run": "in_place"})).await.expect(201).header("location").to_owned();
    until(&house, &dry, "done").await;
    // One that is not heard of any more keeps nobody.
    is_cut_off(&house, "older").await;
    assert_eq!(plan(&house, "").await, json!([]));
    let run = house.admin.post(RUNS, &json!({})).await.expect(201).header("location").to_owned();
    assert_eq!(until(&house, &run, "done").await["counts"]["done"], 2);

    comes_up(&house, "newer", NEW, NEW + 1).await;
    assert_eq!(refused(&house, &json!({"direction": "down", "to": OLD})).await[0]["host"], "newer");
    let old = OLD.to_string();
    let (code, _, said) = rowhouse(&house, &["undo", "--to", &old]).await;
    assert!(code == 1 && said.contains("newer"), "{code}: {said}");
    assert_eq!(rowhouse(&house, &["undo", "--to", &old, "--ignore-served-versions"]).await.0, 0);
}

#[tokio::test]
async fn a_run_halts_where_a_replica_comes_up_that_would_refuse_its_tenants() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "schema", 3).await;
    go(&house, "down", OLD).await;
    let run = start(&house, json!({"to": NEW, "soak_seconds": 600})).await;
    let soaks = async || house.admin.get(&run).await.expect(200).json()["phase"] == "soak";
    eventually(soaks, "the canary is not through").await;
    comes_up(&house, "older", OLD - 1, OLD).await;
    let halted = until(&house, &run, "halted").await;
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.contains("older (") && reason.contains("serves 7 to 8"), "{halted}");
    assert_eq!((&halted["counts"]["done"], &halted["counts"]["left"]), (&json!(1), &json!(2)), "{halted}");
    is_cut_off(&house, "older").await;
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let goes_on = house.admin.get(&run).await.expect(200).json();
    assert_eq!(goes_on["state"], "running", "{goes_on}");
}
