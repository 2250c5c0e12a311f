//! Runs that don't go well.

use std::time::Duration;

use rowhouse_testkit::TestCluster;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::workers::{occupy, until_one_waits};
use crate::{NEW, OLD, go, house, look, make, place, rowhouse, spoil, start, until};

#[tokio::test]
async fn a_run_halts_when_too_many_fail_and_goes_on_when_they_are_mended() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 6).await;
    go(&house, "down", OLD).await;
    spoil(&house, &tenants[3], "add").await;
    let body = json!({"parallel": 1, "max_failures": "1", "canary": "0", "order": "oldest"});
    let run = start(&house, body.clone()).await;
    let halted = until(&house, &run, "halted").await;
    let counts = &halted["counts"];
    assert_eq!((&counts["done"], &counts["failed"], &counts["left"]), (&json!(3), &json!(1), &json!(2)), "{halted}");
    let failed = house.admin.get(&format!("{run}/schemas?state=failed")).await.expect(200).json();
    let one = &failed["items"][0];
    assert_eq!((&one["tenant_id"], &one["sqlstate"]), (&json!(tenants[3]), &json!("42701")), "{failed}");
    assert!(one["error"].as_str().unwrap().contains("motto"), "{one}");
    for (number, tenant) in tenants.iter().enumerate() {
        let expected = if number < 3 { (true, NEW) } else { (number == 3, OLD) };
        assert_eq!(look(&house, tenant).await, expected, "tenant {number}");
    }
    // A second operator is told of it.
    let refused = house.admin.post("/v1/migration-runs", &body).await.problem(409, "migration_running");
    assert!(refused["detail"].as_str().unwrap().contains("halted"), "{refused}");
    spoil(&house, &tenants[3], "drop").await;
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(6), &json!(0)), "{done}");
    house.admin.post(&format!("{run}/pause"), &json!({})).await.problem(409, "migration_run_ended");
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_migration_that_loses_its_session_again_has_failed() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 1).await;
    go(&house, "down", OLD).await;
    let occupied = occupy(&house, &tenants[0]).await;
    let run = start(&house, json!({"canary": "0", "max_failures": "1", "lock_timeout_ms": 60_000})).await;
    let (database, _) = place(&house, &tenants[0]).await;
    let admin = TestCluster::get().admin("postgres").await;
    let end =
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'";
    // The server ends it, as it does when it crashes.
    for _ in 0..2 {
        until_one_waits(&house, &tenants[0]).await;
        assert_eq!(admin.query(end, &[&database]).await.unwrap().len(), 1);
    }
    let halted = until(&house, &run, "halted").await;
    let failed = house.admin.get(&format!("{run}/schemas?state=failed")).await.expect(200).json();
    assert_eq!(
        (&failed["items"][0]["sqlstate"], &halted["counts"]["failed"]),
        (&json!("57P01"), &json!(1)),
        "{failed}"
    );
    assert_eq!(look(&house, &tenants[0]).await, (false, OLD));
    drop(occupied);
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    assert_eq!(until(&house, &run, "done").await["counts"]["done"], 1);
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_cancelled_run_leaves_the_rest_as_it_was() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    let run = start(&house, json!({"canary": "1", "soak_seconds": 3600})).await;
    while house.admin.get(&run).await.expect(200).json()["phase"] != "soak" {}
    let paused = house.admin.post(&format!("{run}/pause"), &json!({})).await.expect(200).json();
    assert_eq!(paused["state"], "paused");
    let cancelled = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200).json();
    assert_eq!((&cancelled["state"], &cancelled["counts"]["done"]), (&json!("cancelled"), &json!(1)), "{cancelled}");
    let mut at_the_new = 0;
    for tenant in &tenants {
        at_the_new += i32::from(look(&house, tenant).await == (true, NEW));
    }
    assert_eq!(at_the_new, 1);
    // Nothing stands in the way of another.
    let run = go(&house, "up", NEW).await;
    assert_eq!(run["counts"]["done"], 2, "{run}");
}

