//! Jobs that work on trees, given up: what they were at is neither stuck nor forgotten.

use std::time::{Duration, Instant};

use rowhouse_testkit::{Given, TestHouse};
use serde_json::{Value, json};

use crate::suite::folder_copies::{fill_with_versions, live_files, upload};
use crate::suite::folders::fill;
use crate::suite::recount::recount;
use crate::suite::trash::mark;
use crate::suite::trees::ended;

/// A house that gives a job up after one attempt.
async fn impatient_house() -> TestHouse {
    crate::house_with(|settings| settings.work.max_attempts = 1).await
}

/// From now on every change to a file of the name `poison` fails, and so does the making of one.
pub(crate) async fn poison(house: &TestHouse, given: &Given) {
    let poison = "alter table files add constraint sabotage check (name <> 'poison') not valid";
    house.inside(given).await.run(poison).await.unwrap();
}

pub(crate) async fn heal(house: &TestHouse, given: &Given) {
    house.inside(given).await.run("alter table files drop constraint sabotage").await.unwrap();
}

/// The same as if its pause were over: somebody looks, and it is tried again.
async fn let_time_pass(house: &TestHouse, given: &Given) {
    let age = "update jobs set finished_at = finished_at - interval '2 hours'
        where tenant_id = app_tenant_id() and state = 'failed' and kind in ('delete_tree', 'restore_tree', 'purge_tree') returning 1";
    assert!(!house.tenant_rows(given, age).await.is_empty(), "none was given up");
    house.sql(&mark(given)).await;
}

