//! Several clients do anything at once that moves bytes, through every door; when it is quiet again, what is counted at each level
//! is what rows say, and what objects hold.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder};
use rowhouse_domain::{AccountId, TenantId};
use rowhouse_testkit::{Answer, Client, Given, TestHouse};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::exactness::LEDGER;
use super::recount::{Dice, recount};
use super::s3::{Setting, all};

const CLIENTS: u64 = 4;

/// Where the throws begin: of this run alone, unless `ROWHOUSE_SEED` says where another began.
#[expect(clippy::print_stdout, reason = "shown where the test fails")]
fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    let wanted = std::env::var("ROWHOUSE_SEED").ok();
    let seed = match wanted {
        Some(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("ROWHOUSE_SEED is hexadecimal"),
        None => u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap(),
    };
    println!("ROWHOUSE_SEED={seed:#x}");
    seed
}

/// What the clients have made so far, whatever has become of it.
#[derive(Default)]
struct Made {
    files: Vec<String>,
    folders: Vec<String>,
    workspaces: Vec<String>,
    sessions: Vec<String>,
}

/// One client of several.
struct Actor<'a> {
    setting: &'a Setting,
    data: Client,
    made: &'a Mutex<Made>,
    dice: Dice,
    number: u64,
    name: String,
}

