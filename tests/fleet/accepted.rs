//! Differences that are meant: runs come to their schemas, and are kept away by any other one.

use reqwest::Method;
use rowhouse_database::quote_ident;
use rowhouse_testkit::{Answer, TestCluster, TestHouse};
use serde_json::{Value, json};

use crate::verify::{differing, halt, meddle, mend, sweep};
use crate::{NEW, OLD, go, house, look, make, number_in, place, rowhouse, start, until};

const ADD: &str = "create index files_for_reports_idx on files (created_at)";
const CHANGE: &str = "drop index files_for_reports_idx; create index files_for_reports_idx on files (created_at, name)";
const DROP: &str = "drop index files_tags_idx";

fn path(tenant: &str) -> String {
    format!("/v1/tenants/{tenant}/schema-acceptance")
}

async fn put(house: &TestHouse, tenant: &str, body: &Value) -> Answer {
    Answer::of(house.admin.request(Method::PUT, &path(tenant)).json(body)).await
}

/// What was seen of a tenant's schema the last time.
async fn check(house: &TestHouse, tenant: &str) -> Value {
    let listed = house.admin.get(&format!("/v1/schema-checks?tenant_id={tenant}")).await.expect(200).json();
    listed["items"][0].clone()
}

/// The hashes of what differs, as whoever has looked at it sends them.
async fn seen(house: &TestHouse, tenant: &str) -> Vec<Value> {
    let check = check(house, tenant).await;
    check["differences"].as_array().unwrap().iter().map(|one| one["hash"].clone()).collect()
}

/// How many schemas are blocked, and how many differ as accepted.
async fn status(house: &TestHouse) -> (Value, Value) {
    let status = house.admin.get("/v1/migrations").await.expect(200).json();
    (status["blocked"].clone(), status["accepted"].clone())
}

