//! What a run would do, before it does any of it.

use rowhouse_testkit::Answer;
use serde_json::{Value, json};

use crate::{BACK, FORWARD, NEW, OLD, go, house, look, make, rowhouse};

#[tokio::test]
async fn a_plan_says_what_a_run_would_do_and_does_none_of_it() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 4).await;
    let shared = make(&house, &organization, "shared", 2).await;
    let empty = house.admin.get("/v1/migrations/plan").await.expect(200).json();
    assert_eq!(
        (&empty["ahead"], &empty["migrations"], &empty["schemas"]["items"]),
        (&json!(0), &json!([]), &json!([]))
    );
    go(&house, "down", OLD).await;
    let hold = format!("/v1/tenants/{}/migration-hold", tenants[1]);
    let held = house.admin.request(reqwest::Method::PUT, &hold).json(&json!({"reason": "their window is on Sunday"}));
    let _ = Answer::of(held).await.expect(200);

    // A share is of the four that are ahead, not of the five that there are.
    let first =
        house.admin.get("/v1/migrations/plan?canary=25%25&batch=2&pause_seconds=5&limit=3").await.expect(200).json();
    assert_eq!((&first["ahead"], &first["target_version"]), (&json!(4), &json!(NEW)), "{first}");
    assert_eq!(first["versions"], json!([{"version": OLD, "schemas": 4, "failed_before": 0}]));
    let held = &first["held"][0];
    assert_eq!((&held["tenant_id"], &held["reason"]), (&json!(tenants[1]), &json!("their window is on Sunday")));
    let migration = &first["migrations"][0];
    assert_eq!((&migration["version"], &migration["kind"]), (&json!(NEW), &json!("transactional")), "{first}");
    assert_eq!(migration["sql"], FORWARD);
    // It does not say why it is.
    assert_eq!(migration["warnings"][0]["rule"], "missing-why", "{migration}");
    let column = |page: &Value, name: &str| -> Vec<Value> {
        page["schemas"]["items"].as_array().unwrap().iter().map(|one| one[name].clone()).collect()
    };
    assert_eq!(column(&first, "tenant_id"), [json!(tenants[0]), json!(tenants[2]), json!(tenants[3])]);
    assert_eq!(column(&first, "is_canary"), [json!(true), json!(false), json!(false)]);
    assert_eq!(column(&first, "batch"), [Value::Null, json!(1), json!(1)]);
    let cursor = first["schemas"]["next_cursor"].as_str().unwrap();
    let path = format!("/v1/migrations/plan?canary=1&batch=2&pause_seconds=5&limit=3&cursor={cursor}");
    let second = house.admin.get(&path).await.expect(200).json();
    assert_eq!((column(&second, "position"), column(&second, "batch")), (vec![json!(4)], vec![json!(2)]), "{second}");
    assert_eq!(column(&second, "isolation"), [json!("shared")]);
    assert!(second["schemas"]["next_cursor"].is_null());
    for tenant in tenants.iter().chain(&shared) {
        assert_eq!(look(&house, tenant).await, (false, OLD));
    }

    // Back again, it is the undo file.
    let back = house.admin.get(&format!("/v1/migrations/plan?direction=down&to={}", OLD - 1)).await.expect(200).json();
    let names: Vec<&Value> = back["migrations"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(names, [&json!(OLD)], "the new one is applied nowhere");
}

#[tokio::test]
async fn a_plan_and_a_run_know_clusters_by_name() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    let (code, said, errors) = rowhouse(&house, &["plan", "--where", "cluster=default", "--canary", "1"]).await;
    assert!(code == 0 && said.contains(&format!("2 schemas would go up to version {NEW}")), "{said}{errors}");
    assert!(said.contains(FORWARD.trim()) && said.contains("[missing-why]"), "{said}");
    let (code, json, _) = rowhouse(&house, &["plan", "--where", "cluster=default,type=trial", "--json"]).await;
    let plan: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, plan["selection"]["type"].as_str()), (0, Some("trial")));
    let id = plan["selection"]["cluster_id"].as_str().unwrap();
    assert_eq!(house.admin.get(&format!("/v1/migrations/plan?cluster={id}")).await.expect(200).json()["ahead"], 2);
    let (code, _, errors) = rowhouse(&house, &["run", "--where", "cluster=nowhere"]).await;
    assert!(code == 1 && errors.contains("invalid_request"), "{errors}");
    assert_eq!(rowhouse(&house, &["run", "--where", "cluster=default"]).await.0, 0);
    assert_eq!(house.admin.get("/v1/migrations").await.expect(200).json()["behind"], 0);
    for wrong in ["to=99", "direction=down", "cluster=nowhere", "batch=0", "limit=0"] {
        house.admin.get(&format!("/v1/migrations/plan?{wrong}")).await.problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn shares_are_of_the_schemas_that_a_run_is_about_and_a_plan_goes_back_as_well() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "schema", 4).await;
    let old = OLD.to_string();
    let shares = ["--canary", "50%", "--max-failures", "75%"];
    let (code, said, errors) = rowhouse(&house, &[&["plan", "--undo", "--to", &old], &shares[..]].concat()).await;
    assert!(code == 0 && said.contains(&format!("4 schemas would go down to version {OLD}")), "{said}{errors}");
    assert!(said.contains("2 canaries, ") && said.contains("halts at 3 failures"), "{said}");
    assert!(said.contains(BACK.trim()) && !said.contains(FORWARD.trim()), "{said}");
    let (code, said, errors) = rowhouse(&house, &[&["undo", "--to", &old, "--json"], &shares[..]].concat()).await;
    let run: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &run["canaries"], &run["max_failures"]), (0, &json!(2), &json!(3)), "{said}{errors}");
    assert_eq!(run["counts"]["done"], 4, "{said}");
}