impl Actor<'_> {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap()
    }

    /// One of those that were made, early or late.
    fn any(&mut self, of: impl Fn(&Made) -> &Vec<String>) -> String {
        let count = of(&self.made()).len();
        let place = self.dice.throw(count.max(1));
        of(&self.made()).get(place).cloned().unwrap_or_default()
    }

    fn file(&mut self) -> String {
        self.any(|made| &made.files)
    }

    fn folder(&mut self) -> String {
        self.any(|made| &made.folders)
    }

    /// Mostly the one that stays.
    fn workspace(&mut self) -> String {
        if self.dice.throw(2) == 0 { self.setting.given.workspace.clone() } else { self.any(|made| &made.workspaces) }
    }

    /// Of a few contents, so that they are shared.
    fn content(&mut self) -> Vec<u8> {
        vec![b'x'; self.dice.throw(7) * 9]
    }

    /// Where something goes: the top of a workspace, or a folder.
    fn place(&mut self, folder: &str) -> Value {
        if self.dice.throw(2) == 0 {
            return json!({"workspace_id": self.workspace(), "name": self.name});
        }
        json!({folder: self.folder(), "name": self.name})
    }

    /// Does one thing, which may be refused, and says with which statuses.
    async fn act(&mut self, step: usize) -> Vec<u16> {
        self.name = format!("{:x}-{step}", self.number);
        match self.dice.throw(20) {
            0..3 => self.upload().await,
            3 | 4 => self.revise().await,
            5..9 => self.change_a_file().await,
            9 => self.batch().await,
            10..13 => self.change_a_folder().await,
            13..15 => self.change_a_workspace().await,
            15 | 16 => self.resume().await,
            17 => self.link().await,
            18 => self.s3().await,
            _ => self.parts().await,
        }
    }

    fn note(&self, answer: Answer, list: fn(&mut Made) -> &mut Vec<String>) -> Vec<u16> {
        if answer.status == 201 {
            list(&mut self.made()).push(answer.text("id"));
        }
        told(answer)
    }

    async fn upload(&mut self) -> Vec<u16> {
        let (workspace, content) = (self.workspace(), self.content());
        let mut path = format!("/v1/files?workspace_id={workspace}&name={}", self.name);
        if self.dice.throw(3) == 0 {
            path = format!("{path}&folder_id={}", self.folder());
        }
        let answer = self.data.upload(&path, content).await;
        self.note(answer, |made| &mut made.files)
    }

    async fn revise(&mut self) -> Vec<u16> {
        let (path, content) = (format!("/v1/files/{}/content", self.file()), self.content());
        told(Answer::of(self.data.request(Method::PUT, &path).body(content)).await)
    }

    async fn change_a_file(&mut self) -> Vec<u16> {
        let (path, version) = (format!("/v1/files/{}", self.file()), self.dice.throw(4) + 1);
        let data = self.data.clone();
        match self.dice.throw(8) {
            0 => told(data.delete(&format!("{path}/versions/{version}")).await),
            1 => told(data.post(&format!("{path}/versions/{version}/restore"), &json!({})).await),
            2 | 3 => {
                let answer = data.post(&format!("{path}/copy"), &self.place("folder_id")).await;
                self.note(answer, |made| &mut made.files)
            }
            4 => told(data.patch(&path, &self.place("folder_id")).await),
            5 => told(data.delete(&path).await),
            6 => told(data.post(&format!("{path}/restore"), &json!({})).await),
            _ => delete_for_good(&data, &path).await,
        }
    }

    async fn batch(&mut self) -> Vec<u16> {
        let items: Vec<Value> = (0..4)
            .map(|number| {
                let (id, workspace, name) = (self.file(), self.workspace(), format!("{}-{number}", self.name));
                match self.dice.throw(4) {
                    0 => json!({"action": "delete", "id": id}),
                    1 => json!({"action": "restore", "id": id}),
                    2 => json!({"action": "update", "id": id, "workspace_id": workspace}),
                    _ => json!({"action": "copy", "id": id, "workspace_id": workspace, "name": name}),
                }
            })
            .collect();
        told(self.data.post("/v1/files/batch", &json!({"mode": "each", "items": items})).await)
    }

    async fn change_a_folder(&mut self) -> Vec<u16> {
        let (path, data) = (format!("/v1/folders/{}", self.folder()), self.data.clone());
        match self.dice.throw(9) {
            0 | 1 => {
                let mut new = json!({"workspace_id": self.workspace(), "name": self.name});
                if self.dice.throw(2) == 0 {
                    new["parent_id"] = self.folder().into();
                }
                let answer = data.post("/v1/folders", &new).await;
                self.note(answer, |made| &mut made.folders)
            }
            2 | 3 => {
                let answer = data.post(&format!("{path}/copy"), &self.place("parent_id")).await;
                self.note(answer, |made| &mut made.folders)
            }
            4 | 5 => told(data.patch(&path, &self.place("parent_id")).await),
            6 => told(data.delete(&path).await),
            7 => told(data.post(&format!("{path}/restore"), &json!({})).await),
            _ => delete_for_good(&data, &path).await,
        }
    }

    async fn change_a_workspace(&mut self) -> Vec<u16> {
        let (path, data) = (format!("/v1/workspaces/{}", self.any(|made| &made.workspaces)), self.data.clone());
        match self.dice.throw(8) {
            0 | 1 => {
                let mut new = json!({"name": self.name, "storage_quota": 600 + self.dice.throw(600)});
                if self.dice.throw(2) == 0 {
                    new["parent_workspace_id"] = self.any(|made| &made.workspaces).into();
                }
                let answer = data.post("/v1/workspaces", &new).await;
                self.note(answer, |made| &mut made.workspaces)
            }
            2 => told(data.patch(&path, &json!({"keep_versions": self.dice.throw(3) + 1})).await),
            3 => told(data.patch(&path, &json!({"keep_versions": null})).await),
            4 => told(data.delete(&path).await),
            5 | 6 => told(data.post(&format!("{path}/restore"), &json!({})).await),
            _ => delete_for_good(&data, &path).await,
        }
    }

    /// An upload in pieces (tus), which is ended, ended early, or left.
    async fn resume(&mut self) -> Vec<u16> {
        let (workspace, content) = (self.workspace(), self.content());
        let pairs = [("workspace_id", workspace.as_str()), ("filename", self.name.as_str())];
        let metadata = pairs.map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).join(",");
        let begin = self.tus(Method::POST, "/v1/uploads").header("upload-length", content.len());
        let begun = Answer::of(begin.header("upload-metadata", metadata)).await;
        if begun.status != 201 {
            return told(begun);
        }
        let path = begun.header("location").to_owned();
        self.made().sessions.push(path.clone());
        let half = content.len() / 2;
        let mut statuses = told(self.piece(&path, 0, &content[..half]).await);
        let last = match self.dice.throw(4) {
            0 => return statuses,
            1 => Answer::of(self.tus(Method::DELETE, &path)).await,
            _ => self.piece(&path, half, &content[half..]).await,
        };
        statuses.extend(told(last));
        statuses
    }

    fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        self.data.request(method, path).header("tus-resumable", "1.0.0")
    }

    async fn piece(&self, path: &str, offset: usize, piece: &[u8]) -> Answer {
        let patch = self.tus(Method::PATCH, path).header("content-type", "application/offset+octet-stream");
        Answer::of(patch.header("upload-offset", offset).body(piece.to_vec())).await
    }

    /// A link that takes one file, used twice.
    async fn link(&mut self) -> Vec<u16> {
        let (workspace, content) = (self.workspace(), self.content());
        let body = json!({"workspace_id": workspace, "name": self.name, "size": content.len()});
        let link = self.data.post("/v1/upload-links", &body).await;
        if link.status != 201 {
            return told(link);
        }
        let (anyone, url) = (self.data.anonymous(), link.text("url"));
        let path = url.strip_prefix(anyone.base()).unwrap();
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let answer = Answer::of(anyone.request(Method::PUT, path).body(content.clone())).await;
            statuses.extend(self.note(answer, |made| &mut made.files));
        }
        statuses
    }

    /// A put over whatever is there, a delete, or a delete of one version.
    async fn s3(&mut self) -> Vec<u16> {
        let path = self.object();
        let version = format!("versionId={}", self.dice.throw(3) + 1);
        let request = match self.dice.throw(4) {
            0 => self.setting.request(Method::DELETE, (&path, ""), &[]),
            1 => self.setting.request(Method::DELETE, (&path, &version), &[]),
            _ => with_content(self.setting.request(Method::PUT, (&path, ""), &[]), self.content()),
        };
        told(Answer::of(request).await)
    }

    /// The same few objects for all clients, some of them in folders.
    fn object(&mut self) -> String {
        let name = ["a", "b", "folder/a", "folder/b"][self.dice.throw(4)];
        format!("/{}/{name}", self.setting.bucket())
    }

    /// An upload in parts by S3, completed or given up.
    async fn parts(&mut self) -> Vec<u16> {
        let path = self.object();
        let begun = self.setting.request(Method::POST, (&path, "uploads="), &[]).send().await.unwrap();
        let status = begun.status().as_u16();
        let Some(id) = all(&begun.text().await.unwrap(), "UploadId").pop() else { return vec![status] };
        let part = self.setting.request(Method::PUT, (&path, &format!("partNumber=1&uploadId={id}")), &[]);
        let mut statuses = told(Answer::of(with_content(part, self.content())).await);
        let query = format!("uploadId={id}");
        if self.dice.throw(3) > 0 {
            let body = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>";
            let complete = self.setting.request(Method::POST, (&path, &query), &[]).body(body);
            statuses.extend(told(Answer::of(complete).await));
        }
        // Whatever was not completed ends here.
        statuses.extend(told(Answer::of(self.setting.request(Method::DELETE, (&path, &query), &[])).await));
        statuses
    }
}

