//! Two hundred uploads at once into the last ten megabytes: of all sizes, some refused half-way, some whose client goes away,
//! some with their data plane killed. No level passes its limit by a byte, and what was reserved comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Body, Method};
use rowhouse_database::AdminConnection;
use rowhouse_domain::TenantId;
use rowhouse_testkit::{Client, DataPlaneProcess, Given, TestCluster, TestHouse};
use serde_json::json;
use tokio::task::JoinHandle;

use super::faults::begin_upload;
use super::recount::{recount, with_an_account};

const UPLOADS: usize = 200;
/// What is there before, and what there is room for.
const STORED: usize = 1_000_000;
const FREE: usize = 10_000_000;

/// What becomes of one of the uploads.
#[derive(Clone, Copy)]
enum Fate {
    Plain,
    /// Its length is not said beforehand: it is refused when it has come half-way.
    Streamed,
    /// Refused when it has come as a whole.
    WrongDigest,
    /// Its client goes away.
    Abandoned,
}

impl Fate {
    fn of(number: usize) -> Self {
        match number % 10 {
            2 | 5 | 8 => Self::Streamed,
            3 => Self::WrongDigest,
            // Each may cancel a statement, and PgBouncer 1.18 does not survive every cancel (docs/pgbouncer.md).
            6 if !crate::IS_POOLED => Self::Abandoned,
            _ => Self::Plain,
        }
    }
}

/// From a few bytes to a quarter of a megabyte; all of them together need twice the room that there is.
fn size(number: usize) -> usize {
    1 + number * 7_919 * 31 % 210_000
}

/// Every tenth is a content that is there already: it counts as well, and is stored once.
fn content(number: usize) -> Vec<u8> {
    let seed = if number.is_multiple_of(10) { 0 } else { number };
    let mut content = vec![u8::try_from(seed % 251).unwrap(); size(number)];
    let seed = seed.to_le_bytes();
    let length = seed.len().min(content.len());
    content[..length].copy_from_slice(&seed[..length]);
    content
}

/// Uploads one and gives its size where it was acknowledged; none where it was refused or there was no answer.
async fn upload(service: Client, given: Arc<Given>, number: usize) -> Option<i64> {
    let fate = Fate::of(number);
    if let Fate::Abandoned = fate {
        drop(begin_upload(&service, &given, &number.to_string(), size(number)).await);
        return None;
    }
    let content = content(number);
    let path = format!("/v1/files?workspace_id={}&name={number}", given.workspace);
    let request = service.request(Method::POST, &path);
    let request = match fate {
        Fate::Plain | Fate::Abandoned => request.body(content),
        Fate::Streamed => {
            let pieces: Vec<_> = content.chunks(10_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
            request.body(Body::wrap_stream(futures::stream::iter(pieces)))
        }
        Fate::WrongDigest => request.header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").body(content),
    };
    let answer = request.send().await.ok()?;
    (answer.status() == 201).then(|| i64::try_from(size(number)).unwrap())
}

/// Looks over and over at what is there and then at the ledger: what is there is used or reserved, that fits the quota of each
/// level, and what is reserved is what reservations say. Nothing may be deleted meanwhile.
pub(super) struct Watch {
    goes_on: Arc<AtomicBool>,
    watching: JoinHandle<usize>,
}

pub(super) const LEDGER: &str = "
    with levels as (
        select 'organization' as level, storage_quota as quota, used_storage as used, reserved_storage as reserved,
            (select coalesce(sum(bytes), 0) from quota_reservations where organization_id = organizations.id) as held
        from organizations
        union all
        select 'tenant', storage_quota, used_storage, reserved_storage,
            (select coalesce(sum(bytes), 0) from quota_reservations where tenant_id = tenants.id)
        from tenants
        union all
        select 'account', storage_quota, used_storage, reserved_storage,
            (select coalesce(sum(bytes), 0) from quota_reservations where account_id = accounts.id)
        from accounts
    )
    select coalesce(string_agg(levels::text, ' ') filter (where used + reserved > quota or reserved <> held), ''),
        min(used + reserved) filter (where level <> 'account')
    from levels";

const STORED_BYTES: &str = "
    select coalesce(string_agg(workspaces.id::text || ' ' || used || ' ' || stored, ' ')
            filter (where used <> stored or used > storage_quota), ''),
        coalesce(sum(stored), 0)::bigint
    from workspaces cross join lateral (
        select used_storage + coalesce(sum(bytes), 0) as used from workspace_counters where workspace_id = workspaces.id
    ) counters cross join lateral (
        select coalesce(sum(version.size), 0) as stored from file_versions version join files file on file.id = version.file_id
        where file.workspace_id = workspaces.id
    ) contents
    where workspaces.tenant_id = app_tenant_id()";

/// Asserts that nothing is wrong, and gives the figure.
async fn look(place: &AdminConnection, sql: &str) -> i64 {
    let rows = place.query(sql, &[]).await.unwrap();
    assert_eq!(rows[0].try_get::<_, String>(0).unwrap(), "");
    rows[0].try_get(1).unwrap()
}

impl Watch {
    pub(super) async fn begin(house: &TestHouse, given: &Given) -> Self {
        let ledger = TestCluster::get().admin(&house.platform).await;
        let inside = house.inside(given).await;
        let goes_on = Arc::new(AtomicBool::new(true));
        let watched = Arc::clone(&goes_on);
        let watching = tokio::spawn(async move {
            let mut looks = 0;
            while watched.load(Ordering::Acquire) {
                let stored = look(&inside, STORED_BYTES).await;
                let counted = look(&ledger, LEDGER).await;
                assert!(stored <= counted, "{stored} bytes are there, {counted} counted, after {looks} looks");
                looks += 1;
            }
            looks
        });
        Self { goes_on, watching }
    }

    pub(super) async fn end(self) {
        self.goes_on.store(false, Ordering::Release);
        let looks = self.watching.await.unwrap();
        assert!(looks > 10, "only {looks} looks");
    }
}

/// A tenant with some content, and room for so much more at one of its levels. Gives the limit, too, and who uploads there.
async fn nearly_full(house: &TestHouse, level: &str) -> (Arc<Given>, Client, i64) {
    let given = Arc::new(house.tenant().await);
    let limit = i64::try_from(STORED + FREE).unwrap();
    let mut data = given.data.clone();
    let body = json!({"storage_quota": limit});
    match level {
        "organization" => {
            let path = format!("/v1/organizations/{}", given.organization);
            let _ = house.admin.patch(&path, &body).await.expect(200);
        }
        "tenant" => {
            let _ = house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &body).await.expect(200);
        }
        "account" => data = with_an_account(house, &given, limit).await,
        _ => {
            let _ = data.patch(&format!("/v1/workspaces/{}", given.workspace), &body).await.expect(200);
        }
    }
    let path = format!("/v1/files?workspace_id={}&name=there", given.workspace);
    let _ = data.upload(&path, vec![7; STORED]).await.expect(201);
    house.expect_used(i64::try_from(STORED).unwrap()).await;
    (given, data, limit)
}