#[tokio::test]
async fn nonsense_is_refused_field_by_field() {
    let house = house().await;
    for (body, pointer) in [
        (json!({"to": 99}), "/to"),
        (json!({"direction": "down"}), "/to"),
        (json!({"direction": "down", "to": 0}), "/to"),
        (json!({"canary": "many"}), "/canary"),
        (json!({"max_failures": "-1"}), "/max_failures"),
        (json!({"parallel": 0}), "/parallel"),
        (json!({"batch": 0}), "/batch"),
        (json!({"lock_timeout_ms": 0}), "/lock_timeout_ms"),
    ] {
        let refused = house.admin.post("/v1/migration-runs", &body).await.problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    house.admin.get("/v1/migration-runs/mig_01jz3x5v8qf6k9m2n4p7r0s1t3").await.problem(404, "not_found");
}

/// An address where each request gets the next of some answers, and the last one from then on.
async fn answering(answers: Vec<(u16, Value)>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (status, body) = answers.get(number).or(answers.last()).unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn who_watches_waits_for_a_control_plane_that_is_away_and_not_for_one_that_refuses() {
    let run = |state: &str| {
        json!({"id": "mig_01jz3x5v8qf6k9m2n4p7r0s1t3", "state": state, "phase": "fleet", "target_version": NEW,
            "dry_run": null, "reason": null, "slowest": null, "counts": {"done": 2, "failed": 0, "running": 0}})
    };
    let refusal = |code: &str| json!({"code": code, "detail": "said so", "request_id": "req_1"});
    let away = (503, refusal("unavailable"));
    let watch = async |answers: Vec<(u16, Value)>| {
        let mut command = tokio::process::Command::new(rowhouse_testkit::program("rowhouse"));
        command.args(["migrate", "watch", "mig_01jz3x5v8qf6k9m2n4p7r0s1t3", "--key", "x", "--url"]);
        command.arg(answering(answers).await).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it ends").unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let going = (200, run("running"));
    let (code, said) =
        watch(vec![going.clone(), going.clone(), away.clone(), away.clone(), going.clone(), (200, run("done"))]).await;
    assert_eq!(code, Some(0), "{said}");
    // Where there is no terminal, progress is lines.
    assert!(said.contains("2 of 2 fleet: 0 running, 0 failed") && said.contains("done after"), "{said}");
    let (code, said) = watch(vec![going.clone(), going, (403, refusal("forbidden"))]).await;
    assert!(code == Some(1) && said.contains("forbidden"), "{said}");
    let (code, said) = watch(vec![away]).await;
    assert!(code == Some(1) && said.contains("unavailable"), "nobody was there to begin with: {said}");
}

#[tokio::test]
async fn the_command_says_how_it_ended() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    let rowhouse = async |arguments: &[&str]| rowhouse(&house, arguments).await;
    let old = OLD.to_string();
    assert_eq!(rowhouse(&["undo", "--to", &old]).await.0, 0);
    let (code, said, _) = rowhouse(&["status"]).await;
    assert!(code == 0 && said.contains(&format!("3 schemas, 3 behind version {NEW}")), "{said}");
    spoil(&house, &tenants[1], "add").await;
    let (code, table, errors) = rowhouse(&["run", "--canary", "0", "--parallel", "1", "--max-failures", "1"]).await;
    assert_eq!(code, 3, "{errors}");
    assert!(table.contains("42701") && errors.contains("rowhouse migrate resume mig_"), "{table}{errors}");
    let (code, _, errors) = rowhouse(&["run"]).await;
    assert!(code == 1 && errors.contains("migration_running"), "{errors}");
    let run = errors.split_whitespace().find(|word| word.starts_with("mig_")).unwrap().to_owned();
    assert_eq!(rowhouse(&["resume", &run]).await.0, 0);
    assert_eq!(rowhouse(&["watch", &run]).await.0, 3, "it fails again");
    assert_eq!(rowhouse(&["cancel", &run]).await.0, 0);
    spoil(&house, &tenants[1], "drop").await;
    let (code, run, errors) = rowhouse(&["run", "--where", &format!("org={organization}"), "--json"]).await;
    let run: Value = serde_json::from_str(&run).unwrap();
    assert_eq!((code, &run["counts"]["done"]), (0, &json!(1)), "{errors}");
    assert_eq!(rowhouse(&["run", "--where", "size=1"]).await.0, 1);
    assert_eq!(look(&house, &tenants[1]).await, (true, NEW));
}
