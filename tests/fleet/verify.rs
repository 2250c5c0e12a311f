//! Schemas against the templates of their versions.

use std::time::{Duration, Instant};

use rowhouse_database::quote_ident;
use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::{Value, json};

use crate::deaths::is_soak;
use crate::workers::{occupy, until_one_is_running};
use crate::{NEW, OLD, go, house, house_with, look, make, number_in, place, rowhouse, spoil, start, until};

pub(crate) const DROP: &str = "drop index files_tags_idx";

/// Changes a tenant's schema by hand.
pub(crate) async fn meddle(house: &TestHouse, tenant: &str, sql: &str) {
    let (database, schema) = place(house, tenant).await;
    let path = format!("set role rowhouse_owner; set search_path = {}, extensions", quote_ident(&schema));
    let admin = TestCluster::get().admin(&database).await;
    admin.run(&path).await.unwrap();
    admin.run(sql).await.unwrap();
}

/// Waits for a sweep to be through, and gives it.
async fn through(house: &TestHouse, path: &str) -> Value {
    let begun = Instant::now();
    loop {
        let sweep = house.admin.get(path).await.expect(200).json();
        if sweep["state"] == "done" {
            return sweep;
        }
        let patience = Duration::from_secs(if is_soak() { 600 } else { 60 });
        assert!(begun.elapsed() < patience, "it does not end: {sweep}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Compares all schemas.
pub(crate) async fn sweep(house: &TestHouse) -> Value {
    let begun = house.admin.post("/v1/schema-sweeps", &json!({})).await.expect(201);
    through(house, begun.header("location")).await
}

pub(crate) async fn differing(house: &TestHouse) -> Vec<Value> {
    let listed = house.admin.get("/v1/schema-checks?state=different").await.expect(200).json();
    listed["items"].as_array().unwrap().clone()
}

/// Waits for the sweep that follows a run.
async fn followed(house: &TestHouse, run: &str) -> Value {
    let id = run.rsplit('/').next().unwrap();
    let begun = Instant::now();
    loop {
        let sweeps = house.admin.get("/v1/schema-sweeps").await.expect(200).json();
        let of_run = sweeps["items"].as_array().unwrap().iter().find(|sweep| sweep["run_id"] == id).cloned();
        if let Some(sweep) = of_run {
            return through(house, &format!("/v1/schema-sweeps/{}", sweep["id"].as_str().unwrap())).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no sweep follows {run}: {sweeps}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn one_index_that_was_dropped_in_one_of_many_schemas_is_found_in_one_sweep_and_repaired() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "dedicated", 4).await;
    let in_schemas = make(&house, &organization, "schema", 4).await;
    make(&house, &organization, "shared", 2).await;
    let clean = sweep(&house).await;
    assert_eq!((&clean["schemas"], &clean["same"], &clean["different"]), (&json!(9), &json!(9), &json!(0)), "{clean}");
    meddle(&house, &in_schemas[2], DROP).await;
    let found = sweep(&house).await;
    assert_eq!((&found["same"], &found["different"]), (&json!(8), &json!(1)), "{found}");
    let schemas = differing(&house).await;
    assert_eq!((schemas.len(), &schemas[0]["tenant_id"]), (1, &json!(in_schemas[2])), "{schemas:?}");
    let differences = schemas[0]["differences"].as_array().unwrap();
    assert_eq!((differences.len(), &differences[0]["name"]), (1, &json!("files_tags_idx")), "{differences:?}");
    assert!(differences[0]["expected"].as_str().unwrap().starts_with("CREATE INDEX files_tags_idx"));
    assert_eq!((&differences[0]["found"], &schemas[0]["is_blocking"]), (&json!(null), &json!(true)));

    // From a terminal: the same, and what repairs it.
    let tenant = format!("tenant={}", in_schemas[2]);
    let (code, said, errors) = rowhouse(&house, &["verify", "--where", &tenant]).await;
    assert_eq!(code, 6, "{errors}");
    assert!(said.contains("index files_tags_idx is missing") && said.contains("expected: CREATE INDEX"), "{said}");
    let (code, plan, _) = rowhouse(&house, &["verify", "--repair-plan"]).await;
    assert_eq!((code, plan.matches("\\connect").count()), (6, 1), "{plan}");
    assert!(plan.contains("CREATE INDEX CONCURRENTLY files_tags_idx"), "{plan}");
    meddle(&house, &in_schemas[2], differences[0]["repair"].as_str().unwrap()).await;
    let (code, report, errors) = rowhouse(&house, &["verify", "--json"]).await;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, &report["same"], &report["differing"]), (0, &json!(9), &json!([])), "{errors}");
    house.expect_no_differences().await;
}

#[tokio::test]
async fn runs_pass_by_what_differs_until_it_is_the_same_again() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    meddle(&house, &tenants[1], "alter policy tenant_isolation on files using (true)").await;
    let found = sweep(&house).await;
    assert_eq!((&found["same"], &found["different"]), (&json!(2), &json!(1)), "{found}");
    let status = house.admin.get("/v1/migrations").await.expect(200).json();
    assert_eq!((&status["blocked"], &status["behind"]), (&json!(1), &json!(3)), "{status}");
    let (_, said, _) = rowhouse(&house, &["status"]).await;
    assert!(said.contains("1 blocked"), "{said}");
    let (code, said, errors) = rowhouse(&house, &["run", "--json"]).await;
    let run: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&run["counts"]["done"], &run["counts"]["failed"]), (&json!(2), &json!(0)), "{run}");
    assert!(code == 7 && run["counts"]["blocked"] == 1 && errors.contains("1 schemas differ"), "{code} {run} {errors}");
    assert_eq!(look(&house, &tenants[1]).await, (false, OLD));
    let repair = differing(&house).await[0]["differences"][0]["repair"].as_str().unwrap().to_owned();
    meddle(&house, &tenants[1], &repair).await;
    // Not before somebody has looked.
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 0);
    let _ = sweep(&house).await;
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 1);
    assert_eq!(look(&house, &tenants[1]).await, (true, NEW));
}

