//! What the data plane remembers of keys: that it asks nothing twice, hears of changes, and does without `saas_platform`.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_keys::{KeyKind, PlainApiKey};
use rowhouse_testkit::{Answer, Client, Cut, DataPlaneProcess, FaultProxy, Faults, Given, TestCluster, TestHouse};
use serde_json::json;

/// How soon a change is to be seen.
const SOON: Duration = Duration::from_secs(1);
/// How soon where its notice was lost.
const LATER: Duration = Duration::from_secs(5);

/// Waits until a request of the key is answered with a status, and says how long that took.
async fn answered(data: &Client, status: u16, within: Duration) {
    let begun = Instant::now();
    loop {
        let found = data.get("/v1/workspaces").await.status.as_u16();
        if found == status {
            return;
        }
        assert!(begun.elapsed() < within, "{found} and not {status} after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The id of a key, by its prefix.
async fn key_id(house: &TestHouse, data: &Client) -> String {
    let prefix = data.key().split('_').nth(1).unwrap();
    let rows = house.rows(&format!("select id::text from tenant_api_keys where key_prefix = '{prefix}'")).await;
    rows[0].try_get(0).unwrap()
}

/// Waits until the data plane hears notices.
async fn listening(house: &TestHouse) {
    let begun = Instant::now();
    let sql = format!(
        "select from pg_stat_activity where application_name = 'rowhouse_listener' and datname = '{}'
           and state = 'idle' and query like 'select value%'",
        house.platform
    );
    while house.rows(&sql).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A house that listens, and a tenant whose key is remembered.
async fn given() -> (TestHouse, Given) {
    let house = crate::house().await;
    listening(&house).await;
    let given = house.tenant().await;
    answered(&given.data, 200, SOON).await;
    (house, given)
}

/// From now on looking a key up fails: what is answered was remembered.
async fn forbid_look_ups(house: &TestHouse) {
    house.sql("revoke select on tenant_api_keys from rowhouse_data").await;
}

#[tokio::test]
async fn a_key_that_is_remembered_asks_the_platform_nothing() {
    let (house, given) = given().await;
    let cold = house.tenant_key(&given.tenant, &["read_files"]).await;
    forbid_look_ups(&house).await;
    for _ in 0..50 {
        let _ = given.data.get("/v1/workspaces").await.expect(200);
    }
    assert_eq!(cold.get("/v1/workspaces").await.status, 500, "the proof that a look-up would show");
}

#[tokio::test]
async fn what_is_taken_from_a_key_is_gone_within_a_second() {
    let (house, given) = given().await;
    let tenant = &given.tenant;
    // Scopes.
    let reader = house.tenant_key(tenant, &["read_files"]).await;
    answered(&reader, 200, SOON).await;
    let id = key_id(&house, &reader).await;
    house.sql(&format!("update tenant_api_keys set scopes = '{{read_usage}}' where id = '{id}'")).await;
    answered(&reader, 403, SOON).await;
    // The key itself, by the API.
    let revoked = house.tenant_key(tenant, &["read_files"]).await;
    answered(&revoked, 200, SOON).await;
    let id = key_id(&house, &revoked).await;
    let id = rowhouse_domain::KeyId::from_uuid(id.parse().unwrap());
    let gone = house.admin.delete(&format!("/v1/tenants/{tenant}/api-keys/{id}")).await;
    assert!(gone.status.is_success(), "{}", gone.status);
    answered(&revoked, 401, SOON).await;
    revoked.get("/v1/workspaces").await.problem(401, "revoked_key");
    // An end that was set passes without a notice.
    let ending = house.tenant_key(tenant, &["read_files"]).await;
    answered(&ending, 200, SOON).await;
    let id = key_id(&house, &ending).await;
    house.sql(&format!("update tenant_api_keys set expires_at = now() + interval '2 seconds' where id = '{id}'")).await;
    answered(&ending, 200, SOON).await;
    answered(&ending, 401, Duration::from_secs(2) + SOON).await;
    ending.get("/v1/workspaces").await.problem(401, "expired_key");
    // Its row.
    let deleted = house.tenant_key(tenant, &["read_files"]).await;
    answered(&deleted, 200, SOON).await;
    house.sql(&format!("delete from tenant_api_keys where id = '{}'", key_id(&house, &deleted).await)).await;
    answered(&deleted, 401, SOON).await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
}

#[tokio::test]
async fn a_tenant_and_an_organization_are_suspended_and_served_again_within_a_second() {
    let (house, given) = given().await;
    let other = house.tenant().await;
    let tenant = format!("/v1/tenants/{}", given.tenant);
    let _ = house.admin.post(&format!("{tenant}/suspend"), &json!({"reason": "a test"})).await.expect(200);
    answered(&given.data, 403, SOON).await;
    given.data.get("/v1/workspaces").await.problem(403, "tenant_suspended");
    let _ = house.admin.post(&format!("{tenant}/resume"), &json!({})).await.expect(200);
    answered(&given.data, 200, SOON).await;
    let organization: rowhouse_domain::OrganizationId = given.organization.parse().unwrap();
    let set = |status: &str| {
        format!("update organizations set subscription_status = '{status}' where id = '{}'", organization.as_uuid())
    };
    house.sql(&set("suspended")).await;
    answered(&given.data, 403, SOON).await;
    let _ = other.data.get("/v1/workspaces").await.expect(200);
    house.sql(&set("active")).await;
    answered(&given.data, 200, SOON).await;
}

#[tokio::test]
async fn a_change_of_an_organizations_tier_closes_no_connection() {
    let (house, given) = given().await;
    let reader = house.tenant_key(&given.tenant, &["read_files"]).await;
    answered(&reader, 200, SOON).await;
    let tenant: rowhouse_domain::TenantId = given.tenant.parse().unwrap();
    let sessions = format!(
        "select pid from pg_stat_activity join tenants on usename = role_name
         where tenants.id = '{}' order by pid",
        tenant.as_uuid()
    );
    let pids = || async {
        house.rows(&sessions).await.iter().map(|row| row.try_get::<_, i32>(0).unwrap()).collect::<Vec<_>>()
    };
    let before = pids().await;
    assert!(!before.is_empty());
    let organization: rowhouse_domain::OrganizationId = given.organization.parse().unwrap();
    house
        .sql(&format!(
            "update organizations set subscription_tier = 'enterprise' where id = '{}'",
            organization.as_uuid()
        ))
        .await;
    // What is said next is heard after it.
    house.sql(&format!("delete from tenant_api_keys where id = '{}'", key_id(&house, &reader).await)).await;
    answered(&reader, 401, SOON).await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
    let after = pids().await;
    assert!(before.iter().all(|pid| after.contains(pid)), "{before:?} became {after:?}");
}

#[tokio::test]
async fn a_placement_that_changed_is_followed_within_a_second() {
    let (house, given) = given().await;
    let tenant: rowhouse_domain::TenantId = given.tenant.parse().unwrap();
    // A database that is not there stands for one that the tenant has moved to.
    let moved = |name: &str| {
        format!(
            "update tenants set database_name = '{name}', generation = generation + 1 where id = '{}'",
            tenant.as_uuid()
        )
    };
    let rows = house.rows(&format!("select database_name from tenants where id = '{}'", tenant.as_uuid())).await;
    let database: String = rows[0].try_get(0).unwrap();
    house.sql(&moved("elsewhere")).await;
    answered(&given.data, 503, SOON).await;
    house.sql(&moved(&database)).await;
    answered(&given.data, 200, SOON).await;
    let sessions = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}' and state = 'idle'"
    );
    let _ = house.rows(&sessions).await;
}

#[tokio::test]
async fn a_notice_that_was_lost_is_noticed() {
    let (house, given) = given().await;
    let id = key_id(&house, &given.data).await;
    // Changed behind the triggers' back, and a number that nobody is told of.
    house
        .sql(&format!(
            "set session_replication_role = replica;
             update tenant_api_keys set revoked_at = now() where id = '{id}';
             update auth_sequence set value = value + 1"
        ))
        .await;
    answered(&given.data, 401, LATER).await;
}

#[tokio::test]
async fn a_listener_that_was_cut_off_misses_nothing() {
    let (house, given) = given().await;
    let id = key_id(&house, &given.data).await;
    let cut = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = 'rowhouse_listener' and datname = '{}'",
        house.platform
    );
    assert_eq!(house.rows(&cut).await.len(), 1);
    // In the dark: neither a notice nor a number.
    house
        .sql(&format!(
            "set session_replication_role = replica; update tenant_api_keys set revoked_at = now() where id = '{id}'"
        ))
        .await;
    answered(&given.data, 401, LATER).await;
    // And the next one is heard again.
    listening(&house).await;
    let second = house.tenant_key(&given.tenant, &["read_files"]).await;
    answered(&second, 200, SOON).await;
    let id = key_id(&house, &second).await;
    house.sql(&format!("update tenant_api_keys set revoked_at = now() where id = '{id}'")).await;
    answered(&second, 401, SOON).await;
}

#[tokio::test]
async fn wrong_keys_do_not_reach_the_platform() {
    let house = crate::house_with(|settings| {
        (settings.auth.unknown_keys_per_second, settings.auth.unknown_keys_burst) = (1, 20);
    })
    .await;
    let given = house.tenant().await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
    // One key again and again: asked for once.
    let wrong = house.data.with_key(PlainApiKey::generate(KeyKind::Tenant, "acme").reveal());
    for _ in 0..5 {
        wrong.get("/v1/workspaces").await.problem(401, "unknown_key");
    }
    let wrong_key = || PlainApiKey::generate(KeyKind::Tenant, "acme");
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(house.data.with_key(wrong_key().reveal()).get("/v1/workspaces").await);
    }
    let refused: Vec<Answer> = answers.into_iter().filter(|answer| answer.status == 429).collect();
    assert!(refused.len() >= 70, "{} of 100 were refused", refused.len());
    for answer in refused {
        assert_eq!(answer.header("retry-after"), answer.header("ratelimit-reset"));
        assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), ("20", "0"));
        assert_eq!(answer.problem(429, "rate_limited")["limit"], "wrong_keys");
    }
    // A wrong secret under a known prefix counts as well.
    let other = wrong_key();
    let second = house.tenant_key(&given.tenant, &["read_files"]).await;
    let rename = format!(
        "update tenant_api_keys set key_prefix = '{}' where id = '{}'",
        other.prefix(),
        key_id(&house, &second).await
    );
    house.sql(&rename).await;
    house.data.with_key(other.reveal()).get("/v1/workspaces").await.problem(429, "rate_limited");
    // Who is known has to be read anew now, which is nobody's guess.
    house.sql("update tenants set generation = generation + 1").await;
    let begun = Instant::now();
    while begun.elapsed() < SOON {
        let _ = given.data.get("/v1/workspaces").await.expect(200);
        house.data.with_key(wrong_key().reveal()).get("/v1/workspaces").await;
    }
    // The platform is not asked, and who is known is served all the while.
    forbid_look_ups(&house).await;
    let begun = Instant::now();
    let mut asked = 0;
    for _ in 0..20 {
        let answer = house.data.with_key(wrong_key().reveal()).get("/v1/workspaces").await;
        asked += usize::from(answer.status != 429);
        let _ = given.data.get("/v1/workspaces").await.expect(200);
    }
    let earned = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!(asked <= earned, "{asked} look-ups in {:?}", begun.elapsed());
}