/// A look finds that it differs further, and runs pass by one of three.
async fn expect_blocked(house: &TestHouse) {
    let found = sweep(house).await;
    assert_eq!((&found["same"], &found["different"], &found["accepted"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(status(house).await, (json!(1), json!(0)));
    assert_eq!(go(house, "down", OLD).await["counts"]["done"], 2);
}

/// Makes the index again that `DROP` takes away.
async fn repair(house: &TestHouse, tenant: &str) {
    let check = check(house, tenant).await;
    let missing = check["differences"].as_array().unwrap().iter().find(|one| one["name"] == "files_tags_idx").unwrap();
    meddle(house, tenant, missing["repair"].as_str().unwrap()).await;
}

#[tokio::test]
async fn runs_come_to_a_schema_whose_difference_is_meant_and_not_to_one_that_differs_further() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "dedicated", 3).await;
    let large = &tenants[1];
    meddle(&house, large, ADD).await;
    let _ = sweep(&house).await;
    assert_eq!(status(&house).await, (json!(1), json!(0)));
    assert_eq!(go(&house, "down", OLD).await["counts"]["done"], 2);

    let reason = "an index for their reports";
    // Nobody is there to be asked.
    let (code, said, errors) = rowhouse(&house, &["accept", large, "--reason", reason]).await;
    assert!(code == 1 && said.contains("files_for_reports_idx") && errors.contains("--yes"), "{said}{errors}");
    assert_eq!(status(&house).await, (json!(1), json!(0)));
    let (code, said, errors) = rowhouse(&house, &["accept", large, "--reason", reason, "--yes"]).await;
    assert!(code == 0 && said.contains("index files_for_reports_idx should not be there"), "{said}{errors}");
    // At once, without another look.
    assert_eq!(status(&house).await, (json!(0), json!(1)));
    // Whether it is a canary or not.
    assert_eq!(go(&house, "down", OLD).await["counts"]["done"], 1);
    let run = start(&house, json!({"canary": "3", "max_failures": "1", "order": "oldest"})).await;
    let done = until(&house, &run, "done").await;
    assert_eq!((&done["counts"]["done"], &done["counts"]["failed"]), (&json!(3), &json!(0)), "{done}");
    assert_eq!(look(&house, large).await, (true, NEW));
    let (code, said, errors) = rowhouse(&house, &["verify"]).await;
    assert!(code == 0 && errors.contains("2 of 3") && errors.contains("1 differ as accepted"), "{said}{errors}");
    assert!(said.contains("all of this is accepted") && said.contains(reason), "{said}");
    let (_, said, _) = rowhouse(&house, &["status"]).await;
    assert!(said.contains("0 blocked, 1 different as accepted"), "{said}");

    // One more, which is repaired.
    meddle(&house, large, DROP).await;
    expect_blocked(&house).await;
    let (code, said, _) = rowhouse(&house, &["verify"]).await;
    assert!(code == 6 && said.contains("not all of this is accepted"), "{said}");
    repair(&house, large).await;
    let again = sweep(&house).await;
    assert_eq!((&again["different"], &again["accepted"]), (&json!(0), &json!(1)), "{again}");
    go(&house, "up", NEW).await;
    // The one that was accepted in another form.
    meddle(&house, large, CHANGE).await;
    expect_blocked(&house).await;
    let (code, said, errors) = rowhouse(&house, &["accept", large, "--reason", reason, "--yes"]).await;
    assert!(code == 0, "{said}{errors}");
    assert_eq!(status(&house).await, (json!(0), json!(1)));
    go(&house, "up", NEW).await;

    // Nothing is accepted any more: from now on, not from the next look.
    let (code, said, errors) = rowhouse(&house, &["revoke", large]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert_eq!(status(&house).await, (json!(1), json!(0)));
    assert_eq!(go(&house, "down", OLD).await["counts"]["done"], 2);
    let _ = sweep(&house).await;
    assert_eq!((status(&house).await, differing(&house).await.len()), ((json!(1), json!(0)), 1));
    let audited = "select count(*) from audit_logs where tenant_id is not null and (action = 'schema_acceptance.put'
        and after ->> 'reason' = 'an index for their reports' or action = 'schema_acceptance.delete' and before is not null)";
    assert_eq!(number_in(&house, audited).await, 4);
    house.expect_no_differences().await;
}

#[tokio::test]
async fn a_canary_that_differs_further_than_what_was_accepted_has_failed() {
    let house = house().await;
    let organization = house.organization().await;
    let tenants = make(&house, &organization, "schema", 2).await;
    meddle(&house, &tenants[0], ADD).await;
    let _ = sweep(&house).await;
    let body = json!({"reason": "meant", "differences": seen(&house, &tenants[0]).await});
    let _ = put(&house, &tenants[0], &body).await.expect(200);
    go(&house, "down", OLD).await;
    meddle(&house, &tenants[0], DROP).await;
    let run = start(&house, json!({"canary": "1", "max_failures": "1", "order": "oldest"})).await;
    let halted = until(&house, &run, "halted").await;
    assert_eq!((&halted["counts"]["failed"], &halted["counts"]["left"]), (&json!(1), &json!(1)), "{halted}");
}

/// What was seen the last time, and whether it blocks.
async fn standing(house: &TestHouse, tenant: &str) -> (Value, Value) {
    let check = check(house, tenant).await;
    (check["state"].clone(), check["is_blocking"].clone())
}

#[tokio::test]
async fn what_was_accepted_and_repaired_blocks_when_it_is_lost_again() {
    let house = house().await;
    let organization = house.organization().await;
    let tenant = make(&house, &organization, "schema", 1).await.remove(0);
    for change in [ADD, DROP] {
        meddle(&house, &tenant, change).await;
    }
    let _ = sweep(&house).await;
    let body = json!({"reason": "meant", "differences": seen(&house, &tenant).await});
    let accepted = put(&house, &tenant, &body).await.expect(200).json();
    assert_eq!(accepted["differences"].as_array().unwrap().len(), 2, "{accepted}");
    // One of the two is repaired: the other stays accepted, as it was.
    repair(&house, &tenant).await;
    let _ = sweep(&house).await;
    assert_eq!(standing(&house, &tenant).await, (json!("accepted"), json!(false)));
    let left = check(&house, &tenant).await["acceptance"].clone();
    assert_eq!(left["differences"].as_array().unwrap().len(), 1, "{left}");
    for name in ["reason", "accepted_at", "accepted_by", "accepted_by_kind"] {
        assert_eq!(left[name], accepted[name], "{left}");
    }
    meddle(&house, &tenant, DROP).await;
    let _ = sweep(&house).await;
    assert_eq!(standing(&house, &tenant).await, (json!("different"), json!(true)));
    // Then both, and the other comes again.
    repair(&house, &tenant).await;
    meddle(&house, &tenant, "drop index files_for_reports_idx").await;
    let _ = sweep(&house).await;
    assert_eq!(standing(&house, &tenant).await, (json!("same"), json!(false)));
    assert_eq!(check(&house, &tenant).await["acceptance"], json!(null));
    meddle(&house, &tenant, ADD).await;
    let _ = sweep(&house).await;
    assert_eq!(standing(&house, &tenant).await, (json!("different"), json!(true)));
    let audited = "select count(*) from audit_logs where resource_type = 'schema_acceptance' and actor_kind = 'system'
        and tenant_id is not null and before is not null";
    assert_eq!(number_in(&house, audited).await, 2);
}

#[tokio::test]
async fn a_run_still_mends_what_it_has_left_where_that_was_accepted_and_is_not_any_more() {
    let house = house().await;
    let (tenants, run) = halt(&house).await;
    let _ = sweep(&house).await;
    assert_eq!(standing(&house, &tenants[0]).await, (json!("different"), json!(false)));
    let body = json!({"reason": "meant", "differences": seen(&house, &tenants[0]).await});
    let _ = put(&house, &tenants[0], &body).await.expect(200);
    let _ = house.admin.delete(&path(&tenants[0])).await.expect(204);
    assert_eq!(standing(&house, &tenants[0]).await, (json!("different"), json!(false)));
    mend(&house, &tenants, &run).await;
}

#[tokio::test]
async fn a_schema_that_could_not_be_read_since_is_blocked_when_nothing_is_accepted_any_more() {
    let house = house().await;
    let organization = house.organization().await;
    let tenant = make(&house, &organization, "schema", 1).await.remove(0);
    meddle(&house, &tenant, ADD).await;
    let _ = sweep(&house).await;
    let body = json!({"reason": "meant", "differences": seen(&house, &tenant).await});
    let _ = put(&house, &tenant, &body).await.expect(200);
    let (database, schema) = place(&house, &tenant).await;
    let (here, away) = (quote_ident(&schema), quote_ident(&format!("{schema}_away")));
    let admin = TestCluster::get().admin(&database).await;
    admin.run(&format!("alter schema {here} rename to {away}")).await.unwrap();
    let _ = sweep(&house).await;
    assert_eq!(standing(&house, &tenant).await, (json!("unreadable"), json!(false)));
    let _ = house.admin.delete(&path(&tenant)).await.expect(204);
    assert_eq!(standing(&house, &tenant).await, (json!("unreadable"), json!(true)));
    admin.run(&format!("alter schema {away} rename to {here}")).await.unwrap();
    assert_eq!(go(&house, "down", OLD).await["counts"]["done"], 0);
}

#[tokio::test]
async fn only_what_somebody_has_looked_at_is_accepted() {
    let house = house().await;
    let organization = house.organization().await;
    let tenant = make(&house, &organization, "dedicated", 1).await.remove(0);
    let accept = |differences: Vec<Value>| json!({"reason": "meant", "differences": differences});
    // Nobody has looked at all, and then nothing differs.
    put(&house, &tenant, &accept(vec![])).await.problem(409, "invalid_transition");
    let _ = sweep(&house).await;
    put(&house, &tenant, &accept(vec![])).await.problem(409, "invalid_transition");
    let (code, _, errors) = rowhouse(&house, &["accept", &tenant, "--reason", "meant"]).await;
    assert!(code == 1 && errors.contains("rowhouse migrate verify"), "{errors}");
    meddle(&house, &tenant, ADD).await;
    let _ = sweep(&house).await;
    let first = seen(&house, &tenant).await;
    // Meanwhile, something else.
    meddle(&house, &tenant, DROP).await;
    let _ = sweep(&house).await;
    let told = put(&house, &tenant, &accept(first.clone())).await.problem(412, "precondition_failed");
    assert!(told["detail"].as_str().unwrap().contains("files_tags_idx"), "{told}");
    put(&house, &tenant, &json!({"reason": " ", "differences": first})).await.problem(422, "invalid_request");
    put(&house, "ten_01jz3x5v8qf6k9m2n4p7r0s1t3", &accept(first)).await.problem(404, "not_found");
    assert_eq!(status(&house).await, (json!(1), json!(0)));
    // Nothing is revoked, which is no error.
    let _ = house.admin.delete(&path(&tenant)).await.expect(204);
    assert_eq!(check(&house, &tenant).await["acceptance"], json!(null));
}

#[tokio::test]
async fn it_counts_for_all_who_share_a_schema_and_is_forgotten_with_its_tenant() {
    let house = house().await;
    let organization = house.organization().await;
    let shared = make(&house, &organization, "shared", 2).await;
    let own = make(&house, &organization, "dedicated", 1).await.remove(0);
    for tenant in [&shared[0], &own] {
        meddle(&house, tenant, ADD).await;
    }
    let _ = sweep(&house).await;
    for tenant in [&shared[1], &own] {
        let body = json!({"reason": "meant", "differences": seen(&house, tenant).await});
        let _ = put(&house, tenant, &body).await.expect(200);
    }
    assert_eq!(check(&house, &shared[0]).await["acceptance"]["reason"], "meant");
    assert_eq!(go(&house, "down", OLD).await["counts"]["done"], 2);
    let name = house.admin.get(&format!("/v1/tenants/{own}")).await.expect(200).text("name");
    let _ = house.admin.delete(&format!("/v1/tenants/{own}")).await.expect(204);
    let _ = house.admin.post(&format!("/v1/tenants/{own}/purge"), &json!({"name": name})).await.expect(204);
    assert_eq!(number_in(&house, "select count(*) from schema_acceptances").await, 1);
    house.expect_no_differences().await;
}