#[tokio::test]
async fn a_canary_that_differs_has_failed_before_others_follow() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    meddle(&house, &tenants[0], DROP).await;
    let run = start(&house, json!({"canary": "1", "max_failures": "1", "order": "oldest"})).await;
    let halted = until(&house, &run, "halted").await;
    assert_eq!((&halted["counts"]["failed"], &halted["counts"]["left"]), (&json!(1), &json!(2)), "{halted}");
    let failed = house.admin.get(&format!("{run}/schemas?state=failed")).await.expect(200).json();
    let said = failed["items"][0]["error"].as_str().unwrap();
    assert!(said.contains("index files_tags_idx is missing"), "{failed}");
    // It is at the version all the same, and its row says so.
    assert_eq!(look(&house, &tenants[0]).await, (true, NEW));
    house.expect_no_differences().await;
}

/// Makes writing down what is seen of schemas fail, so often.
async fn forget_looks(house: &TestHouse, times: u32) {
    house
        .sql(&format!(
            "create sequence looks;
            create function fail_to_record() returns trigger language plpgsql security definer set search_path = public as $$
            begin
                if nextval('looks') <= {times} then raise exception 'nobody takes notes'; end if;
                return new;
            end $$;
            create trigger fail_to_record before insert on schema_checks for each statement execute function fail_to_record()"
        ))
        .await;
}

#[tokio::test]
async fn a_canary_that_nobody_can_compare_has_failed_before_others_follow() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    go(&house, "down", OLD).await;
    forget_looks(&house, 1000).await;
    let run = start(&house, json!({"canary": "1", "order": "oldest"})).await;
    let halted = until(&house, &run, "halted").await;
    assert_eq!((&halted["counts"]["failed"], &halted["counts"]["left"]), (&json!(1), &json!(2)), "{halted}");
    let failed = house.admin.get(&format!("{run}/schemas?state=failed")).await.expect(200).json();
    let said = failed["items"][0]["error"].as_str().unwrap();
    assert!(said.contains("could not be compared") && said.contains("nobody takes notes"), "{failed}");
    assert_eq!(look(&house, &tenants[0]).await, (true, NEW));
    // The others are not waited for: the sweep behind the run looks at them.
    let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
    let run = start(&house, json!({"canary": "0", "verify": "all"})).await;
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(2), &json!(0)), "{done}");
}

#[tokio::test]
async fn a_canary_is_looked_at_again_where_nobody_could_tell() {
    let house = house().await;
    let organization = house.organization().await;
    make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    forget_looks(&house, 4).await;
    let run = start(&house, json!({"canary": "1", "order": "oldest"})).await;
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(2), &json!(0)), "{done}");
    assert!(number_in(&house, "select last_value from looks").await > 4);
}