/// Wrong keys from a hundred addresses, a key with each request; how many were answered so.
async fn flood(house: &TestHouse, known: &Client, status: u16) -> usize {
    let mut found = 0;
    for number in 1..=100 {
        let address = std::net::IpAddr::from([127, 0, 1, number]);
        let client = reqwest::Client::builder().local_address(address).build().unwrap();
        let request = client.request(Method::GET, format!("{}/v1/workspaces", house.data.base()));
        let answer = Answer::of(request.bearer_auth(PlainApiKey::generate(KeyKind::Tenant, "acme").reveal())).await;
        if answer.status == status {
            found += 1;
        } else {
            assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
            answer.problem(503, "unavailable");
        }
        let _ = known.get("/v1/workspaces").await.expect(200);
    }
    found
}

#[tokio::test]
async fn wrong_keys_from_everywhere_reach_the_platform_only_so_often() {
    const BURST: usize = 20;
    let house = crate::house_with(|settings| {
        (settings.auth.lookups_per_second, settings.auth.lookups_burst) = (1, BURST.try_into().unwrap());
    })
    .await;
    let given = house.tenant().await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
    let begun = Instant::now();
    let earned = || usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let asked = flood(&house, &given.data, 401).await;
    // One was taken by the key that is known by now.
    assert!((BURST - 1..=BURST + earned()).contains(&asked), "{asked} look-ups in {:?}", begun.elapsed());
    // Now a look-up would show.
    forbid_look_ups(&house).await;
    let more = flood(&house, &given.data, 500).await;
    assert!(asked + more <= BURST + earned(), "{asked} look-ups, {more} more in {:?}", begun.elapsed());
    let metrics = String::from_utf8(house.data_admin.get("/metrics").await.expect(200).bytes).unwrap();
    assert!(metrics.contains(r#"rowhouse_auth_cache_total{outcome="refused_crowd"}"#), "{metrics}");
}

#[tokio::test]
async fn a_cold_key_is_looked_up_once_for_many_requests() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let second = house.tenant_key(&given.tenant, &["read_files"]).await;
    let blocker = TestCluster::get().admin(&house.platform).await;
    blocker.run("begin; lock table tenant_api_keys in access exclusive mode").await.unwrap();
    let requests = (0..50).map(|_| tokio::spawn(Answer::of(second.request(Method::GET, "/v1/workspaces"))));
    let requests: Vec<_> = requests.collect();
    let waiting = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and wait_event_type = 'Lock'
           and query like '%key.key_prefix, key.account_id%'",
        house.platform
    );
    let count = async || house.rows(&waiting).await[0].try_get::<_, i64>(0).unwrap();
    let begun = Instant::now();
    while count().await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody looks the key up");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // All of them have been sent by now; a second look-up would show.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(count().await, 1);
    blocker.run("commit").await.unwrap();
    for request in requests {
        let _ = request.await.unwrap().expect(200);
    }
}