/// The job, once it is done.
async fn done(given: &Given, job: &str) -> Value {
    let begun = Instant::now();
    loop {
        let view = given.data.get(job).await.expect(200).json();
        if view["state"] == "done" {
            return view;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A folder with more files in it than a request deals with, one of them poisoned.
async fn large_folder(house: &TestHouse, given: &Given) -> String {
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let _ = upload(given, &inner, "poison", "poison").await;
    fill(house, given, &inner, 1_500).await;
    outer
}

#[tokio::test]
async fn deletions_and_restorings_that_were_given_up_are_tried_again() {
    let house = impatient_house().await;
    let given = house.tenant().await;
    let outer = large_folder(&house, &given).await;
    poison(&house, &given).await;
    let path = format!("/v1/folders/{outer}");
    let deleted = given.data.delete(&path).await.expect(202);
    let job = ended(&given, deleted.header("location")).await;
    assert_eq!(job["state"], "failed", "{job}");
    // Half of it may live still: it is hidden, and not purged as it is.
    assert_eq!(given.data.get("/v1/files").await.expect(200).json()["items"], json!([]));
    given.data.delete(&format!("{path}?purge=true")).await.problem(409, "job_running");
    heal(&house, &given).await;
    let_time_pass(&house, &given).await;
    let job = done(&given, deleted.header("location")).await;
    assert_eq!((&job["done"], &job["total"], &job["error"]), (&json!(1_503), &json!(1_503), &json!(null)), "{job}");

    poison(&house, &given).await;
    let restored = given.data.post(&format!("{path}/restore"), &json!({})).await.expect(202);
    assert_eq!(ended(&given, restored.header("location")).await["state"], "failed");
    given.data.get(&path).await.problem(404, "not_found");
    heal(&house, &given).await;
    let_time_pass(&house, &given).await;
    let _ = done(&given, restored.header("location")).await;
    let _ = given.data.get(&path).await.expect(200);
    assert_eq!(live_files(&house, &given).await, 1_501);
}

/// Brings a folder back to life within a deleted one, or ends that: then the purge of the outer one fails.
async fn set_alive(house: &TestHouse, given: &Given, name: &str, is_alive: bool) {
    let deleted = if is_alive { "null, deleted_with = null" } else { "now()" };
    let set = format!(
        "update folders set deleted_at = {deleted} where tenant_id = app_tenant_id() and name = '{name}' returning 1"
    );
    assert_eq!(house.tenant_rows(given, &set).await.len(), 1);
}

#[tokio::test]
async fn a_purge_that_was_given_up_goes_on_when_it_is_asked_for_again_or_by_itself() {
    let house = impatient_house().await;
    let given = house.tenant().await;
    for is_asked_for in [true, false] {
        let outer = given.folder("outer", None).await;
        // What was made last goes first: this one is still there when it fails.
        let old = given.folder("old", Some(&outer)).await;
        let inner = given.folder("inner", Some(&outer)).await;
        let _ = upload(&given, &inner, "a", "four").await;
        let path = format!("/v1/folders/{outer}");
        for path in [&format!("/v1/folders/{old}"), &path] {
            let _ = given.data.delete(path).await.expect(204);
        }
        set_alive(&house, &given, "inner", true).await;
        let purge = format!("{path}?purge=true");
        let answer = given.data.delete(&purge).await.expect(202);
        let job = ended(&given, answer.header("location")).await;
        assert_eq!(job["state"], "failed", "{job}");
        set_alive(&house, &given, "inner", false).await;
        // Also what was deleted by itself before.
        for folder in [&outer, &inner, &old] {
            given.data.post(&format!("/v1/folders/{folder}/restore"), &json!({})).await.problem(410, "gone");
        }
        if is_asked_for {
            let again = given.data.delete(&purge).await.expect(202);
            assert_eq!(again.header("location"), answer.header("location"));
        } else {
            let_time_pass(&house, &given).await;
        }
        let job = done(&given, answer.header("location")).await;
        assert_eq!(job["done"], job["total"], "{job}");
        given.data.delete(&purge).await.problem(404, "not_found");
        house.expect_used(0).await;
        assert_eq!(recount(&house, &given).await, 0);
    }
}

#[tokio::test]
async fn a_purge_takes_along_what_another_one_has_left() {
    let house = impatient_house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    let innermost = given.folder("innermost", Some(&inner)).await;
    let _ = upload(&given, &innermost, "a", "four").await;
    let _ = given.data.delete(&format!("/v1/folders/{inner}")).await.expect(204);
    set_alive(&house, &given, "innermost", true).await;
    let answer = given.data.delete(&format!("/v1/folders/{inner}?purge=true")).await.expect(202);
    assert_eq!(ended(&given, answer.header("location")).await["state"], "failed");
    set_alive(&house, &given, "innermost", false).await;
    let _ = given.data.delete(&format!("/v1/folders/{outer}")).await.expect(204);
    let all = given.data.delete(&format!("/v1/folders/{outer}?purge=true")).await.expect(202);
    let _ = done(&given, all.header("location")).await;
    house.expect_used(0).await;
    let_time_pass(&house, &given).await;
    let _ = done(&given, answer.header("location")).await;
    assert!(!has_covers(&house, &given).await);
    assert_eq!(recount(&house, &given).await, 0);
}

#[tokio::test]
async fn nothing_is_purged_while_something_in_it_is_still_being_deleted() {
    let house = impatient_house().await;
    let given = house.tenant().await;
    let top = given.folder("top", None).await;
    let middle = large_folder(&house, &given).await;
    let _ = given.data.patch(&format!("/v1/folders/{middle}"), &json!({"parent_id": top})).await.expect(200);
    let outside = given.data.post("/v1/workspaces", &json!({"name": "Outside"})).await.expect(201).text("id");
    let into = json!({"parent_workspace_id": outside});
    let _ = given.data.patch(&format!("/v1/workspaces/{}", given.workspace), &into).await.expect(200);
    poison(&house, &given).await;
    let path = format!("/v1/folders/{middle}");
    let deleted = given.data.delete(&path).await.expect(202);
    assert_eq!(ended(&given, deleted.header("location")).await["state"], "failed");
    for around in [format!("/v1/folders/{top}"), format!("/v1/workspaces/{outside}")] {
        let _ = given.data.delete(&around).await.expect(204);
    }
    given.data.delete(&format!("/v1/workspaces/{outside}?purge=true")).await.problem(409, "job_running");
    heal(&house, &given).await;
    let_time_pass(&house, &given).await;
    let _ = done(&given, deleted.header("location")).await;
    let purged = given.data.delete(&format!("/v1/workspaces/{outside}?purge=true")).await.expect(202);
    let job = done(&given, purged.header("location")).await;
    // Two workspaces, three folders and all files.
    assert_eq!((&job["done"], &job["total"]), (&json!(1_506), &json!(1_506)), "{job}");
}

#[tokio::test]
async fn one_that_can_not_be_purged_yet_holds_up_no_other() {
    let house = crate::house_with(|settings| {
        settings.work.max_attempts = 1;
        settings.trash.retention = Duration::from_secs(3);
    })
    .await;
    let given = house.tenant().await;
    let (top, other) = (given.folder("top", None).await, given.folder("other", None).await);
    let middle = large_folder(&house, &given).await;
    let _ = given.data.patch(&format!("/v1/folders/{middle}"), &json!({"parent_id": top})).await.expect(200);
    poison(&house, &given).await;
    let deleted = given.data.delete(&format!("/v1/folders/{middle}")).await.expect(202);
    assert_eq!(ended(&given, deleted.header("location")).await["state"], "failed");
    for folder in [&top, &other] {
        let _ = given.data.delete(&format!("/v1/folders/{folder}")).await.expect(204);
    }
    let left = async || {
        let left =
            house.tenant_rows(&given, "select name from folders where tenant_id = app_tenant_id() order by name").await;
        left.iter().map(|row| row.try_get::<_, String>(0).unwrap()).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    while left().await.len() > 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(left().await, ["inner", "outer", "top"]);
    heal(&house, &given).await;
    let_time_pass(&house, &given).await;
    let begun = Instant::now();
    while !left().await.is_empty() {
        house.sql(&mark(&given)).await;
        assert!(begun.elapsed() < Duration::from_secs(90), "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_copy_that_was_given_up_leaves_nothing() {
    let house = impatient_house().await;
    let given = house.tenant().await;
    let outer = given.folder("outer", None).await;
    let inner = given.folder("inner", Some(&outer)).await;
    fill_with_versions(&house, &given, &inner, 2_500).await;
    // It comes last: something is made and charged before it is given up.
    let deepest = given.folder("deepest", Some(&inner)).await;
    let _ = upload(&given, &deepest, "poison", "poison").await;
    poison(&house, &given).await;
    let answer = given.data.post(&format!("/v1/folders/{outer}/copy"), &json!({"name": "copy"})).await.expect(202);
    // First it is given up; then what it has made goes.
    let begun = Instant::now();
    while live_files(&house, &given).await != 2_502 || has_covers(&house, &given).await {
        assert!(begun.elapsed() < Duration::from_secs(60), "something of it stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let job = ended(&given, answer.header("location")).await;
    assert_eq!(job["state"], "failed", "{job}");
    house.expect_used(25_016).await;
    house.expect_reserved(0).await;
    assert_eq!(recount(&house, &given).await, 25_016);
    // Both places are free again.
    let _ = given.data.delete(&format!("/v1/folders/{inner}")).await.expect(202);
}

async fn has_covers(house: &TestHouse, given: &Given) -> bool {
    let covers = "select 1 from covers where tenant_id = app_tenant_id()";
    !house.tenant_rows(given, covers).await.is_empty()
}