async fn race(level: &str, largest_block: u64) {
    let house = house(largest_block).await;
    let (given, data, limit) = nearly_full(&house, level).await;
    race_into(&house, &given, &[data], limit).await;
}

/// The same where half of them go to the data plane of this process, and half to one of another process.
async fn race_over_two_processes(level: &str, largest_block: u64) {
    let house = house(largest_block).await;
    let (given, data, limit) = nearly_full(&house, level).await;
    let settings = format!(
        "uploads.parallel = {}\nquota = {{ largest_block = {largest_block}, block_idle = \"1s\" }}\n",
        4 * UPLOADS
    );
    let process = house.data_plane_process(&settings).await;
    let elsewhere = process.client.with_key(data.key());
    race_into(&house, &given, &[data, elsewhere], limit).await;
}

/// A house where each upload is let in at once.
async fn house(largest_block: u64) -> TestHouse {
    crate::house_with(|settings| {
        settings.uploads.parallel = 4 * UPLOADS;
        settings.quota.largest_block = largest_block;
        settings.quota.block_idle = Duration::from_secs(1);
    })
    .await
}

/// Uploads through these doors in turn, all at once, and then whatever room is left.
async fn race_into(house: &TestHouse, given: &Arc<Given>, doors: &[Client], limit: i64) {
    let watch = Watch::begin(house, given).await;
    let uploads =
        (0..UPLOADS).map(|number| tokio::spawn(upload(doors[number % doors.len()].clone(), Arc::clone(given), number)));
    let taken: Vec<Option<i64>> = futures::future::join_all(uploads).await.into_iter().map(Result::unwrap).collect();
    house.expect_reserved(0).await;
    watch.end().await;
    for door in 0..doors.len() {
        let through = taken.iter().skip(door).step_by(doors.len()).flatten().count();
        assert!((1..UPLOADS / doors.len()).contains(&through), "{through} were taken through door {door}");
    }
    let used = i64::try_from(STORED).unwrap() + taken.iter().flatten().sum::<i64>();
    house.expect_used(used).await;
    assert_eq!(recount(house, given).await, used);
    // To the byte, also in the other direction.
    let left = usize::try_from(limit - used).unwrap();
    let path = |name: &str| format!("/v1/files?workspace_id={}&name={name}", given.workspace);
    for data in doors {
        data.upload(&path("more"), vec![9; left + 1]).await.problem(413, "quota_exceeded");
    }
    let _ = doors[doors.len() - 1].upload(&path("last"), vec![9; left]).await.expect(201);
    for data in doors {
        data.upload(&path("more"), "x").await.problem(413, "quota_exceeded");
    }
    house.expect_used(limit).await;
    house.expect_reserved(0).await;
    house.expect_figure(&format!("select coalesce(sum({limit} - used_storage), 0)::bigint from accounts"), 0).await;
    house.expect_figure("select coalesce(sum(reserved_storage), 0)::bigint from accounts", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_into_the_last_room_of_an_organization() {
    race("organization", 0).await;
}

/// The same where room is leased in advance, as far as there is any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_with_blocks() {
    race("organization", 64 * 1024 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_into_the_last_room_of_a_tenant() {
    race("tenant", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_into_the_last_room_of_a_workspace() {
    race("workspace", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_over_two_processes_into_the_last_room_of_an_account() {
    race_over_two_processes("account", 0).await;
}

/// Both processes lease in advance what there is less and less of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_over_two_processes_with_blocks_of_an_account() {
    race_over_two_processes("account", 64 * 1024 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_over_two_processes_into_the_last_room_of_a_workspace() {
    race_over_two_processes("workspace", 0).await;
}

/// The same, and the data plane is killed among them: another one gives back what they had reserved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_data_plane_had_reserved_comes_back() {
    // Two hundred at once take a slow machine longer than their room is kept for without a sign of life.
    if !crate::suite::is_soak() {
        return;
    }
    let house = crate::house().await;
    let (given, _, limit) = nearly_full(&house, "organization").await;
    let settings = format!("uploads = {{ parallel = {}, reservation_ttl = \"15s\" }}", 4 * UPLOADS);
    let process = house.data_plane_process(&settings).await;
    let service = process.client.with_key(given.data.key());
    let watch = Watch::begin(&house, &given).await;
    let (count, bytes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicI64::new(0)));
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|number| {
            let (service, given) = (service.clone(), Arc::clone(&given));
            let (count, bytes) = (Arc::clone(&count), Arc::clone(&bytes));
            tokio::spawn(async move {
                if let Some(size) = upload(service, given, number).await {
                    bytes.fetch_add(size, Ordering::AcqRel);
                    count.fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect();
    let begun = Instant::now();
    while count.load(Ordering::Acquire) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "too few uploads are taken");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    process.kill().await;
    // Those to an address where nobody listens any more end without an answer.
    futures::future::join_all(uploads).await;
    house.expect_reserved_within(0, Duration::from_secs(180)).await;
    watch.end().await;
    let there = recount(&house, &given).await;
    house.expect_used(there).await;
    let acknowledged = i64::try_from(STORED).unwrap() + bytes.load(Ordering::Acquire);
    assert!(acknowledged <= there && there <= limit, "{acknowledged} acknowledged, {there} there");
    let left = usize::try_from(limit - there).unwrap();
    let path = |name: &str| format!("/v1/files?workspace_id={}&name={name}", given.workspace);
    let _ = given.data.upload(&path("last"), vec![9; left]).await.expect(201);
    given.data.upload(&path("more"), "x").await.problem(413, "quota_exceeded");
}

/// An upload that waits for its room for longer than its intent lasts, and whose process dies right before the commit: its
/// reservation has no end of its own then, and nothing in the tenant's data tells of it.
#[tokio::test]
async fn what_is_reserved_when_its_upload_has_run_out_comes_back() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let settings = "quota.largest_block = 0\nuploads.reservation_ttl = \"3s\"\n";
    let mut process = house.data_plane_process(settings).await;
    // On a slow machine the upload may hear in time that it has run out.
    for _ in 0..5 {
        if commit_late(&house, &given, process).await {
            return;
        }
        process = house.data_plane_process(settings).await;
    }
    panic!("no upload came as far as its commit");
}

/// Says whether the upload came as far as its commit.
async fn commit_late(house: &TestHouse, given: &Given, process: DataPlaneProcess) -> bool {
    let tenant = given.tenant.parse::<TenantId>().unwrap().as_uuid();
    let organization = TestCluster::get().admin(&house.platform).await;
    organization.run("begin; select from organizations for update").await.unwrap();
    let service = process.client.with_key(given.data.key());
    let path = format!("/v1/files?workspace_id={}&name=late", given.workspace);
    let request = service.request(Method::POST, &path).body(vec![7; 10_000]);
    let upload = tokio::spawn(async move { request.send().await.is_err() });
    until_tenant(house, given, "select from upload_intents", 1).await;
    // What it would have marked, had it come so far.
    let _ = house.rows(&format!("select work_mark('{tenant}')")).await;
    until_tenant(house, given, "select from upload_intents", 0).await;

    let workspace = house.inside(given).await;
    workspace.run("begin; select from workspaces for update").await.unwrap();
    organization.run("rollback").await.unwrap();
    let is_committing = loop {
        if !house.rows("select from quota_reservations where expires_at = 'infinity'").await.is_empty() {
            break true;
        }
        if upload.is_finished() {
            break false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    process.kill().await;
    workspace.run("rollback").await.unwrap();
    assert!(upload.await.unwrap() || !is_committing, "it was answered");
    house.expect_reserved(0).await;
    house.expect_used(0).await;
    is_committing
}

async fn until_tenant(house: &TestHouse, given: &Given, sql: &str, count: usize) {
    let begun = Instant::now();
    while house.tenant_rows(given, sql).await.len() != count {
        assert!(begun.elapsed() < Duration::from_secs(60), "{sql}: not {count}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