/// Cuts the data plane off from `saas_platform`.
fn cut_off(proxy: &FaultProxy) {
    proxy.refuse();
    proxy.cut(Cut::Reset);
}

#[tokio::test]
async fn keys_that_are_known_outlive_an_outage_and_a_restart_in_the_middle_of_it() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let [lost, cold] = [
        house.tenant_key(&given.tenant, &["read_files"]).await,
        house.tenant_key(&given.tenant, &["read_files"]).await,
    ];
    let folder = tempfile::tempdir().unwrap();
    let [keys, replica] = ["keys", "replica"].map(|name| folder.path().join(name));
    let settings = format!("auth.snapshot_file = {keys:?}\npools.replica_file = {replica:?}");
    let proxy = FaultProxy::before_postgres(TestCluster::get().port());
    let process = house.data_plane_process_through(proxy.port(), &settings).await;
    let through = |process: &DataPlaneProcess, key: &Client| process.client.with_key(key.key());
    for key in [&given.data, &lost] {
        let _ = through(&process, key).get("/v1/workspaces").await.expect(200);
    }
    cut_off(&proxy);
    // What nobody can hear of.
    let id = rowhouse_domain::KeyId::from_uuid(key_id(&house, &lost).await.parse().unwrap());
    let revoke = format!("/v1/tenants/{}/api-keys/{id}", given.tenant);
    assert!(house.admin.delete(&revoke).await.status.is_success());
    let as_before = async |process: &DataPlaneProcess| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            for key in [&given.data, &lost] {
                let _ = through(process, key).get("/v1/workspaces").await.expect(200);
            }
            let answer = through(process, &cold).get("/v1/workspaces").await;
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            answer.problem(503, "unavailable");
            let wrong = process.client.with_key(PlainApiKey::generate(KeyKind::Tenant, "acme").reveal());
            wrong.get("/v1/workspaces").await.problem(503, "unavailable");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    as_before(&process).await;
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    let process = house.data_plane_process_through(proxy.port(), &settings).await;
    as_before(&process).await;
    proxy.heal();
    answered(&through(&process, &lost), 401, LATER).await;
    answered(&through(&process, &cold), 200, LATER).await;
    answered(&through(&process, &given.data), 200, SOON).await;
}