/// The length is said of nothing, too, which the S3 door wants to know.
fn with_content(request: RequestBuilder, content: Vec<u8>) -> RequestBuilder {
    request.header("content-length", content.len()).body(content)
}

fn told(answer: Answer) -> Vec<u16> {
    let status = answer.status.as_u16();
    // An id that was never made names nothing; 403 is how S3 says that a quota is full, and 503 that somebody else was quicker.
    let is_expected = matches!(status, 200 | 201 | 202 | 204 | 400 | 403 | 404 | 409 | 410 | 412 | 413 | 422 | 503);
    assert!(is_expected, "{status}: {}", String::from_utf8_lossy(&answer.bytes));
    vec![status]
}

async fn delete_for_good(data: &Client, path: &str) -> Vec<u16> {
    let mut statuses = told(data.delete(path).await);
    statuses.extend(told(data.delete(&format!("{path}?purge=true")).await));
    statuses
}

/// A key whose uploads are charged to an account: the tenant's, or its organization's own.
async fn charging(house: &TestHouse, given: &Given, of_tenant: bool) -> Client {
    let tenant = given.tenant.parse::<TenantId>().unwrap().as_uuid();
    let tenant_id = if of_tenant { "id" } else { "null" };
    let account = format!(
        "insert into accounts (organization_id, tenant_id, storage_quota)
         select organization_id, {tenant_id}, 1500 from tenants where id = '{tenant}' returning id"
    );
    let account: AccountId = house.rows(&account).await[0].try_get(0).unwrap();
    let scopes = ["read_files", "write_files", "manage_workspaces"];
    let body = json!({"name": "charging", "scopes": scopes, "account_id": account});
    let made = house.admin.post(&format!("/v1/tenants/{}/api-keys", given.tenant), &body).await.expect(201);
    house.data.with_key(&made.text("key"))
}