#[tokio::test]
async fn what_is_lost_after_a_failed_migration_was_mended_is_not_what_it_left() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    spoil(&house, &tenants[0], "add").await;
    let run = start(&house, json!({"canary": "0"})).await;
    let done = until(&house, &run, "done").await;
    assert_eq!(done["counts"]["failed"], 1, "{done}");
    let failed = async || house.admin.get("/v1/migrations").await.expect(200).json()["failed"].clone();
    let _ = sweep(&house).await;
    assert_eq!(differing(&house).await[0]["is_blocking"], json!(false), "its run is to mend it");
    spoil(&house, &tenants[0], "drop").await;
    let _ = sweep(&house).await;
    // It is what it should be at the version that it is at, and has still not come to the other.
    assert_eq!((differing(&house).await.len(), failed().await), (0, json!(1)));
    // Where nobody could read it since, that it was well is not forgotten.
    house.sql("update schema_checks set state = 'unreadable', error = 'as after an outage'").await;
    meddle(&house, &tenants[0], "drop policy tenant_isolation on files").await;
    let _ = sweep(&house).await;
    assert_eq!(differing(&house).await[0]["is_blocking"], json!(true));
    assert_eq!(go(&house, "up", NEW).await["counts"]["done"], 0);
    assert_eq!(look(&house, &tenants[0]).await, (false, OLD));
}

#[tokio::test]
async fn a_schema_that_was_mended_where_it_was_to_be_counts_as_failed_no_more() {
    let house = house().await;
    let (tenants, run, _) = halted_for_its_canary(&house).await;
    let _ = house.admin.post(&format!("{run}/cancel"), &json!({})).await.expect(200);
    let failed = async || house.admin.get("/v1/migrations").await.expect(200).json()["failed"].clone();
    assert_eq!(failed().await, json!(1));
    let repair = differing(&house).await[0]["differences"][0]["repair"].as_str().unwrap().to_owned();
    meddle(&house, &tenants[0], &repair).await;
    let _ = sweep(&house).await;
    assert_eq!(failed().await, json!(0));
    meddle(&house, &tenants[0], DROP).await;
    let _ = sweep(&house).await;
    assert_eq!((failed().await, &differing(&house).await[0]["is_blocking"]), (json!(0), &json!(true)));
}

/// Three tenants, the first of which some index was dropped in, and a run that halted at it. As many may fail as by default: not
/// canaries.
async fn halted_for_its_canary(house: &TestHouse) -> (Vec<String>, String, Value) {
    let organization = house.organization().await;
    let tenants = make(house, &organization, "dedicated", 3).await;
    go(house, "down", OLD).await;
    meddle(house, &tenants[0], DROP).await;
    let run = start(house, json!({})).await;
    let halted = until(house, &run, "halted").await;
    (tenants, run, halted)
}

#[tokio::test]
async fn nothing_follows_a_canary_that_failed_and_a_failure_stays_one() {
    let house = house().await;
    let (tenants, run, halted) = halted_for_its_canary(&house).await;
    assert_eq!((&halted["counts"]["failed"], &halted["counts"]["left"]), (&json!(1), &json!(2)), "{halted}");
    assert_eq!(halted["reason"], "1 of 1 canaries failed");
    assert_eq!(look(&house, &tenants[1]).await, (false, OLD));

    // It is blocked, and at the version: the run can't come to it again.
    let resumed = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200).json();
    assert_eq!((&resumed["counts"]["failed"], &resumed["counts"]["blocked"]), (&json!(0), &json!(1)), "{resumed}");
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(2), &json!(1)), "{done}");
    let id = run.rsplit('/').next().unwrap();
    let (code, table, errors) = rowhouse(&house, &["watch", id]).await;
    assert!(code == 4 && table.contains("files_tags_idx"), "{code} {table} {errors}");
}

#[tokio::test]
async fn a_canary_that_was_mended_by_hand_has_not_failed() {
    let house = house().await;
    let (tenants, run, _) = halted_for_its_canary(&house).await;
    let repair = differing(&house).await[0]["differences"][0]["repair"].as_str().unwrap().to_owned();
    meddle(&house, &tenants[0], &repair).await;
    let _ = sweep(&house).await;
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(3), &json!(0)), "{done}");
}

#[tokio::test]
async fn what_a_run_has_migrated_is_compared_when_it_is_over() {
    let house = house_with(|settings| settings.migrations.verify_after_runs = true).await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    let back = start(&house, json!({"direction": "down", "to": OLD})).await;
    until(&house, &back, "done").await;
    followed(&house, &back).await;
    meddle(&house, &tenants[2], DROP).await;
    let run = start(&house, json!({"canary": "0"})).await;
    let done = until(&house, &run, "done").await;
    assert_eq!(done["counts"]["done"], 3, "{done}");
    let sweep = followed(&house, &run).await;
    assert_eq!((&sweep["cause"], &sweep["schemas"]), (&json!("run"), &json!(3)), "{sweep}");
    let schemas = differing(&house).await;
    assert_eq!((schemas.len(), &schemas[0]["tenant_id"]), (1, &json!(tenants[2])), "{sweep} {schemas:?}");
}