#[tokio::test]
async fn what_was_saved_is_of_no_use_after_its_time_or_when_it_was_changed() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let replica = folder.path().join("replica");
    let settings =
        format!("auth = {{ snapshot_file = {file:?}, stale_max = \"3s\" }}\npools.replica_file = {replica:?}");
    let proxy = FaultProxy::before_postgres(TestCluster::get().port());
    let process = house.data_plane_process_through(proxy.port(), &settings).await;
    let data = process.client.with_key(given.data.key());
    let _ = data.get("/v1/workspaces").await.expect(200);
    cut_off(&proxy);
    let cut = Instant::now();
    let _ = data.get("/v1/workspaces").await.expect(200);
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    let saved = std::fs::read(&file).unwrap();
    let started = async |settings: &str| {
        let process = house.data_plane_process_without(proxy.port(), settings).await;
        let data = process.client.with_key(given.data.key());
        (process, data)
    };
    // Long enough to be of use to whoever allows it more time.
    tokio::time::sleep_until((cut + Duration::from_secs(4)).into()).await;
    let longer = settings.replace("3s", "1h");
    let (process, data) = started(&longer).await;
    let _ = data.get("/v1/workspaces").await.expect(200);
    drop(process);
    // A restart makes nothing younger: it is the saving that counts, and what was known then.
    std::fs::write(&file, &saved).unwrap();
    let (process, data) = started(&settings).await;
    data.get("/v1/workspaces").await.problem(503, "unavailable");
    drop(process);
    // Changed: the service starts, and knows nobody until it can ask.
    std::fs::write(&file, b"not what was sealed").unwrap();
    let (_process, data) = started(&longer).await;
    data.get("/v1/workspaces").await.problem(503, "unavailable");
    proxy.heal();
    answered(&data, 200, LATER).await;
}

