//! Uploads into one workspace at once: they don't wait for each other, and whatever locks the workspace overlooks none of them.

use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use reqwest::Method;
use rowhouse_database::AdminConnection;
use rowhouse_domain::WorkspaceId;
use rowhouse_testkit::{Answer, Given, TestHouse};
use serde_json::json;

use crate::suite::recount::recount;
use crate::suite::s3::Setting;

const COUNTERS: &str = "select count(*) from workspace_counters where tenant_id = app_tenant_id()";
const HOLD_ROW: &str = "begin; select from workspaces where tenant_id = app_tenant_id() for no key update";
/// As an upload of this name does that has not been committed to yet.
const HOLD_COUNTER: &str = "begin; update workspace_counters set bytes = bytes
    where tenant_id = app_tenant_id() and slot = hashtext('held') & 63";
/// A name that is counted elsewhere.
const ANOTHER: &str = "select name from unnest(array['a', 'b', 'c']) name
    where hashtext(name) & 63 <> hashtext('held') & 63 limit 1";
const LONG_ENOUGH: Duration = Duration::from_millis(500);

async fn counters(house: &TestHouse, given: &Given) -> i64 {
    house.tenant_rows(given, COUNTERS).await[0].try_get(0).unwrap()
}

/// A session that holds something of the tenant's until it is to `commit`.
async fn hold(house: &TestHouse, given: &Given, what: &str) -> AdminConnection {
    let holder = house.inside(given).await;
    holder.run(what).await.unwrap();
    holder
}

/// Waits until so many calls of the function wait for locks: perhaps behind work behind the scenes, which waits for the same.
async fn until_they_wait(house: &TestHouse, given: &Given, function: &str, calls: usize) {
    let waiting = format!(
        "select from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and query like '%{function}%'"
    );
    let begun = Instant::now();
    while house.tenant_rows(given, &waiting).await.len() < calls {
        assert!(begun.elapsed() < Duration::from_secs(20), "{calls} don't wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn post(given: &Given, name: &str, size: usize) -> Answer {
    let path = format!("/v1/files?workspace_id={}&name={name}", given.workspace);
    given.data.upload(&path, vec![b'x'; size]).await
}

/// What [`meet`] uploads.
const MET: i64 = 2;

/// Has uploads meet, so that the workspace has counters.
async fn meet(house: &TestHouse, given: &Given) {
    have_met(house, given, &["one", "other"]).await;
}

/// The same for files of these names. All wait for one lock: the first makes the counters, and the others are counted there.
async fn have_met(house: &TestHouse, given: &Given, names: &[&str]) {
    let holder = hold(house, given, HOLD_ROW).await;
    let release = async {
        until_they_wait(house, given, "workspace_charge", names.len()).await;
        holder.run("commit").await.unwrap();
    };
    let (answers, ()) = tokio::join!(join_all(names.iter().map(|name| post(given, name, 1))), release);
    for answer in answers {
        let _ = answer.expect(201);
    }
    assert_eq!(counters(house, given).await, 64);
}

async fn used(given: &Given) -> i64 {
    let workspace = given.data.get(&format!("/v1/workspaces/{}", given.workspace)).await.expect(200).json();
    workspace["used_storage"].as_i64().unwrap()
}

#[tokio::test]
async fn they_do_not_wait_for_each_other_and_changes_wait_for_all() {
    let house = crate::house().await;
    let given = house.tenant().await;
    // Nobody is met, not even who makes the workspace known to search: the row alone counts.
    let begun = Instant::now();
    let jobs = "select from jobs where tenant_id = app_tenant_id() and state <> 'done'";
    while !house.tenant_rows(&given, jobs).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "there is still work to do");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let _ = post(&given, "first", 1).await.expect(201);
    assert_eq!(counters(&house, &given).await, 0);
    meet(&house, &given).await;
    let another: String = house.tenant_rows(&given, ANOTHER).await[0].try_get(0).unwrap();

    let holder = hold(&house, &given, HOLD_COUNTER).await;
    let _ = post(&given, &another, 10).await.expect(201);
    assert_eq!((used(&given).await, counters(&house, &given).await), (11 + MET, 64));
    let path = format!("/v1/workspaces/{}", given.workspace);
    let body = json!({"name": "Changed"});
    let change = given.data.patch(&path, &body);
    let release = async {
        until_they_wait(&house, &given, "workspace_lock", 1).await;
        holder.run("commit").await.unwrap();
    };
    let (changed, ()) = tokio::join!(change, release);
    assert_eq!(changed.expect(200).json()["used_storage"], 11 + MET);
    assert_eq!(counters(&house, &given).await, 0);
    assert_eq!(recount(&house, &given).await, 11 + MET);
    house.expect_no_differences().await;
}

#[tokio::test]
async fn uploads_leave_the_tag_of_their_workspace_as_it_is() {
    // Nothing is in the counters when the workspace is changed, or something.
    for names in [["one"].as_slice(), &["one", "other"]] {
        let house = crate::house().await;
        let given = house.tenant().await;
        let path = format!("/v1/workspaces/{}", given.workspace);
        let tag = given.data.get(&path).await.expect(200).header("etag").to_owned();
        have_met(&house, &given, names).await;
        let change =
            given.data.request(Method::PATCH, &path).header("if-match", &tag).json(&json!({"name": "Changed"}));
        let _ = Answer::of(change).await.expect(200);
    }
}

/// Makes a workspace and gives its id.
async fn make(given: &Given, name: &str) -> String {
    given.data.post("/v1/workspaces", &json!({"name": name})).await.expect(201).text("id")
}

async fn put_into(given: &Given, workspace: &str, parent: &str) {
    let body = json!({"parent_workspace_id": parent});
    let _ = given.data.patch(&format!("/v1/workspaces/{workspace}"), &body).await.expect(200);
}

#[tokio::test]
async fn what_comes_into_a_workspace_while_its_deletion_waits_is_waited_for_too() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let (outer, between) = (make(&given, "Outer").await, make(&given, "Between").await);
    put_into(&given, &given.workspace, &between).await;
    meet(&house, &given).await;
    let [outer_id, between_id] = [&outer, &between].map(|id| id.parse::<WorkspaceId>().unwrap().as_uuid());
    let mover = hold(
        &house,
        &given,
        &format!("begin; update workspaces set parent_workspace_id = '{outer_id}' where id = '{between_id}'"),
    )
    .await;
    let adder = hold(&house, &given, HOLD_COUNTER).await;
    let release = async {
        until_they_wait(&house, &given, "workspace_lock", 1).await;
        mover.run("commit").await.unwrap();
        // Now for whoever is adding.
        tokio::time::sleep(LONG_ENOUGH).await;
        until_they_wait(&house, &given, "workspace_lock", 1).await;
        adder.run("commit").await.unwrap();
    };
    let path = format!("/v1/workspaces/{outer}");
    let (deleted, ()) = tokio::join!(given.data.delete(&path), release);
    assert!(deleted.status.is_success(), "{}", deleted.status);
    assert_eq!((recount(&house, &given).await, counters(&house, &given).await), (MET, 0));
}