#[tokio::test]
async fn each_schema_is_compared_as_soon_as_it_is_migrated_unless_the_run_says_otherwise() {
    let house = house_with(|settings| {
        settings.migrations.verify_in_runs = true;
        settings.migrations.verify_after_runs = true;
    })
    .await;
    let organization = house.organization().await;
    let mut tenants = make(&house, &organization, "dedicated", 2).await;
    tenants.extend(make(&house, &organization, "schema", 2).await);
    go(&house, "down", OLD).await;
    meddle(&house, &tenants[2], DROP).await;
    let run = start(&house, json!({"order": "oldest"})).await;
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(3), &json!(1)), "{done}");
    assert_eq!(done["verify"], "all");
    let failed = house.admin.get(&format!("{run}/schemas?state=failed")).await.expect(200).json();
    let one = &failed["items"][0];
    assert_eq!((&one["tenant_id"], &one["phase"]), (&json!(tenants[2]), &json!("fleet")), "{failed}");
    assert!(one["error"].as_str().unwrap().contains("index files_tags_idx is missing"), "{failed}");
    let schemas = differing(&house).await;
    assert_eq!((schemas.len(), &schemas[0]["is_blocking"]), (1, &json!(true)), "{schemas:?}");
    let of_runs = "select count(*) from schema_sweeps where cause = 'run'";
    assert_eq!(number_in(&house, of_runs).await, 0, "nothing is left to look at");
    let back = go(&house, "down", OLD).await;
    assert_eq!((&back["counts"]["done"], &back["counts"]["blocked"]), (&json!(3), &json!(1)), "{back}");

    meddle(&house, &tenants[3], DROP).await;
    let (code, said, errors) = rowhouse(&house, &["run", "--verify", "canaries", "--json"]).await;
    let run: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&run["verify"], &run["counts"]["done"]), (&json!("canaries"), &json!(3)), "{run} {errors}");
    assert_eq!((code, &run["counts"]["failed"]), (0, &json!(0)), "{run} {errors}");
    let of_run = format!("/v1/migration-runs/{}", run["id"].as_str().unwrap());
    let sweep = followed(&house, &of_run).await;
    assert_eq!((&sweep["same"], &sweep["different"]), (&json!(1), &json!(1)), "the canary was looked at: {sweep}");
}

#[tokio::test]
async fn the_look_after_a_run_that_halted_waits_for_what_is_under_way() {
    let house = house_with(|settings| settings.migrations.verify_after_runs = true).await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    let back = start(&house, json!({"direction": "down", "to": OLD})).await;
    until(&house, &back, "done").await;
    followed(&house, &back).await;
    spoil(&house, &tenants[2], "add").await;
    let occupied = occupy(&house, &tenants[0]).await;
    let run = start(&house, json!({"canary": "0", "max_failures": "1", "lock_timeout_ms": 60_000})).await;
    until(&house, &run, "halted").await;
    // The one that failed may be the first that ends.
    until_one_is_running(&house, &run).await;
    // As long as the leader needs for several looks.
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(occupied);
    let sweep = followed(&house, &run).await;
    let counts = (&sweep["same"], &sweep["different"], &sweep["passed_by"]);
    assert_eq!(counts, (&json!(2), &json!(0), &json!(0)), "{sweep}");
}

#[tokio::test]
async fn what_was_seen_later_is_not_written_over() {
    let house = house().await;
    let organization = house.organization().await;
    let tenant = make(&house, &organization, "schema", 1).await.remove(0);
    let _ = sweep(&house).await;
    // As by somebody who looked after the sweep that is about to look.
    house.sql("update schema_checks set checked_at = now() + interval '1 hour'").await;
    meddle(&house, &tenant, DROP).await;
    let _ = sweep(&house).await;
    assert_eq!(differing(&house).await.len(), 0);
    house.sql("update schema_checks set checked_at = now() - interval '1 hour'").await;
    let _ = sweep(&house).await;
    assert_eq!(differing(&house).await.len(), 1);
    // Nor by a worker that looks at what it has migrated.
    house.sql("update schema_checks set state = 'same', differences = '[]', is_blocking = false, checked_at = now() + interval '1 hour'").await;
    let run = start(&house, json!({"direction": "down", "to": OLD, "verify": "all"})).await;
    let run = until(&house, &run, "done").await;
    assert_eq!((&run["counts"]["failed"], differing(&house).await.len()), (&json!(1), 0), "{run}");
}

