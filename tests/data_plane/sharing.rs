//! A content that is about to be removed, and an upload of the same bytes: in the two orders in which they can meet, each held at
//! the moment in which it counts.

use std::time::{Duration, Instant};

use rowhouse_database::AdminConnection;
use rowhouse_domain::TenantId;
use rowhouse_testkit::{Answer, Client, Given, TestHouse};
use serde_json::json;
use tokio::task::JoinHandle;

const SAME: &str = "\0the same bytes";
/// What those wait for that are held.
const GATE: i64 = 7_140_611;

/// A statement of one table, held in its transaction until it may go on.
struct Held {
    inside: AdminConnection,
    table: &'static str,
}

impl Held {
    /// Has such statements of the tenant wait right after what came before them in their transaction.
    async fn before(house: &TestHouse, given: &Given, event: &str, table: &'static str, condition: &str) -> Self {
        let inside = house.inside(given).await;
        let tenant = given.tenant.parse::<TenantId>().unwrap().as_uuid();
        let hold = format!(
            "select pg_advisory_lock({GATE});
             create function held_by_a_test() returns trigger language plpgsql as
                 $$begin perform pg_advisory_xact_lock({GATE}); return new; end$$;
             create trigger held_by_a_test before {event} on {table} for each row
                 when (new.tenant_id = '{tenant}' and {condition}) execute function held_by_a_test()"
        );
        inside.run(&hold).await.unwrap();
        Self { inside, table }
    }

    /// Waits until one is held.
    async fn until_met(&self) {
        let waiting = format!(
            "select from pg_locks where locktype = 'advisory' and not granted and objid = {GATE}
                 and database = (select oid from pg_database where datname = current_database())"
        );
        self.until(&waiting, 1, "nobody came here").await;
    }

    /// Waits until somebody waits for what the one who is held has locked.
    async fn until_waited_for(&self) {
        let waiting = format!(
            "select from pg_locks held join pg_stat_activity other on held.pid = any(pg_blocking_pids(other.pid))
             where held.locktype = 'advisory' and not held.granted and held.objid = {GATE}
                 and held.database = (select oid from pg_database where datname = current_database())"
        );
        self.until(&waiting, 1, "nobody waits for it").await;
    }

    async fn until(&self, sql: &str, count: usize, what: &str) {
        let begun = Instant::now();
        while self.inside.query(sql, &[]).await.unwrap().len() != count {
            assert!(begun.elapsed() < Duration::from_secs(40), "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets everybody go on.
    async fn release(self) {
        self.inside.run(&format!("select pg_advisory_unlock({GATE})")).await.unwrap();
        let clear = format!("drop trigger held_by_a_test on {}; drop function held_by_a_test()", self.table);
        self.inside.run(&clear).await.unwrap();
    }
}

/// A house that removes no content by itself: whoever does is started when it is to.
async fn house() -> TestHouse {
    crate::house_with(|settings| {
        settings.trash.blob_grace = Duration::ZERO;
        settings.work.poll = Duration::from_secs(60 * 60);
    })
    .await
}

/// Uploads a content and removes the file for good: nobody has the content any more.
async fn abandoned(given: &Given, name: &str, content: &'static str) {
    let file = given.upload(name, content).await;
    let _ = given.data.delete(&format!("/v1/files/{file}")).await.expect(204);
    let _ = given.data.delete(&format!("/v1/files/{file}?purge=true")).await.expect(204);
}

fn upload(data: &Client, workspace: &str) -> JoinHandle<Answer> {
    let (data, path) = (data.clone(), format!("/v1/files?workspace_id={workspace}&name=new.bin"));
    tokio::spawn(async move { data.upload(&path, SAME).await })
}

/// It was taken, it can be read, and its content is the only one.
async fn expect_whole(house: &TestHouse, given: &Given, upload: JoinHandle<Answer>) {
    let file = upload.await.unwrap().expect(201).text("id");
    let content = given.data.get(&format!("/v1/files/{file}/content")).await.expect(200);
    assert_eq!(content.bytes, SAME.as_bytes());
    house.expect_stored_objects(1).await;
    let content = given.data.get(&format!("/v1/files/{file}/content")).await.expect(200);
    assert_eq!(content.bytes, SAME.as_bytes());
    house.expect_used(i64::try_from(SAME.len()).unwrap()).await;
}

const READY: &str = "select from blobs where tenant_id = app_tenant_id() and state = 'ready'";

/// The upload has found the content and has no version yet: whoever removes contents passes it by, and removes another meanwhile.
#[tokio::test]
async fn a_content_that_an_upload_is_about_to_share_stays() {
    let house = house().await;
    let given = house.tenant().await;
    let elsewhere = given.data.post("/v1/workspaces", &json!({"name": "Other"})).await.expect(201).text("id");
    abandoned(&given, "same.bin", SAME).await;
    abandoned(&given, "other.bin", "\0others").await;
    house.expect_stored_objects(2).await;
    let held = Held::before(&house, &given, "insert", "file_versions", "true").await;
    let upload = upload(&given.data, &elsewhere);
    held.until_met().await;
    assert_eq!(house.tenant_rows(&given, READY).await.len(), 2, "nothing is removed yet");
    // The upload's own object is there, too.
    house.expect_stored_objects(3).await;
    let remover = house.data_plane_process("trash.blob_grace = \"0s\"\n").await;
    held.until("select from blobs where tenant_id = app_tenant_id()", 1, "the other content was not removed").await;
    house.expect_stored_objects(2).await;
    held.release().await;
    expect_whole(&house, &given, upload).await;
    drop(remover);
}

/// The content is given up, which is not committed yet: the upload waits for that, and stores its bytes anew.
#[tokio::test]
async fn a_content_that_is_being_given_up_is_stored_anew() {
    let house = house().await;
    let given = house.tenant().await;
    abandoned(&given, "same.bin", SAME).await;
    house.expect_stored_objects(1).await;
    let held = Held::before(&house, &given, "update", "blobs", "new.state = 'deleting'").await;
    let remover = house.data_plane_process("trash.blob_grace = \"0s\"\n").await;
    held.until_met().await;
    let upload = upload(&given.data, &given.workspace);
    held.until_waited_for().await;
    assert!(!upload.is_finished());
    held.release().await;
    expect_whole(&house, &given, upload).await;
    drop(remover);
}