#[tokio::test]
async fn a_key_that_was_revoked_is_in_no_file() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("auth = {{ snapshot_file = {:?} }}", folder.path().join("keys"));
    let proxy = FaultProxy::before_postgres(TestCluster::get().port());
    let run = async || house.data_plane_process_through(proxy.port(), &settings).await;
    let process = run().await;
    let data = process.client.with_key(given.data.key());
    let _ = data.get("/v1/workspaces").await.expect(200);
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    // The next process takes the key from the file, and hears that it is revoked: nothing is left that it remembers.
    let process = run().await;
    let data = process.client.with_key(given.data.key());
    let _ = data.get("/v1/workspaces").await.expect(200);
    let id = rowhouse_domain::KeyId::from_uuid(key_id(&house, &given.data).await.parse().unwrap());
    let revoke = format!("/v1/tenants/{}/api-keys/{id}", given.tenant);
    assert!(house.admin.delete(&revoke).await.status.is_success());
    tokio::time::sleep(SOON).await;
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0));
    cut_off(&proxy);
    let process = house.data_plane_process_without(proxy.port(), &settings).await;
    let answer = process.client.with_key(given.data.key()).get("/v1/workspaces").await;
    answer.problem(503, "unavailable");
}

#[tokio::test]
async fn nobody_waits_for_a_platform_that_says_nothing() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let proxy = FaultProxy::before_postgres(TestCluster::get().port());
    let process = house.data_plane_process_through(proxy.port(), "").await;
    let data = process.client.with_key(given.data.key());
    let _ = data.get("/v1/workspaces").await.expect(200);
    proxy.set(Faults { silent: true, ..Faults::default() });
    let begun = Instant::now();
    let mut waited = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(12) {
        let asked = Instant::now();
        let _ = data.get("/v1/workspaces").await.expect(200);
        // What a request takes by itself, on a busy machine.
        waited += asked.elapsed().saturating_sub(Duration::from_millis(200));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Once, for a second, to find out.
    assert!(waited < Duration::from_millis(2_500), "{waited:?}");
}

#[tokio::test]
async fn a_key_says_when_it_was_used_last() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let unused = house.tenant_key(&given.tenant, &["read_files"]).await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
    let keys = format!("/v1/tenants/{}/api-keys", given.tenant);
    let begun = Instant::now();
    loop {
        let listed = house.admin.get(&keys).await.expect(200).json();
        let of = |key: &str| {
            let mut items = listed["items"].as_array().unwrap().iter();
            items.find(|item| key.contains(item["prefix"].as_str().unwrap())).unwrap()["last_used_at"].clone()
        };
        assert!(of(unused.key()).is_null(), "{listed:#}");
        if of(given.data.key()).is_string() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{listed:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