#[tokio::test]
async fn one_name_is_given_by_one_upload_at_a_time() {
    let setting = Setting::new().await;
    let (house, given, store) = (&setting.house, &setting.given, setting.store());
    meet(house, given).await;
    let holder = hold(house, given, HOLD_COUNTER).await;
    let name = Path::from("held");
    let put = store.put(&name, "held".into());
    let release = async {
        until_they_wait(house, given, "workspace_charge", 1).await;
        holder.run("commit").await.unwrap();
    };
    let (put, ()) = tokio::join!(put, release);
    put.unwrap();
    assert!(counters(house, given).await > 0);
    // All at once: each is a version of one file.
    let many = (0..12).map(|number: usize| store.put(&name, vec![0; number].into()));
    try_join_all(many).await.unwrap();
    let versions =
        "select count(*), count(distinct file_id) from file_versions where tenant_id = app_tenant_id() and size <> 1";
    let row = house.tenant_rows(given, versions).await.remove(0);
    assert_eq!((row.try_get::<_, i64>(0).unwrap(), row.try_get::<_, i64>(1).unwrap()), (12, 1));
    recount(house, given).await;
}

/// So many clients upload so many files of a thousand bytes each. Says how many were taken, and what else was said.
async fn upload_many(given: &Given, clients: usize, files: usize) -> (usize, Vec<u16>) {
    let client = async |client: usize| {
        let mut said = Vec::new();
        for number in 0..files {
            let name = format!("{client}-{number}");
            said.push(post(given, &name, 1_000).await.status.as_u16());
        }
        said
    };
    let said: Vec<u16> = join_all((0..clients).map(client)).await.into_iter().flatten().collect();
    let taken = said.iter().filter(|status| **status == 201).count();
    (taken, said.into_iter().filter(|status| *status != 201).collect())
}

#[tokio::test]
async fn a_quota_that_comes_meanwhile_is_kept_to_the_byte() {
    let house = crate::house().await;
    let given = house.tenant().await;
    meet(&house, &given).await;
    let limit = async {
        tokio::time::sleep(LONG_ENOUGH).await;
        let path = format!("/v1/workspaces/{}", given.workspace);
        given.data.patch(&path, &json!({"storage_quota": used(&given).await + 7_500})).await.expect(200).json()
    };
    let ((taken, others), limited) = tokio::join!(upload_many(&given, 8, 40), limit);
    let (quota, then) = (limited["storage_quota"].as_i64().unwrap(), limited["used_storage"].as_i64().unwrap());
    let stored = i64::try_from(taken).unwrap() * 1_000 + MET;
    assert_eq!((used(&given).await, recount(&house, &given).await), (stored, stored));
    // Whoever came before the quota is in, and of the others as many as it has room for.
    let room = (quota - then).max(0) / 1_000 * 1_000;
    assert_eq!(stored, then + room, "{limited}");
    assert!(!others.is_empty() && others.iter().all(|status| *status == 413), "{others:?}");
    house.expect_no_differences().await;
}

#[tokio::test]
async fn nothing_lives_in_a_workspace_that_is_deleted_meanwhile() {
    let house = crate::house().await;
    let given = house.tenant().await;
    meet(&house, &given).await;
    let delete = async {
        tokio::time::sleep(LONG_ENOUGH).await;
        given.data.delete(&format!("/v1/workspaces/{}", given.workspace)).await
    };
    let ((taken, others), deleted) = tokio::join!(upload_many(&given, 8, 40), delete);
    assert!(deleted.status.is_success(), "{}", deleted.status);
    assert!(taken > 0 && !others.is_empty() && others.iter().all(|status| *status == 404), "{others:?}");
    let alive = "select count(*) from files where tenant_id = app_tenant_id() and deleted_at is null";
    let begun = Instant::now();
    while house.tenant_rows(&given, alive).await[0].try_get::<_, i64>(0).unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "some live still");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stored = i64::try_from(taken).unwrap() * 1_000 + MET;
    assert_eq!((recount(&house, &given).await, counters(&house, &given).await), (stored, 0));
}