/// Waits until nothing is under way any more.
async fn settle(setting: &Setting, sessions: &[String]) {
    for session in sessions {
        let end = setting.given.data.request(Method::DELETE, session).header("tus-resumable", "1.0.0");
        let status = Answer::of(end).await.status.as_u16();
        assert!([204, 404, 410].contains(&status), "{session}: {status}");
    }
    let begun = Instant::now();
    let open =
        "select kind, state, last_error from jobs where tenant_id = app_tenant_id() and state in ('queued', 'running')";
    loop {
        let rows = setting.house.tenant_rows(&setting.given, open).await;
        if rows.is_empty() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{rows:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    setting.house.expect_reserved(0).await;
}

const ACCOUNTS: &str = "
    select coalesce(jsonb_object_agg(account_id, bytes), '{}') from (
        select account_id, sum(size) as bytes from file_versions
        where tenant_id = app_tenant_id() and account_id is not null group by account_id) charged";
const WORKSPACES: &str = "select count(*) from workspaces where tenant_id = app_tenant_id() and deleted_at is null";
const CHECKSUMS: &str = "select encode(checksum, 'hex'), count(*) from file_versions
    where tenant_id = app_tenant_id() group by checksum";

/// Every level against a recount from rows, and that against one from objects.
async fn expect_exact(setting: &Setting) {
    let (house, given) = (&setting.house, &setting.given);
    let used = recount(house, given).await;
    house.expect_used(used).await;
    let live: i64 = house.tenant_rows(given, WORKSPACES).await[0].try_get(0).unwrap();
    for table in ["organizations", "tenants"] {
        house.expect_figure(&format!("select sum(used_workspaces)::bigint from {table}"), live).await;
    }
    let charged: Value = house.tenant_rows(given, ACCOUNTS).await[0].try_get(0).unwrap();
    let accounts = house.rows("select id::text, used_storage, reserved_storage from accounts").await;
    for row in &accounts {
        let (id, stored, reserved): (String, i64, i64) =
            (row.try_get(0).unwrap(), row.try_get(1).unwrap(), row.try_get(2).unwrap());
        assert_eq!((stored, reserved), (charged.get(&id).and_then(Value::as_i64).unwrap_or(0), 0), "account {id}");
    }
    assert_eq!(accounts.len(), 2);

    let versions = house.tenant_rows(given, CHECKSUMS).await;
    house.sql(&super::trash::mark(given)).await;
    house.expect_stored_objects(versions.len()).await;
    let objects: HashMap<String, i64> = house
        .object_bytes()
        .iter()
        .map(|bytes| (hex::encode(Sha256::digest(bytes)), i64::try_from(bytes.len()).unwrap()))
        .collect();
    let held: i64 = versions
        .iter()
        .map(|row| objects[&row.try_get::<_, String>(0).unwrap()] * row.try_get::<_, i64>(1).unwrap())
        .sum();
    assert_eq!(held, used, "what objects hold, by the versions that share them");
    house.expect_no_differences().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_several_do_at_once_what_is_counted_is_what_is_there() {
    let seed = seed();
    let (rounds, steps) = if crate::suite::is_soak() { (10, 300) } else { (2, 40) };
    let setting = Setting::with(|settings| settings.trash.blob_grace = Duration::ZERO).await;
    let (house, given) = (&setting.house, &setting.given);
    let quota = json!({"storage_quota": 4_000});
    let _ = house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &quota).await.expect(200);
    let keys = [given.data.clone(), charging(house, given, true).await, charging(house, given, false).await];
    let other = given.data.post("/v1/workspaces", &json!({"name": "Other"})).await.expect(201).text("id");
    let made = Mutex::new(Made {
        files: vec![given.upload("first", "first").await],
        folders: vec![given.folder("first", None).await],
        workspaces: vec![other],
        sessions: Vec::new(),
    });
    let mut statuses: HashMap<u16, usize> = HashMap::new();
    for round in 0..rounds {
        let actors = (0..CLIENTS).map(|number| {
            // Never nothing, which the dice would stay with.
            let seed = (seed ^ (round * CLIENTS + number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1);
            let data = keys[usize::try_from(number).unwrap() % keys.len()].clone();
            let mut actor = Actor {
                setting: &setting,
                data,
                made: &made,
                dice: Dice(seed),
                number: round * CLIENTS + number,
                name: String::new(),
            };
            async move {
                let mut statuses = Vec::new();
                for step in 0..steps {
                    statuses.extend(actor.act(step).await);
                }
                statuses
            }
        });
        let racing = futures::future::join_all(actors);
        let watching = async {
            loop {
                let passed: String = house.rows(LEDGER).await[0].try_get(0).unwrap();
                assert_eq!(passed, "", "a quota is passed, or what is reserved is not what reservations say");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let statuses_of_all = tokio::select! {
            done = racing => done,
            () = watching => unreachable!("it looks for as long as they act"),
        };
        for status in statuses_of_all.into_iter().flatten() {
            *statuses.entry(status).or_default() += 1;
        }
        let sessions = made.lock().unwrap().sessions.clone();
        settle(&setting, &sessions).await;
        expect_exact(&setting).await;
    }
    let done: usize = statuses.iter().filter(|(status, _)| **status < 300).map(|(_, count)| count).sum();
    let all: usize = statuses.values().sum();
    assert!(done * 4 > all, "{done} of {all} were done: the dice are bad ({statuses:?})");
}