#[tokio::test]
async fn a_schema_in_the_middle_of_a_migration_is_not_taken_for_one_that_differs() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 2).await;
    go(&house, "down", OLD).await;
    let occupied = occupy(&house, &tenants[0]).await;
    let run = start(&house, json!({"canary": "0", "parallel": 1, "lock_timeout_ms": 60_000})).await;
    until_one_is_running(&house, &run).await;
    // As far as a look can tell, it has lost an index meanwhile.
    meddle(&house, &tenants[0], DROP).await;
    let begun = Instant::now();
    // The worker has a moment from its claim to its lock.
    let seen = loop {
        let seen = sweep(&house).await;
        if seen["passed_by"] == 1 {
            break seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{seen}");
    };
    assert_eq!(seen["different"], 0, "{seen}");
    drop(occupied);
    until(&house, &run, "done").await;
}

/// Two tenants, and a run that has halted because its migration can't be applied to the first.
pub(crate) async fn halt(house: &TestHouse) -> (Vec<String>, String) {
    let organization = house.organization().await;
    let tenants = make(house, &organization, "dedicated", 2).await;
    go(house, "down", OLD).await;
    crate::spoil(house, &tenants[0], "add").await;
    let run = start(house, json!({"canary": "0", "max_failures": "1"})).await;
    until(house, &run, "halted").await;
    (tenants, run)
}

/// Takes away what kept such a run from going on, and has it go on.
pub(crate) async fn mend(house: &TestHouse, tenants: &[String], run: &str) {
    crate::spoil(house, &tenants[0], "drop").await;
    let _ = house.admin.post(&format!("{run}/resume"), &json!({})).await.expect(200);
    let done = until(house, run, "done").await;
    assert_eq!(done["counts"]["done"], 2, "{done}");
}

#[tokio::test]
async fn what_a_failed_migration_has_left_does_not_keep_the_run_from_mending_it() {
    let house = house().await;
    let (tenants, run) = halt(&house).await;
    let _ = sweep(&house).await;
    let schemas = differing(&house).await;
    assert_eq!((schemas.len(), &schemas[0]["is_blocking"]), (1, &json!(false)), "{schemas:?}");
    mend(&house, &tenants, &run).await;
}

#[tokio::test]
async fn it_is_done_on_a_schedule() {
    let house = house_with(|settings| settings.migrations.verify_every = Duration::from_secs(2)).await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 2).await;
    meddle(&house, &tenants[0], DROP).await;
    let begun = Instant::now();
    while differing(&house).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody has looked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sql = "select count(*) from schema_sweeps where cause = 'schedule' and started_by_kind = 'system'";
    assert!(number_in(&house, sql).await >= 1);
}

#[tokio::test]
async fn what_can_not_be_read_is_named_and_nonsense_refused() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 2).await;
    let (database, schema) = place(&house, &tenants[0]).await;
    let dropped = format!("drop schema {} cascade", quote_ident(&schema));
    TestCluster::get().admin(&database).await.run(&dropped).await.unwrap();
    let seen = sweep(&house).await;
    assert_eq!((&seen["same"], &seen["unreadable"]), (&json!(1), &json!(1)), "{seen}");
    house.admin.post("/v1/schema-sweeps", &json!({"where": {"size": 1}})).await.problem(422, "invalid_request");
    house.admin.get("/v1/schema-sweeps/swp_01jz3x5v8qf6k9m2n4p7r0s1t3").await.problem(404, "not_found");
}

/// Looks that were a glance only, of all houses here.
async fn glances(house: &TestHouse) -> u64 {
    let metrics = String::from_utf8(house.admin.anonymous().get("/metrics").await.expect(200).bytes).unwrap();
    let count = metrics.lines().find_map(|line| line.strip_prefix("rowhouse_schema_looks_total{depth=\"glance\"} "));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn what_a_run_has_migrated_is_recognised_at_a_glance() {
    let house = house_with(|settings| settings.migrations.verify_in_runs = true).await;
    let given = house.tenant().await;
    make(&house, &given.organization, "dedicated", 6).await;
    go(&house, "down", OLD).await;
    // The first that are looked at are what the others are recognised by, which takes a look at the whole of them.
    let before = glances(&house).await;
    go(&house, "up", NEW).await;
    let after = glances(&house).await;
    assert!(after >= before + 3, "{before} and then {after}");
}
